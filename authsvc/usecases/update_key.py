"""Change a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import FailedPreconditionError, InvalidInputError
from authsvc.domain.issuing import Wanted
from authsvc.domain.keys import KeyRecord
from authsvc.domain.updating import Update, update_of
from authsvc.ports import Clock, KeyCache, Recalled, Registry
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.last_administrator import LastAdministrator
from authsvc.usecases.reach import check_reach
from authsvc.usecases.retries import current, once

# What nobody changes of the key that makes the call: another administrator does.
_NOT_OF_ONESELF = frozenset({"scopes", "full_access", "expires_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """Which fields of which key to change, and to what. An empty etag is whichever is current."""

    key_id: str
    fields: frozenset[str]
    wanted: Wanted
    etag: str
    request_id: str
    body: bytes


class UpdateKey:
    """When it returns, this instance decides by the changed key."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._apis = apis
        self._clock = clock
        self._get = GetKey(registry)
        self._last = LastAdministrator(registry, apis, clock)

    async def __call__(self, caller: Administrator, request: KeyChange) -> Changed[Key]:
        """Change a key within the caller's reach into one that can do no more than the caller."""
        inputs.key_id(request.key_id)
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        if request.key_id == caller.record.id and request.fields & _NOT_OF_ONESELF:
            raise InvalidInputError("update_mask: a key does not change its own scopes or expiry")
        return await once(self._registry, actor, lambda: self._work(caller, request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> Changed[Key]:
        key = await self._registry.get_tombstone(earlier.target_id)
        self._keys.invalidate(earlier.revision, key.record.id)
        return Changed(value=key, revision=earlier.revision)

    async def _work(self, caller: Administrator, request: KeyChange, actor: Actor) -> Changed[Key]:
        async def prepare() -> tuple[Key, Update]:
            key = await self._get(caller, request.key_id, request.etag)
            return key, await self._update(caller, key, request)

        return await current(prepare, lambda prepared: self._store(caller, *prepared, actor), version=request.etag)

    async def _update(self, caller: Administrator, key: Key, request: KeyChange) -> Update:
        api = self._apis.by_name.get(key.record.api)
        if api is None:
            raise FailedPreconditionError("the key's API is not configured any more")
        if key.record.revoked_at is not None:
            raise FailedPreconditionError("the key is revoked")
        update = update_of(key, request.fields, request.wanted, api, self._clock.now())
        check_reach(caller, api, update.terms)
        # Who is shut out cannot undo it.
        own = key.record.id == caller.record.id and "networks" in request.fields
        if own and not caller.is_within(update.terms.networks):
            raise InvalidInputError("networks: they have to contain the address from which a key changes its own")
        return update

    async def _store(self, caller: Administrator, key: Key, update: Update, actor: Actor) -> Changed[Key]:
        async def store(others: Sequence[Key] | None) -> Changed[Key]:
            changed = await self._registry.update_key(key.record.id, key.etag, update, actor, others=others)
            self._keys.invalidate(changed.revision, key.record.id)
            return changed

        if self._last.weakens(caller, key.record, _changed(key.record, update)):
            return await self._last.keeping(caller, (key,), store)
        return await store(None)


def _changed(record: KeyRecord, update: Update) -> KeyRecord:
    terms = update.terms
    return replace(
        record,
        scopes=terms.scopes,
        full_access=terms.full_access,
        networks=terms.networks,
        not_before=terms.not_before,
        expires_at=terms.expires_at,
    )
