"""Where a key may sit in a request, and every way of presenting it wrongly."""

from __future__ import annotations

import pytest

from authsvc.domain.credentials import CredentialSource, find_key
from tests.support.builders import API_KEY, BEARER

KEY = "sk_live_0123456789abcdef"


def bearer(value: str) -> dict[str, str]:
    """Return headers with one Authorization."""
    return {"authorization": value}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    """RFC 9110: an authentication scheme is case-insensitive."""
    found = find_key([BEARER], bearer(f"{scheme} {KEY}"))

    assert found == KEY


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-header"),
        pytest.param(bearer(""), id="empty"),
        pytest.param(bearer("  \t "), id="blanks"),
        pytest.param(bearer("Bearer"), id="scheme-alone"),
        pytest.param(bearer("Bearer "), id="scheme-and-blank"),
        pytest.param(bearer(f"Bearer  {KEY}"), id="two-blanks"),
        pytest.param(bearer(f"Bearer\t{KEY}"), id="tab"),
        pytest.param(bearer(f"Bearer\u00a0{KEY}"), id="no-break-space"),
        pytest.param(bearer(f" Bearer {KEY}"), id="leading-blank"),
        pytest.param(bearer(f"Bearer {KEY} "), id="trailing-blank"),
        pytest.param(bearer(f"Bearer{KEY}"), id="no-blank"),
        pytest.param(bearer("Basic dXNlcjprZXk="), id="basic"),
        pytest.param(bearer(f"Token {KEY}"), id="token"),
        pytest.param(bearer(f"ApiKey {KEY}"), id="apikey"),
        pytest.param(bearer(KEY), id="no-scheme"),
        pytest.param(bearer(f"Bearer {KEY} extra"), id="extra-word"),
        pytest.param(bearer(f"Bearer {KEY}, Bearer {KEY}2"), id="joined-list"),
        pytest.param(bearer(f"Bearer {KEY},Bearer {KEY}"), id="joined-tightly"),
        pytest.param(bearer(f"Bearer {KEY}\n"), id="trailing-newline"),
        pytest.param(bearer(f"Bearer {KEY}\r\nx: y"), id="header-injection"),
        pytest.param(bearer(f"Bearer {KEY}\0"), id="nul"),
        pytest.param(bearer(f'Bearer "{KEY}"'), id="quoted"),
        pytest.param(bearer(f"Bearer '{KEY}'"), id="single-quoted"),
        pytest.param(bearer("Bearer sk%5Flive%5F0"), id="percent-encoded"),
        pytest.param(bearer("Bearer sk\\live"), id="backslash"),
        pytest.param(bearer("Bearer ' OR 1=1 --"), id="sql"),
        pytest.param(bearer("Bearer %s"), id="format"),
        pytest.param(bearer("Bearer " + "k" * 129), id="129-bytes"),
        pytest.param(bearer("Bearer " + "k" * 10_240), id="ten-kilobytes"),
        pytest.param(bearer("Bearer " + "k" * 1_048_576), id="a-megabyte"),
        pytest.param(bearer("Bearer sk_live_é"), id="not-ascii"),
        pytest.param(bearer("Bearer \uff53\uff4b"), id="full-width"),
        pytest.param(bearer("Bearer \ud800"), id="lone-surrogate"),
        pytest.param({"x-api-key": KEY}, id="other-header"),
        pytest.param({"cookie": f"api_key={KEY}"}, id="cookie"),
        pytest.param({"proxy-authorization": f"Bearer {KEY}"}, id="proxy-authorization"),
        pytest.param({"x-forwarded-authorization": f"Bearer {KEY}"}, id="forwarded-authorization"),
    ],
)
def test_a_malformed_bearer_is_no_credential(headers: dict[str, str]) -> None:
    """Nothing is repaired: what is not exactly `Bearer KEY` is nothing."""
    assert find_key([BEARER], headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x-api-key": f"{KEY},{KEY}2"}, id="joined-duplicates"),
        pytest.param({"x-api-key": f"{KEY}, {KEY}"}, id="joined-equal-duplicates"),
        pytest.param({"x-api-key": ""}, id="empty"),
        pytest.param({"x-api-key": f"Bearer {KEY}"}, id="with-a-scheme"),
        pytest.param({"x_api_key": KEY}, id="underscores"),
        pytest.param({"x.api.key": KEY}, id="dots"),
        pytest.param({"x-api-key ": KEY}, id="blank-after-the-name"),
        pytest.param(bearer(f"Bearer {KEY}"), id="bearer"),
    ],
)
def test_a_malformed_api_key_header_is_no_credential(headers: dict[str, str]) -> None:
    """Only the configured header counts, and it holds one key and nothing else."""
    assert find_key([API_KEY], headers) is None


def test_a_scheme_is_ascii() -> None:
    """U+212A KELVIN SIGN lower-cases to `k` and must not spell a scheme."""
    token = CredentialSource(header="authorization", scheme="token")

    assert token.text_in(f"TOKEN {KEY}") == KEY
    assert token.text_in(f"TO\u212aEN {KEY}") is None
    assert token.text_in(f"to\u212aen {KEY}") is None


def test_two_configured_sources_are_ambiguous_together() -> None:
    """Which of two keys counts is not for us to choose, not even when they are equal or one is empty."""
    sources = [BEARER, API_KEY]

    assert find_key(sources, {"authorization": f"Bearer {KEY}"}) == KEY
    assert find_key(sources, {"x-api-key": KEY}) == KEY
    assert find_key(sources, {"authorization": f"Bearer {KEY}", "x-api-key": KEY}) is None
    assert find_key(sources, {"authorization": f"Bearer {KEY}", "x-api-key": "other"}) is None
    assert find_key(sources, {"authorization": "", "x-api-key": KEY}) is None


def test_a_header_that_is_not_configured_is_not_looked_at() -> None:
    """With one source the other header belongs to the upstream."""
    found = find_key([API_KEY], {"authorization": "Basic dXNlcjpwdw==", "x-api-key": KEY})

    assert found == KEY


def test_without_sources_nothing_is_a_key() -> None:
    """An API that configures no source has no holders."""
    assert find_key([], {"authorization": f"Bearer {KEY}", "x-api-key": KEY}) is None
