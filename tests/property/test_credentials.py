"""The key in a header is the key that was put there, or none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.credentials import find_key
from authsvc.domain.key_text import presentable
from tests.support.builders import API_KEY, BEARER

NOISE = st.text(
    alphabet=st.sampled_from([*"Bbearer kK09_-,;\"'%\\ ", "\t", "\n", "\0", "\u212a", "\u00a0"]), max_size=30
)
VALUES = st.text() | NOISE | st.builds("Bearer {}".format, NOISE)
HEADERS = st.dictionaries(
    st.sampled_from(["authorization", "x-api-key", "Authorization", "x_api_key", "cookie", "x-authsvc-key"]), VALUES
)


@given(HEADERS)
def test_a_bearer_key_is_found_exactly_where_it_stands(headers: dict[str, str]) -> None:
    """`Bearer`, one blank, and the key: nothing before, nothing behind, nothing elsewhere."""
    value = headers.get("authorization", "")
    rest = value[len("bearer ") :]
    expected = rest if value.isascii() and value[:7].lower() == "bearer " and presentable(rest) else None

    assert expected == find_key([BEARER], headers)


@given(HEADERS)
def test_a_bare_key_is_found_exactly_where_it_stands(headers: dict[str, str]) -> None:
    """The whole value, or nothing."""
    value = headers.get("x-api-key", "")

    assert (value if presentable(value) else None) == find_key([API_KEY], headers)


@given(HEADERS)
def test_two_sources_never_choose(headers: dict[str, str]) -> None:
    """With both headers there is no key, in whichever order the sources stand."""
    found = find_key([BEARER, API_KEY], headers)
    both = {"authorization", "x-api-key"} <= headers.keys()

    assert found == find_key([API_KEY, BEARER], headers)
    assert not both or found is None
