"""
The audit trail: what an event is, and the chain by which an altered or a removed one is noticed.

Every event carries `HMAC(key, event before it ‖ all of its own columns)`. The key is derived from a
pepper, which is not in the database: who can write there can destroy the trail, and cannot rewrite it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from authsvc.domain.hashing import Pepper, PepperSet
from authsvc.domain.keys import Micros, Revision

MAC_SIZE = 32
NONCE_SIZE = 16
BEGINNING = bytes(MAC_SIZE)  # stands for the event before the first one

_KEY_CONTEXT = b"authsvc/audit-key/1"
_ID_CONTEXT = b"authsvc/audit-key-id/1"
_EVENT_CONTEXT = b"authsvc/audit-event/1\0"
_WRAP_CONTEXT = b"authsvc/audit-wrap/1"
_WRAP_TAG_CONTEXT = b"authsvc/audit-wrap-tag/1"
_TAG_SIZE = 16

PRUNE = "audit.prune"
AUDIT = "audit"  # the kind of what it was done to


class Outcome(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event as it is stored. Texts are empty where there is nothing to tell."""

    seq: int
    at: Micros
    actor_key_id: str
    actor_organization_id: str
    address: str
    action: str
    target_kind: str
    target_id: str
    organization_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str
    request_id: str
    revision: Revision | None  # None: no key and no organization was changed
    outcome: Outcome
    count: int
    mac: bytes | None  # None: written before there was a chain


class AuditKey:
    """One key of the chain. It does not lead back to the pepper it was derived from; its text form shows neither."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.id = hmac.digest(secret, _ID_CONTEXT, hashlib.sha256)[:8].hex()

    @classmethod
    def of(cls, pepper: Pepper) -> AuditKey:
        """Derive the key of a pepper."""
        return cls(pepper.mac(_KEY_CONTEXT, b""))

    def mac(self, previous: bytes, columns: Mapping[str, Any]) -> bytes:
        """Return the 32 bytes that authenticate an event and, by those of the one before, all before it."""
        # A column without a value is left out, so that one that is added later changes no old event.
        told = {name: value for name, value in columns.items() if value is not None}
        text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hmac.digest(self._secret, _EVENT_CONTEXT + previous + text.encode(), hashlib.sha256)

    def wrapped(self, pepper: Pepper, nonce: bytes) -> bytes:
        """Return the key encrypted under a pepper; `nonce` are 16 bytes that were never used before."""
        hidden = _xor(self._secret, pepper.mac(_WRAP_CONTEXT, nonce))
        return nonce + hidden + pepper.mac(_WRAP_TAG_CONTEXT, nonce + hidden)[:_TAG_SIZE]

    @classmethod
    def unwrapped(cls, pepper: Pepper, wrapped: bytes) -> AuditKey | None:
        """Return the key that was encrypted under a pepper; None where it was another pepper."""
        nonce, hidden, tag = wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:-_TAG_SIZE], wrapped[-_TAG_SIZE:]
        if not hmac.compare_digest(tag, pepper.mac(_WRAP_TAG_CONTEXT, nonce + hidden)[:_TAG_SIZE]):
            return None
        return cls(_xor(hidden, pepper.mac(_WRAP_CONTEXT, nonce)))

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"AuditKey({self.id!r}, …)"


class AuditKeys:
    """The keys of the accepted peppers; new events are authenticated with that of the current one."""

    def __init__(self, peppers: PepperSet) -> None:
        self.current = AuditKey.of(peppers.current)
        self.all = tuple(AuditKey.of(pepper) for pepper in peppers.plain)

    def __repr__(self) -> str:
        """Name the keys, never their secrets."""
        return f"AuditKeys(current={self.current!r})"


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
