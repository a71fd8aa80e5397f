"""The keyed hash."""

from __future__ import annotations

import hmac

import pytest

from authsvc.domain.hashing import DIGEST_SIZE, Pepper, PepperSet

SECRET = bytes(range(32))


@pytest.mark.parametrize("size", [32, 63, 64, 65, 200])
def test_a_digest_is_an_hmac(size: int) -> None:
    """Two precomputed states give what the standard library gives, also for secrets longer than a block."""
    secret = bytes(i % 251 for i in range(size))
    expected = hmac.digest(secret, b"authsvc/apikey/1\0sk_live_x", "sha256")

    assert expected == Pepper("p1", secret).digest("sk_live_x")


def test_a_digest_is_stored_forever() -> None:
    """A changed context or order would disown every key; this value must never change."""
    expected = "8e9c353746bef6c0"

    assert len(Pepper("p1", SECRET).digest("k")) == DIGEST_SIZE
    assert expected == Pepper("p1", SECRET).digest("k").hex()[:16]


def test_digesting_twice_gives_the_same() -> None:
    """The kept states are copied, never advanced."""
    pepper = Pepper("p1", SECRET)

    assert pepper.digest("a") == pepper.digest("a")
    assert pepper.mac(b"c", b"m") == pepper.mac(b"c", b"m")
    assert pepper.check == pepper.check


def test_macs_for_other_purposes_are_apart() -> None:
    """A digest can be no page token, whatever its message."""
    pepper = Pepper("p1", SECRET)

    assert pepper.mac(b"purpose", b"m") == hmac.digest(SECRET, b"purpose\0m", "sha256")
    assert pepper.mac(b"a", b"bc") != pepper.mac(b"ab", b"c")
    assert pepper.mac(b"token", b"k") != pepper.digest("k")


def test_the_check_tells_peppers_apart_and_nothing_else() -> None:
    """It is stored beside the keys, so it is short and depends on the secret alone."""
    assert Pepper("p1", SECRET).check == Pepper("p2", SECRET).check
    assert Pepper("p1", SECRET).check != Pepper("p1", SECRET[::-1]).check
    assert len(Pepper("p1", SECRET).check) == 8


@pytest.mark.parametrize("secret", [b"", b"short", bytes(31)])
def test_a_short_pepper_is_refused(secret: bytes) -> None:
    """The message names the pepper, never its secret."""
    with pytest.raises(ValueError, match="'p1' is shorter than 32 bytes"):
        Pepper("p1", secret)


def test_a_pepper_never_shows_its_secret() -> None:
    """Not in its text, not in its attributes."""
    pepper = Pepper("p1", SECRET)

    assert repr(pepper) == str(pepper) == "Pepper('p1', …)"
    assert SECRET not in vars(pepper).values()


def test_a_set_lists_the_current_pepper_first() -> None:
    """New keys are stored under it, so most lookups end there."""
    old, new = Pepper("p1", SECRET), Pepper("p2", SECRET[::-1])
    peppers = PepperSet(new, [old])

    assert (new, old) == peppers.all
    assert (old,) == peppers.others
    assert repr(peppers) == "PepperSet(current='p2', others=['p1'])"


def test_two_peppers_do_not_share_an_id() -> None:
    """Stored rows name their pepper by id."""
    with pytest.raises(ValueError, match="share an id"):
        PepperSet(Pepper("p1", SECRET), [Pepper("p1", SECRET[::-1])])
