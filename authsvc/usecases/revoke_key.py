"""Revoke a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import NotFoundError
from authsvc.ports import Clock, KeyCache, Recalled, Registry
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.last_administrator import LastAdministrator
from authsvc.usecases.retries import current, once
from authsvc.usecases.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Which key to revoke and why. An empty etag is whichever is current."""

    key_id: str
    reason: str
    include_successor: bool
    etag: str
    force: bool
    request_id: str
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """The key that works no longer, and the successor that was revoked with it."""

    changed: Changed[Key]
    successor: Key | None

    @property
    def value(self) -> Key:
        """Return the key."""
        return self.changed.value


class RevokeKey:
    """When it returns, no request that starts afterwards is allowed to the key by this instance."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._get = GetKey(registry)
        self._last = LastAdministrator(registry, apis, clock)

    async def __call__(self, caller: Administrator, request: Revocation) -> Revoked:
        """Revoke a key within the caller's reach, a stronger one too."""
        inputs.key_id(request.key_id)
        request = replace(request, reason=inputs.reason(request.reason))
        actor = caller.actor(inputs.request_id(request.request_id), request.body)

        async def recall(earlier: Recalled) -> Revoked:
            key = await self._registry.get_tombstone(earlier.target_id)
            successor = await self._successor(key) if request.include_successor else None
            self._keys.invalidate(earlier.revision, *_ids(key, successor))
            return Revoked(changed=Changed(value=key, revision=earlier.revision), successor=successor)

        return await once(self._registry, actor, lambda: self._work(caller, request, actor), recall)

    async def _work(self, caller: Administrator, request: Revocation, actor: Actor) -> Revoked:
        async def prepare() -> tuple[Key, Key | None]:
            key = await self._get(caller, request.key_id, request.etag)
            return key, await self._successor(key) if request.include_successor else None

        return await current(prepare, lambda ending: self._end(caller, *ending, request, actor), version=request.etag)

    async def _end(
        self, caller: Administrator, key: Key, successor: Key | None, request: Revocation, actor: Actor
    ) -> Revoked:
        async def store(others: Sequence[Key] | None) -> Revoked:
            return await uninterrupted(self._revoke(key, successor, request, actor, others))

        ending = (key,) if successor is None else (key, successor)
        return await (store(None) if request.force else self._last.keeping(caller, ending, store))

    async def _successor(self, key: Key) -> Key | None:
        if key.successor_id is None:
            return None
        try:
            return await self._registry.get_key(key.successor_id)
        except NotFoundError:  # deleted: it is dead already
            return None

    async def _revoke(
        self, key: Key, successor: Key | None, request: Revocation, actor: Actor, others: Sequence[Key] | None
    ) -> Revoked:
        ids = _ids(key, successor)
        changed = await self._registry.revoke_keys(
            ids,
            request.reason,
            actor,
            etag=request.etag,
            others=others,
            as_read=key,
            # Whoever has the key may be rotating it at this moment: the successor must not be missed.
            same_successor=request.include_successor,
        )
        self._keys.invalidate(changed.revision, *ids)
        key, *others = changed.value
        return Revoked(changed=Changed(value=key, revision=changed.revision), successor=others[0] if others else None)


def _ids(key: Key, successor: Key | None) -> tuple[str, ...]:
    return (key.record.id,) if successor is None else (key.record.id, successor.record.id)
