"""Revoke a key."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import ADMIN_API, Actor, Changed, Key
from authsvc.domain.administrator import KEYS_WRITE, Administrator, holds
from authsvc.domain.api import Apis
from authsvc.domain.errors import ConflictError, FailedPreconditionError
from authsvc.domain.lifecycle import LIVE, status_of
from authsvc.ports import Clock, KeyCache, KeyFilter, Registry
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.uninterrupted import uninterrupted

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Which key to revoke and why. An empty etag is whichever is current."""

    key_id: str
    reason: str
    include_successor: bool
    etag: str
    force: bool
    request_id: str


class RevokeKey:
    """When it returns, no request that starts afterwards is allowed to the key by this instance."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._apis = apis
        self._clock = clock
        self._get = GetKey(registry)

    async def __call__(self, caller: Administrator, request: Revocation) -> Changed[Key]:
        """Revoke a key within the caller's reach, a stronger one too."""
        reason = inputs.reason(request.reason)
        actor = caller.actor(inputs.request_id(request.request_id))
        key = await self._get(caller, request.key_id)
        if request.etag and request.etag != key.etag:
            raise ConflictError("the key has changed since it was read: read it again")
        if request.include_successor and key.successor_id is not None:
            raise FailedPreconditionError("revoke the successor by its own id")
        if not request.force and await self._is_last_administrator(key):
            raise FailedPreconditionError("it is the last key that can make keys: nobody could administer any more")
        return await uninterrupted(self._revoke(key.record.id, reason, actor))

    async def _revoke(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        changed = await self._registry.revoke_key(key_id, reason, actor)
        self._keys.invalidate(changed.revision, key_id)
        return changed

    async def _is_last_administrator(self, key: Key) -> bool:
        if key.record.api != ADMIN_API or not self._administers(key):
            return False
        where, after = KeyFilter(api=ADMIN_API), None
        while True:
            page = await self._registry.list_keys(where, _PAGE, after)
            if any(other.record.id != key.record.id and self._administers(other) for other in page.items):
                return False
            if not page.next_token:
                return True
            after = page.items[-1].record.id

    def _administers(self, key: Key) -> bool:
        api = self._apis.by_name[ADMIN_API]
        return status_of(key.record, self._clock.now()) in LIVE and holds(key.record, api, KEYS_WRITE)
