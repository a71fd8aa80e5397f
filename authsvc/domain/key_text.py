"""
The text of a key: which class it belongs to, whether it is well formed, how one is made.

`<prefix><random><checksum>`. The checksum is the CRC-32 of everything before it, written in the
class's own alphabet. It rejects typos and scanner noise without a query and is not a security
control: anyone can compute it.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

MAX_TEXT_LENGTH = 128  # bytes; longer text is refused before it is hashed

# NIST SP 800-63B-4 allows a plain approved hash for look-up secrets from 112 bits; OWASP ASVS
# 11.5.1 asks for 128 bits of randomness.
MIN_RANDOM_BITS = 128


class Alphabet(StrEnum):
    """The characters of a key's body."""

    BASE62 = "base62"
    CROCKFORD32 = "crockford32"  # upper case, no I, L, O, U
    UPPER = "upper"  # digits and upper-case letters
    HEX = "hex"  # lower case
    VISIBLE = "visible"  # any character a key may have; for keys made elsewhere, never generated

    @property
    def characters(self) -> str:
        """The characters in order of their value; empty for `VISIBLE`."""
        return _CHARACTERS[self]


_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHARACTERS = {
    Alphabet.BASE62: _DIGITS + _UPPER + _UPPER.lower(),
    Alphabet.CROCKFORD32: _DIGITS + "ABCDEFGHJKMNPQRSTVWXYZ",
    Alphabet.UPPER: _DIGITS + _UPPER,
    Alphabet.HEX: _DIGITS + "abcdef",
    Alphabet.VISIBLE: "",
}

# A body begins like a longer prefix by chance; where this many do, the table leaves no room for the class.
_MAX_ATTEMPTS = 1000

# Visible ASCII without comma (Envoy joins repeated headers with it), quotes, backslash and percent.
_PRESENTABLE = re.compile(r"[!#$&(-+\--\[\]-~]{1,128}")


class Checksum(StrEnum):
    """How the end of a key's body is bound to the rest."""

    CRC32 = "crc32"
    NONE = "none"


# Every guess at a key asks for them, and reading a member through its class takes a while.
_VISIBLE, _UNCHECKED = Alphabet.VISIBLE, Checksum.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClass:
    """One row of an API's prefix table. Lengths count the body: random part and checksum."""

    prefix: str
    kind: str
    environment: str | None
    alphabet: Alphabet
    min_length: int
    max_length: int
    checksum: Checksum
    imports: tuple[str, ...]  # digest algorithms of imported keys to try for this class

    @property
    def creates(self) -> bool:
        """Whether keys of this class can be made here (and not only imported)."""
        return self.min_length == self.max_length and self.alphabet is not Alphabet.VISIBLE


def presentable(text: str) -> bool:
    """Whether text can be a key at all; anything else is a malformed credential."""
    return _PRESENTABLE.fullmatch(text) is not None


def random_bits(key_class: KeyClass) -> float:
    """How many bits of randomness a generated key of this class carries."""
    return (key_class.min_length - _checksum_length(key_class)) * math.log2(len(key_class.alphabet.characters))


class KeyTable:
    """An API's key classes, ready to parse with: the longest prefix decides."""

    def __init__(self, classes: Sequence[KeyClass]) -> None:
        self.classes = tuple(classes)
        by_prefix: dict[str, list[KeyClass]] = {}
        for key_class in classes:
            by_prefix.setdefault(key_class.prefix, []).append(key_class)
        self._by_prefix = [(prefix, by_prefix[prefix]) for prefix in sorted(by_prefix, key=len, reverse=True)]

    def parse(self, text: str) -> KeyClass | None:
        """Return the class text belongs to, or None when no such key can exist."""
        for prefix, classes in self._by_prefix:
            if text.startswith(prefix):
                # A shorter prefix must not rescue a body that its longest prefix refuses.
                for key_class in classes:
                    if _well_formed(key_class, text):
                        return key_class
                return None
        return None

    def creating(self, kind: str, environment: str | None) -> KeyClass | None:
        """Return the one class that makes keys of this kind and environment."""
        return next((c for c in self.classes if c.creates and (c.kind, c.environment) == (kind, environment)), None)

    def generate(self, key_class: KeyClass, choice: Callable[[str], str]) -> str:
        """Make a key; `choice` draws one character from a cryptographic source."""
        count = key_class.min_length - _checksum_length(key_class)
        for _ in range(_MAX_ATTEMPTS):
            stem = key_class.prefix + "".join(choice(key_class.alphabet.characters) for _ in range(count))
            text = stem + _checksum(key_class, stem)
            # A body may by chance begin like a longer prefix; such a text would parse as another class.
            if self.parse(text) is key_class:
                return text
        message = f"no key of kind {key_class.kind!r} under {key_class.prefix!r} would parse as one"
        raise ValueError(message)


def hint(key_class: KeyClass, text: str) -> str:
    """Return what lists and logs may show of a key: its prefix and four characters of its body."""
    return text[: len(key_class.prefix) + 4]


def _well_formed(key_class: KeyClass, text: str) -> bool:
    body = text[len(key_class.prefix) :]
    if not key_class.min_length <= len(body) <= key_class.max_length:
        return False
    if key_class.alphabet is _VISIBLE:
        return presentable(text)
    if _body(key_class.alphabet).fullmatch(body) is None:
        return False
    length = _checksum_length(key_class)
    return length == 0 or _checksum(key_class, text[:-length]) == text[-length:]


@lru_cache
def _body(alphabet: Alphabet) -> re.Pattern[str]:
    return re.compile(f"[{alphabet.characters}]+")


def _checksum_length(key_class: KeyClass) -> int:
    return 0 if key_class.checksum is _UNCHECKED else _crc_length(key_class.alphabet)


@lru_cache
def _crc_length(alphabet: Alphabet) -> int:
    # As many digits as the largest CRC-32 needs: 6 in base62, 7 in base32 and base36, 8 in hex.
    base = len(alphabet.characters)
    return next(length for length in range(1, 33) if base**length >= 2**32) if base > 1 else 0


def _checksum(key_class: KeyClass, stem: str) -> str:
    value, digits, pairs = zlib.crc32(stem.encode()), "", _pairs(key_class.alphabet)
    length = _checksum_length(key_class)
    # Two digits at a time: every guess at a key comes here.
    for _ in range((length + 1) // 2):
        value, digit = divmod(value, len(pairs))
        digits = pairs[digit] + digits
    return digits[-length:] if length else ""


@lru_cache
def _pairs(alphabet: Alphabet) -> tuple[str, ...]:
    return tuple(high + low for high in alphabet.characters for low in alphabet.characters)
