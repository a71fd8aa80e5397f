"""
Under which digests the text of a key may be stored: every form under every pepper, at most `MAX_CANDIDATES`.

The form of keys made here is always a candidate. A class of keys that were made elsewhere adds those it
enables: the digest that the other system stored, under our pepper. Which ones depends on the text alone
and not on the API that is asked: what is known of a text is remembered for all of them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

from authsvc.domain.api import Api
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import Digest, PepperSet
from authsvc.domain.key_text import KeyClass

MAX_CANDIDATES = 6
MAX_DIGEST_TEXT = 512  # bytes
# The form of an algorithm's name; a part of the configuration's schema.
ALGORITHM = r"(sha256|sha512|hmac-sha256:[a-z0-9][a-z0-9_.-]{0,15}|hmac-sha512:[a-z0-9][a-z0-9_.-]{0,15})"
ENCODINGS = ("hex", "base64", "base64url")

_HEX = re.compile(r"[0-9A-Fa-f]*")


class Candidates:
    """Computes them. Raises `StartupError` for an algorithm without its secret, or for too many candidates."""

    def __init__(self, peppers: PepperSet, apis: Iterable[Api]) -> None:
        self.peppers = peppers
        self._tables = [api.keys for api in apis if any(row.imports for row in api.keys.classes)]
        classes = [row for table in self._tables for row in table.classes if row.imports]
        for row in classes:
            _check(row, classes, peppers)

    def others(self, key: str) -> tuple[Digest, ...]:
        """Return the digests beside that of the current form, in the order in which they count."""
        plain = tuple(pepper.digest(key) for pepper in self.peppers.others)
        algorithms = self._algorithms(key) if self._tables else ()
        if not algorithms:
            return plain
        text = key.encode()
        foreign = [(algorithm, self._foreign(algorithm, text)) for algorithm in algorithms]
        return (*plain, *(pepper.fold(*made) for made in foreign for pepper in self.peppers.all))

    def all(self, key: str) -> tuple[Digest, ...]:
        """Return every digest, that of the current form first."""
        return (self.peppers.current.digest(key), *self.others(key))

    def of_digest(self, algorithm: str, digest: bytes) -> tuple[Digest, ...]:
        """Return under which digests a key may be stored that came as this one, the current pepper's first."""
        return tuple(pepper.fold(algorithm, digest) for pepper in self.peppers.all)

    def _algorithms(self, key: str) -> Sequence[str]:
        found = (table.parse(key) for table in self._tables)
        return sorted({name for row in found if row is not None for name in row.imports})

    def _foreign(self, algorithm: str, text: bytes) -> bytes:
        function, _, name = algorithm.removeprefix("hmac-").partition(":")
        if name:
            return self.peppers.foreign[name].digest(text, function)
        return hashlib.new(function, text).digest()


def form(algorithm: str) -> str:
    """Return what is stored beside the digest of a key that came as another system's digest."""
    return f"hmac({algorithm})"


def digest_size(algorithm: str) -> int:
    """Return how many bytes the other system's digests have."""
    return 64 if "sha512" in algorithm else 32


def decode(text: str, encoding: str) -> bytes | None:
    """Return the bytes of a digest as it is written, None where it is not."""
    if len(text) > MAX_DIGEST_TEXT or not text.isascii():
        return None
    try:
        if encoding == "hex":
            return bytes.fromhex(text) if _HEX.fullmatch(text) else None
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_" if encoding == "base64url" else None, validate=True)
    except ValueError:
        return None


def _check(row: KeyClass, classes: Sequence[KeyClass], peppers: PepperSet) -> None:
    near = (c for c in classes if c.prefix.startswith(row.prefix) or row.prefix.startswith(c.prefix))
    algorithms = {name for c in near for name in c.imports}
    for algorithm in row.imports:
        name = algorithm.partition(":")[2]
        if name and name not in peppers.foreign:
            raise StartupError(
                f"keys with the prefix {row.prefix!r} import {algorithm}: the pepper file has no such secret"
            )
    count = len(peppers.all) * (1 + len(algorithms))
    if count > MAX_CANDIDATES:
        raise StartupError(
            f"a key with the prefix {row.prefix!r} would be looked for under {count} digests, at most "
            f"{MAX_CANDIDATES}: retire a pepper, or end the import of an algorithm"
        )
