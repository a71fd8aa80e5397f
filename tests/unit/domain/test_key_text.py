"""The text of a key: parsed, refused and made."""

from __future__ import annotations

import itertools
import secrets
import zlib
from collections.abc import Callable, Iterator

import pytest

from authsvc.domain.key_text import (
    MAX_TEXT_LENGTH,
    MIN_RANDOM_BITS,
    Alphabet,
    Checksum,
    KeyClass,
    KeyTable,
    hint,
    presentable,
    random_bits,
)
from tests.support.builders import key_class

SEC = key_class(prefix="qv_sec_", alphabet=Alphabet.CROCKFORD32, min_length=32, max_length=32)
SEC_TEST = key_class(
    prefix="qv_sec_test_", environment="test", alphabet=Alphabet.CROCKFORD32, min_length=32, max_length=32
)
PUB = key_class(prefix="qv_pub_", kind="publishable", alphabet=Alphabet.CROCKFORD32, min_length=32, max_length=32)
VERIDIA = KeyTable([SEC, SEC_TEST, PUB])


def cycling(start: int = 0) -> Callable[[str], str]:
    """Return a choice that goes through an alphabet in order."""
    counter: Iterator[int] = itertools.count(start)
    return lambda characters: characters[next(counter) % len(characters)]


@pytest.mark.parametrize("text", ["k", "sk_live_0", "$where", "{0}", "a.b-c~d", "!#&()*+/:;<=>?@[]^_`{|}~$", "k" * 128])
def test_presentable(text: str) -> None:
    """Any visible ASCII but comma, quotes, backslash and percent may be a key of somebody."""
    assert presentable(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="blank"),
        pytest.param("a\tb", id="tab"),
        pytest.param("a\n", id="trailing-newline"),
        pytest.param("a\0", id="nul"),
        pytest.param("a\x7f", id="delete"),
        pytest.param("a,b", id="comma"),
        pytest.param('a"', id="quote"),
        pytest.param("a'", id="single-quote"),
        pytest.param("a\\", id="backslash"),
        pytest.param("a%", id="percent"),
        pytest.param("é", id="not-ascii"),
        pytest.param("\uff41", id="full-width"),
        pytest.param("\u212a", id="kelvin-sign"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param("k" * (MAX_TEXT_LENGTH + 1), id="129-bytes"),
        pytest.param("k" * 1_048_576, id="a-megabyte"),
    ],
)
def test_not_presentable(text: str) -> None:
    """What cannot be a key at all is a malformed credential, not an unknown key."""
    assert not presentable(text)


def test_visible_ascii_is_presentable_but_for_five() -> None:
    """The pattern is written with ranges, and ranges are easy to get wrong."""
    refused = {chr(code) for code in range(256) if not presentable(chr(code))}

    assert refused == {chr(code) for code in range(256) if not 0x21 <= code <= 0x7E} | set("%,\"'\\")


@pytest.mark.parametrize("made", [SEC, SEC_TEST, PUB], ids=lambda c: c.prefix)
def test_a_made_key_parses_as_its_class(made: KeyClass) -> None:
    """The longest prefix decides."""
    text = VERIDIA.generate(made, secrets.choice)

    assert made is VERIDIA.parse(text)
    assert len(text) == len(made.prefix) + 32


def test_the_checksum_is_the_crc_of_everything_before_it() -> None:
    """Scanners outside compute it too, so its definition is public and fixed."""
    made = key_class()
    text = KeyTable([made]).generate(made, lambda _: "0")
    value, digits = zlib.crc32(text[:-6].encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = made.alphabet.characters[digit] + digits

    assert text == "sk_live_" + "0" * 32 + digits


GOOD = VERIDIA.generate(SEC, cycling())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("qv_sec_", id="prefix-alone"),
        pytest.param(GOOD[:-1], id="one-too-short"),
        pytest.param(GOOD + "0", id="one-too-long"),
        pytest.param(GOOD + "\n", id="trailing-newline"),
        pytest.param(" " + GOOD, id="leading-blank"),
        pytest.param(GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), id="checksum-changed"),
        pytest.param(GOOD[:7] + "Z" + GOOD[8:], id="body-changed"),
        pytest.param(GOOD.lower(), id="lower-case"),
        pytest.param(GOOD.swapcase(), id="swapped-case"),
        pytest.param("QV_SEC_" + GOOD[7:], id="prefix-in-upper-case"),
        pytest.param("qv_pub_" + GOOD[7:], id="prefix-of-another-kind"),
        pytest.param("qv_sec_test_" + GOOD[7:], id="environment-inserted"),
        pytest.param("qv_pub_test_" + GOOD[7:], id="prefix-nobody-configured"),
        pytest.param(GOOD[:7] + "I" + GOOD[8:], id="letter-outside-the-alphabet"),
        pytest.param(GOOD[:7] + "\uff10" + GOOD[8:], id="full-width-digit"),
        pytest.param(GOOD[:7] + "\u0660" + GOOD[8:], id="arabic-digit"),
        pytest.param(GOOD[:7] + "\ud800" + GOOD[8:], id="lone-surrogate"),
        pytest.param("' OR 1=1 --", id="sql"),
        pytest.param("$where", id="mongo"),
        pytest.param("%s", id="format"),
        pytest.param("{0}", id="braces"),
        pytest.param("qv_sec_" + "0" * 100_000, id="100-kb"),
    ],
)
def test_no_such_key_can_exist(text: str) -> None:
    """Typos and noise are refused without a query."""
    assert VERIDIA.parse(text) is None


def test_a_shorter_prefix_does_not_rescue_a_body() -> None:
    """A text under a longer prefix is that class's or nobody's."""
    short = key_class(prefix="k_", alphabet=Alphabet.VISIBLE, min_length=1, max_length=100, checksum=Checksum.NONE)
    table = KeyTable([short, key_class(prefix="k_live_")])

    assert short is table.parse("k_other")
    assert table.parse("k_live_other") is None


def test_classes_may_share_a_prefix() -> None:
    """Imported keys often do: their bodies tell them apart."""
    ours = key_class(prefix="k_")
    theirs = key_class(prefix="k_", alphabet=Alphabet.HEX, min_length=32, max_length=40, checksum=Checksum.NONE)
    table = KeyTable([ours, theirs])

    assert ours is table.parse(table.generate(ours, cycling()))
    assert theirs is table.parse("k_" + "0f" * 16)
    assert table.parse("k_" + "0F" * 16) is None


def test_keys_without_a_prefix() -> None:
    """Some products document none; a table with the empty prefix parses every text."""
    opaque = key_class(prefix="", alphabet=Alphabet.HEX, min_length=40, max_length=40)
    table = KeyTable([opaque])

    assert opaque is table.parse(table.generate(opaque, secrets.choice))
    assert table.parse("") is None


def test_imported_keys_may_have_any_visible_text() -> None:
    """Their checksum is unknown to us, even where the class claims one."""
    for checksum in Checksum:
        theirs = key_class(prefix="x", alphabet=Alphabet.VISIBLE, min_length=1, max_length=200, checksum=checksum)
        table = KeyTable([theirs])

        assert theirs is table.parse("x$!~")
        assert table.parse("x y") is None
        assert table.parse("x" + "y" * MAX_TEXT_LENGTH) is None


def test_an_empty_table_knows_no_key() -> None:
    """An API without classes has no keys."""
    assert KeyTable([]).parse("anything") is None
    assert KeyTable([]).creating("secret", None) is None


def test_creating_finds_the_class_of_a_kind_and_environment() -> None:
    """Classes that only import are never made."""
    imported = key_class(prefix="old_", min_length=20, max_length=40)
    table = KeyTable([imported, SEC, SEC_TEST, PUB])

    assert SEC is table.creating("secret", "live")
    assert SEC_TEST is table.creating("secret", "test")
    assert table.creating("publishable", "test") is None
    assert table.creating("secret", None) is None


@pytest.mark.parametrize(
    ("changes", "creates"),
    [
        pytest.param({}, True, id="fixed-length"),
        pytest.param({"max_length": 39}, False, id="varying-length"),
        pytest.param({"alphabet": Alphabet.VISIBLE}, False, id="any-alphabet"),
    ],
)
def test_creates(changes: dict[str, object], *, creates: bool) -> None:
    """A class makes keys only where it says exactly what they look like."""
    assert creates == key_class(**changes).creates


def test_a_body_that_begins_like_a_longer_prefix_is_drawn_again() -> None:
    """A live key must never read as a test key."""
    live = key_class(prefix="a", alphabet=Alphabet.HEX, min_length=40, max_length=40)
    test = key_class(prefix="ab", alphabet=Alphabet.HEX, min_length=40, max_length=40)
    draws = iter("b" * 32 + "c" * 32)
    text = KeyTable([live, test]).generate(live, lambda _: next(draws))

    assert text.startswith("a" + "c" * 32)


def test_a_class_without_room_is_an_error_not_a_loop() -> None:
    """Two equal classes, of which the second is never reached, used to hang the process."""
    first, second = key_class(), key_class(kind="publishable")

    with pytest.raises(ValueError, match="no key of kind 'publishable' under 'sk_live_' would parse"):
        KeyTable([first, second]).generate(second, secrets.choice)


@pytest.mark.parametrize(
    ("alphabet", "checksum", "length", "bits"),
    [
        pytest.param(Alphabet.BASE62, Checksum.CRC32, 38, 190.5, id="base62"),
        pytest.param(Alphabet.CROCKFORD32, Checksum.CRC32, 32, 125.0, id="crockford-with-checksum"),
        pytest.param(Alphabet.CROCKFORD32, Checksum.NONE, 32, 160.0, id="crockford"),
        pytest.param(Alphabet.UPPER, Checksum.CRC32, 32, 129.2, id="upper"),
        pytest.param(Alphabet.HEX, Checksum.CRC32, 40, 128.0, id="hex"),
    ],
)
def test_random_bits(alphabet: Alphabet, checksum: Checksum, length: int, bits: float) -> None:
    """The checksum carries no randomness."""
    made = key_class(alphabet=alphabet, checksum=checksum, min_length=length, max_length=length)

    assert bits == round(random_bits(made), 1)
    assert MIN_RANDOM_BITS == 128


def test_a_hint_is_the_prefix_and_four_characters() -> None:
    """Enough to recognise a key, and nearly all of its randomness stays unknown."""
    assert hint(SEC, GOOD) == GOOD[:11]
