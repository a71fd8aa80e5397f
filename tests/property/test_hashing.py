"""The keyed hash is HMAC-SHA-256, and nothing shares a digest."""

from __future__ import annotations

import hmac

from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc.domain.hashing import Pepper

SECRETS = st.binary(min_size=32, max_size=200)
# One length: HMAC pads short secrets with zeros, so two that differ in trailing zeros only are one secret to it.
SAME_LENGTH = st.binary(min_size=32, max_size=32)
KEYS = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=0, max_size=128)


@given(SECRETS, KEYS)
def test_a_digest_is_an_hmac_under_its_context(secret: bytes, key: str) -> None:
    """The kept states give exactly what the standard library gives."""
    expected = hmac.digest(secret, b"authsvc/apikey/1\0" + key.encode(), "sha256")

    assert expected == Pepper("p", secret).digest(key)


@given(SECRETS, st.binary(), st.binary())
def test_a_mac_is_an_hmac_under_its_context(secret: bytes, context: bytes, message: bytes) -> None:
    """The same for every other purpose."""
    expected = hmac.digest(secret, context + b"\0" + message, "sha256")

    assert expected == Pepper("p", secret).mac(context, message)


@given(st.tuples(SAME_LENGTH, KEYS), st.tuples(SAME_LENGTH, KEYS))
def test_distinct_pairs_never_share_a_digest(one: tuple[bytes, str], other: tuple[bytes, str]) -> None:
    """Nor does a key that continues another, under a pepper that begins like another."""
    assume(one != other)

    assert Pepper("p", one[0]).digest(one[1]) != Pepper("p", other[0]).digest(other[1])


@given(SAME_LENGTH, KEYS, st.integers(min_value=0, max_value=127))
def test_neighbouring_keys_never_share_a_digest(secret: bytes, key: str, at: int) -> None:
    """Cut, continued or case-swapped, a key is another key."""
    pepper = Pepper("p", secret)
    others = {key[:at], key + "0", key.swapcase(), key.lower()} - {key}

    assert pepper.digest(key) not in {pepper.digest(other) for other in others}
