"""What Envoy, or somebody who pretends to be it, may put into a CheckRequest."""

from __future__ import annotations

import time
from typing import Any

import pytest

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from tests.support.doors import (
    ALLOWED,
    BAD_REQUEST,
    KEY,
    UNAUTHORIZED,
    Answer,
    check_request,
    door,
)

MODES = [pytest.param(False, id="map"), pytest.param(True, id="raw")]


async def answer(payload: bytes) -> Answer:
    """Put bytes to a fresh door."""
    return Answer.of(await door().answer(payload))


def spoiled(at: bytes, by: bytes) -> bytes:
    """Return a valid request with some bytes replaced by as many others."""
    payload = check_request(key=KEY, headers={"x-note": "harmless"}).SerializeToString()
    assert len(at) == len(by)
    assert at in payload
    return payload.replace(at, by)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\xff", id="garbage"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="length-beyond-the-end"),
        pytest.param(b"\x0b" * 200, id="nested-groups"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(check_request(key=KEY).SerializeToString()[:-3], id="cut-off"),
        pytest.param(spoiled(b"harmless", b"h\xc3(mless"), id="header-value"),
        pytest.param(spoiled(b"x-note", b"x-n\xffte"), id="header-name"),
        pytest.param(spoiled(b"/v1/things", b"/v1/\xc0\xafings"), id="path"),
        pytest.param(spoiled(b"api.shop.example", b"api.sho\xed\xa0\x80xample"), id="host"),
        pytest.param(spoiled(b"192.0.2.1", b"192.0.2.\xfe"), id="peer"),
        pytest.param(spoiled(b"\x04shop", b"\x04sh\xffp"), id="extension"),
        pytest.param(spoiled(KEY.encode(), b"\xff" * len(KEY)), id="credential"),
    ],
)
async def test_what_cannot_be_read_is_refused(payload: bytes) -> None:
    """Bytes that are no CheckRequest, or hold text that is not UTF-8, are a bad request and never an RPC error."""
    assert (await answer(payload)).outcome == BAD_REQUEST


@pytest.mark.parametrize("name", ["authorization", "x-note", "origin", ":path"])
async def test_raw_header_values_must_be_utf8(name: str) -> None:
    """With `encode_raw_headers` Envoy passes any byte on."""
    request = check_request(headers=[(name, b"gr\xfc\xdfe")], raw=True)

    assert (await answer(request.SerializeToString())).outcome == BAD_REQUEST


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(CheckRequest(), id="empty"),
        pytest.param(CheckRequest(attributes={"context_extensions": {"api": "shop"}}), id="no-http"),
        pytest.param(CheckRequest(attributes={"request": {"http": {}}}), id="empty-http"),
        pytest.param(CheckRequest(attributes={"request": {"http": {"path": "/v1/things"}}}), id="no-method"),
        pytest.param(CheckRequest(attributes={"request": {"http": {"method": "GET"}}}), id="no-path"),
    ],
)
async def test_what_is_missing_is_refused(request_: CheckRequest) -> None:
    """The network filter sends no HTTP part; a request without method or path is none."""
    assert (await answer(request_.SerializeToString())).outcome == BAD_REQUEST


@pytest.mark.parametrize("raw", MODES)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
@pytest.mark.parametrize("character", [pytest.param(c, id=repr(c)) for c in "\r\n\0"])
async def test_control_characters(character: str, where: str, *, raw: bool) -> None:
    """No header's value may break a line or end early, wherever in it."""
    value = {"start": f"{character}b", "middle": f"a{character}b", "end": f"a{character}"}[where]
    answered = await door().ask(key=KEY, headers={"x-note": value}, raw=raw)

    assert answered.outcome == BAD_REQUEST


@pytest.mark.parametrize("raw", MODES)
@pytest.mark.parametrize("value", ["a\tb", "\u2028", "\x1b[31m", "\u00e9\u4e16", "\U0001f511", ""])
async def test_harmless_values_pass(value: str, *, raw: bool) -> None:
    """What cannot break a line is the upstream's to judge."""
    assert (await door().ask(key=KEY, headers={"x-note": value}, raw=raw)).outcome == ALLOWED


@pytest.mark.parametrize("name", ["x-authsvc-a\r\nb", "x-authsvc-\0", "x-authsvc-\u00e9", "x_authsvc a"])
async def test_a_forged_name_that_is_none_is_refused(name: str) -> None:
    """Names of forged headers are put into the answer, so they must be names."""
    assert (await door().ask(key=KEY, headers={name: "admin"})).outcome == BAD_REQUEST


@pytest.mark.parametrize("raw", MODES)
async def test_a_repeated_credential_is_none(*, raw: bool) -> None:
    """Two credentials, equal or not, in either mode."""
    for second in (KEY, KEY[:-1], ""):
        headers = [("authorization", f"Bearer {each}") for each in (KEY, second)]

        assert (await door().ask(headers=headers, raw=raw)).outcome == UNAUTHORIZED


async def test_raw_names_are_compared_in_lower_case() -> None:
    """Two spellings of one header are one header."""
    one = await door().ask(headers=[("Authorization", f"Bearer {KEY}")], raw=True)
    two = await door().ask(headers=[("Authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")], raw=True)

    assert (one.outcome, two.outcome) == (ALLOWED, UNAUTHORIZED)


async def test_text_values_of_raw_headers_count_too() -> None:
    """A header of the raw form that has text and no bytes is read all the same."""
    request = check_request(raw=True)
    request.attributes.request.http.header_map.headers.add(key="authorization", value=f"Bearer {KEY}")

    assert (await answer(request.SerializeToString())).outcome == ALLOWED


async def test_unknown_fields_are_ignored() -> None:
    """A newer Envoy may say more."""
    more = b"\xfa\x3f\x04more"  # field 1023 of attributes
    request = check_request(key=KEY)
    request.attributes.MergeFromString(more)

    assert (await answer(request.SerializeToString())).outcome == ALLOWED


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"headers": {"x-note": "a" * 60 * 1024}}, id="one-long-value"),
        pytest.param({"headers": {f"x-note-{n}": "a" * 40 for n in range(1000)}}, id="many-headers"),
        pytest.param({"headers": [("x-note", "a")] * 5000, "raw": True}, id="one-header-5000-times"),
        pytest.param({"headers": {"x-forwarded-for": ", ".join(["10.0.0.1"] * 5000)}}, id="forwarded-5000"),
        pytest.param({"headers": {"cookie": "a=b; " * 10_000}}, id="cookies"),
        pytest.param({"host": "a" * 100_000}, id="host"),
        pytest.param({"path": "/v1/things?" + "a" * 8000}, id="query"),
    ],
)
async def test_large_requests_are_answered_like_small_ones(request_: dict[str, Any]) -> None:
    """What does not concern the decision costs little and changes nothing."""
    built = door()
    await built.ask(key=KEY)
    payload = check_request(key=KEY, **request_).SerializeToString()
    took = min(_timed(built.check.now, payload) for _ in range(5))

    assert Answer.of(await built.answer(payload)).outcome == ALLOWED
    assert took < 0.050


def _timed(call: Any, payload: bytes) -> float:
    begun = time.thread_time()
    call(payload)
    return time.thread_time() - begun
