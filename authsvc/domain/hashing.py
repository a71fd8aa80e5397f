"""
The keyed hash under which a key is stored and found.

`HMAC-SHA-256(pepper, context ‖ key)`. Keys carry at least 128 random bits, so a slow hash would add
nothing but a way to exhaust us. The pepper makes a stolen database useless for testing candidates,
and an inserted row useless without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NewType

Digest = NewType("Digest", bytes)  # 32 bytes

DIGEST_SIZE = 32
MIN_PEPPER_SIZE = 32

_KEY_CONTEXT = b"authsvc/apikey/1\0"
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
        return self.mac(b"authsvc/pepper-check/1", b"")[:8]

    def __repr__(self) -> str:
        """Name the pepper, never its secret."""
        return f"Pepper({self.id!r}, …)"


class PepperSet:
    """The peppers a process accepts; new keys are stored under the current one."""

    def __init__(self, current: Pepper, others: Sequence[Pepper]) -> None:
        self.current = current
        self.others = tuple(others)
        self.all = (current, *others)
        if len({pepper.id for pepper in self.all}) != len(self.all):
            message = "two peppers share an id"
            raise ValueError(message)

    def __repr__(self) -> str:
        """Name the peppers, never their secrets."""
        return f"PepperSet(current={self.current.id!r}, others={[pepper.id for pepper in self.others]!r})"
