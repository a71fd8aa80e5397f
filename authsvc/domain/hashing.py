"""
The keyed hash under which a key is stored and found.

`HMAC-SHA-256(pepper, context ‖ key)`. Keys carry at least 128 random bits, so a slow hash would add
nothing but a way to exhaust us. The pepper makes a stolen database useless for testing candidates,
and an inserted row useless without it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from typing import NewType

Digest = NewType("Digest", bytes)  # 32 bytes

DIGEST_SIZE = 32
MIN_PEPPER_SIZE = 32

PLAIN = "hmac"  # the algorithm of keys made here

_KEY_CONTEXT = b"authsvc/apikey/1\0"
_IMPORT_CONTEXT = b"authsvc/import/1\0"
_WRAP_CONTEXT = b"authsvc/wrap/1"
_CHECK_CONTEXT = b"authsvc/pepper-check/1"
_BLOCK_SIZE = 64  # of SHA-256


class Pepper:
    """One secret with its id. Its text form never shows the secret."""

    def __init__(self, pepper_id: str, secret: bytes) -> None:
        if len(secret) < MIN_PEPPER_SIZE:
            message = f"pepper {pepper_id!r} is shorter than {MIN_PEPPER_SIZE} bytes"
            raise ValueError(message)
        self.id = pepper_id
        padded = (secret if len(secret) <= _BLOCK_SIZE else hashlib.sha256(secret).digest()).ljust(_BLOCK_SIZE, b"\0")
        # The keyed states are computed once; copying them halves the cost of hmac.digest() per key.
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
        self._key_inner = self._inner.copy()
        self._key_inner.update(_KEY_CONTEXT)

    def digest(self, key: str) -> Digest:
        """Return the digest under which `key` (visible ASCII) is stored."""
        inner = self._key_inner.copy()
        inner.update(key.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return Digest(outer.digest())

    def fold(self, algorithm: str, digest: bytes) -> Digest:
        """Return the digest under which a key is stored that came as the digest of another system."""
        return Digest(self.mac(_IMPORT_CONTEXT + algorithm.encode(), digest))

    def wrap(self, digest: Digest) -> Digest:
        """Return the digest that takes the place of one under a pepper that is no secret any more."""
        return Digest(self.mac(_WRAP_CONTEXT, digest))

    def mac(self, context: bytes, message: bytes) -> bytes:
        """Return a 32-byte HMAC for another purpose; `context` keeps the purposes apart."""
        inner = self._inner.copy()
        inner.update(context + b"\0" + message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    @property
    def check(self) -> bytes:
        """Eight bytes that tell, when stored beside the keys, whether a process has the right pepper."""
        return self.mac(_CHECK_CONTEXT, b"")[:8]

    def __repr__(self) -> str:
        """Name the pepper, never its secret."""
        return f"Pepper({self.id!r}, …)"


class WrappedPepper:
    """
    A pepper that leaked, under one that did not: what is stored is `outer` over what `inner` made of a key.

    It is accepted like any other pepper; its id, `outer(inner)`, is what its rows are stored with.
    """

    def __init__(self, inner: AnyPepper, outer: Pepper) -> None:
        self.id: str = f"{outer.id}({inner.id})"
        self._inner = inner
        self._outer = outer

    @property
    def innermost(self) -> Pepper:
        """The pepper that leaked."""
        return self._inner if isinstance(self._inner, Pepper) else self._inner.innermost

    def digest(self, key: str) -> Digest:
        """Return the digest under which `key` is stored."""
        return self._outer.wrap(self._inner.digest(key))

    def fold(self, algorithm: str, digest: bytes) -> Digest:
        """Return the digest under which an imported key is stored."""
        return self._outer.wrap(self._inner.fold(algorithm, digest))

    @property
    def check(self) -> bytes:
        """Eight bytes that tell whether a process has both peppers."""
        return self._outer.mac(_CHECK_CONTEXT, self._inner.check)[:8]

    def __repr__(self) -> str:
        """Name the peppers, never their secrets."""
        return f"WrappedPepper({self.id!r}, …)"


AnyPepper = Pepper | WrappedPepper


class ForeignPepper:
    """The secret under which another system hashed its keys; `HMAC(secret, key)`, without a context."""

    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self._secret = secret

    def digest(self, key: bytes, function: str) -> bytes:
        """Return what the other system stored."""
        return hmac.digest(self._secret, key, function)

    def __repr__(self) -> str:
        """Name the secret, never show it."""
        return f"ForeignPepper({self.name!r}, …)"


class PepperSet:
    """
    The peppers a process accepts; new keys are stored under the current one.

    `newer` are the ids of those that are to become current: what is stored under them stays so.
    """

    def __init__(
        self,
        current: Pepper,
        others: Sequence[AnyPepper],
        *,
        newer: Collection[str] = (),
        foreign: Mapping[str, ForeignPepper] | None = None,
    ) -> None:
        self.current = current
        self.others = tuple(others)
        self.all: tuple[AnyPepper, ...] = (current, *others)
        # Each as it was before it was wrapped, for what was not made for keys.
        self.plain = tuple(pepper if isinstance(pepper, Pepper) else pepper.innermost for pepper in self.all)
        self.newer = frozenset(newer)
        self.foreign = dict(foreign or {})
        if len({pepper.id for pepper in self.all}) != len(self.all):
            message = "two peppers share an id"
            raise ValueError(message)

    def __repr__(self) -> str:
        """Name the peppers, never their secrets."""
        return f"PepperSet(current={self.current.id!r}, others={[pepper.id for pepper in self.others]!r})"
