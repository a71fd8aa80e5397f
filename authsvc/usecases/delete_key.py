"""Delete a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.ports import Clock, KeyCache, Recalled, Registry
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.last_administrator import LastAdministrator
from authsvc.usecases.retries import once
from authsvc.usecases.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Which key to delete and why. An empty etag is whichever is current."""

    key_id: str
    reason: str
    etag: str
    force: bool
    request_id: str
    body: bytes


class DeleteKey:
    """When it returns, no request that starts afterwards is allowed to the key by this instance."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._get = GetKey(registry)
        self._last = LastAdministrator(registry, apis, clock)

    async def __call__(self, caller: Administrator, request: Deletion) -> Changed[Key]:
        """Delete a key within the caller's reach, a stronger one too."""
        inputs.key_id(request.key_id)
        request = replace(request, reason=inputs.reason(request.reason))
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        return await once(self._registry, actor, lambda: self._work(caller, request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> Changed[Key]:
        key = await self._registry.get_tombstone(earlier.target_id)
        self._keys.invalidate(earlier.revision, key.record.id)
        return Changed(value=key, revision=earlier.revision)

    async def _work(self, caller: Administrator, request: Deletion, actor: Actor) -> Changed[Key]:
        key = await self._get(caller, request.key_id, request.etag)

        async def store(others: Sequence[Key] | None) -> Changed[Key]:
            return await uninterrupted(self._delete(key.record.id, request, actor, others))

        return await (store(None) if request.force else self._last.keeping(caller, (key,), store))

    async def _delete(self, key_id: str, request: Deletion, actor: Actor, others: Sequence[Key] | None) -> Changed[Key]:
        changed = await self._registry.delete_key(key_id, request.reason, actor, etag=request.etag, others=others)
        self._keys.invalidate(changed.revision, key_id)
        return changed
