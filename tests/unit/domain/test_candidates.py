"""Under which digests a text is looked for: every form its class enables, under every accepted pepper, and no more."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from authsvc.domain import candidates
from authsvc.domain.candidates import MAX_CANDIDATES, Candidates
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import ForeignPepper, Pepper, PepperSet, WrappedPepper
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from tests.support.builders import api, key_class

OLD = Pepper("p1", b"1" * 32)
NEW = Pepper("p2", b"2" * 32)
FOREIGN = ForeignPepper("old", b"f" * 32)
TEXT = "old_0123456789abcdef"


def product(*imports: str, name: str = "shop", prefix: str = "old_") -> object:
    """A product that makes its own keys and takes those with another prefix."""
    foreign = key_class(
        prefix=prefix, alphabet=Alphabet.VISIBLE, min_length=8, max_length=64, checksum=Checksum.NONE, imports=imports
    )
    return api(name=name, keys=KeyTable([key_class(), foreign]))


def test_one_pepper_and_no_imports_is_one_digest() -> None:
    """As it was before there were others: nothing is computed beside the current form."""
    known = Candidates(PepperSet(NEW, []), [api()])

    assert () == known.others(TEXT)
    assert (NEW.digest(TEXT),) == known.all(TEXT)


def test_forms_and_peppers_multiply() -> None:
    """The current form first, then our own under other peppers, then the other systems'."""
    known = Candidates(PepperSet(NEW, [OLD], foreign={"old": FOREIGN}), [product("sha256", "hmac-sha256:old")])

    plain = hashlib.sha256(TEXT.encode()).digest()
    keyed = hmac.digest(b"f" * 32, TEXT.encode(), "sha256")
    assert (
        NEW.digest(TEXT),
        OLD.digest(TEXT),
        NEW.fold("hmac-sha256:old", keyed),
        OLD.fold("hmac-sha256:old", keyed),
        NEW.fold("sha256", plain),
        OLD.fold("sha256", plain),
    ) == known.all(TEXT)
    assert len(known.all(TEXT)) == MAX_CANDIDATES


def test_another_prefix_has_our_own_forms_only() -> None:
    """Algorithms are enabled for a class of keys, not for all of them."""
    known = Candidates(PepperSet(NEW, []), [product("sha512")])

    assert () == known.others("new_0123456789abcdef")


def test_what_is_looked_for_does_not_depend_on_the_api_that_asks() -> None:
    """Absence is remembered by text alone: it must be absence under every API's forms."""
    known = Candidates(PepperSet(NEW, []), [product(name="one"), product("sha256", name="two")])

    assert (NEW.fold("sha256", hashlib.sha256(TEXT.encode()).digest()),) == known.others(TEXT)


def test_the_digest_of_another_system_leads_to_the_text() -> None:
    """What an import stores is what a lookup of the text looks for."""
    known = Candidates(PepperSet(NEW, [OLD]), [product("sha512")])

    imported = known.of_digest("sha512", hashlib.sha512(TEXT.encode()).digest())
    assert known.others(TEXT)[1:] == imported


def test_too_many_digests_stop_the_start() -> None:
    """Whoever guesses at keys must not make us look for more than six digests each time."""
    third = Pepper("p3", b"3" * 32)

    with pytest.raises(StartupError, match="looked for under 9 digests, at most 6"):
        Candidates(PepperSet(NEW, [OLD, third]), [product("sha256", "sha512")])


def test_apis_that_share_a_prefix_are_counted_together() -> None:
    """One text may be a key of both."""
    apis = [product("sha256", name="one"), product("sha512", name="two", prefix="old_live_")]

    with pytest.raises(StartupError, match="at most 6"):
        Candidates(PepperSet(NEW, [OLD, Pepper("p3", b"3" * 32)]), apis)


def test_an_hmac_without_its_secret_stops_the_start() -> None:
    """Else its keys would silently be unknown."""
    with pytest.raises(StartupError, match="import hmac-sha256:old: the pepper file has no such secret"):
        Candidates(PepperSet(NEW, []), [product("hmac-sha256:old")])


def test_a_wrapped_pepper_is_a_chain() -> None:
    """What is stored is the outer pepper over what the inner one made, for our own and for imported keys."""
    wrapped = WrappedPepper(OLD, NEW)

    assert ("p2(p1)", NEW.wrap(OLD.digest(TEXT))) == (wrapped.id, wrapped.digest(TEXT))
    assert NEW.wrap(OLD.fold("sha256", b"d")) == wrapped.fold("sha256", b"d")
    assert "1" * 8 not in repr(wrapped) + repr(FOREIGN)
    assert len({wrapped.check, OLD.check, NEW.check, WrappedPepper(NEW, OLD).check}) == 4


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        pytest.param("00fF", "hex", b"\x00\xff", id="hex"),
        pytest.param("00f", "hex", None, id="odd-hex"),
        pytest.param("0 0f", "hex", None, id="blank-in-hex"),
        pytest.param("+/8=", "base64", b"\xfb\xff", id="base64"),
        pytest.param("+/8", "base64", b"\xfb\xff", id="base64-unfilled"),
        pytest.param("-_8", "base64url", b"\xfb\xff", id="base64url"),
        pytest.param("-_8", "base64", None, id="wrong-alphabet"),
        pytest.param("é", "base64", None, id="not-ascii"),
        pytest.param("0" * 514, "hex", None, id="long"),
    ],
)
def test_how_digests_are_written(text: str, encoding: str, expected: bytes | None) -> None:
    """Each encoding strictly, and nothing that could be meant otherwise."""
    assert expected == candidates.decode(text, encoding)
