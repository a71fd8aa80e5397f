"""Replace a key: a successor with the same terms, and a grace in which the old one still works."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Changed, Key, Rotated
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis
from authsvc.domain.errors import (
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from authsvc.domain.grants import terms_of
from authsvc.domain.issuing import Issue
from authsvc.domain.keys import Micros
from authsvc.domain.lifecycle import LIVE, KeyStatus, status_of
from authsvc.domain.secret import Secret
from authsvc.ports import Clock, KeyCache, Recalled, Registry
from authsvc.usecases.create_key import Mint
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.reach import check_reach
from authsvc.usecases.retries import current, once

_REPLACEABLE = LIVE | {KeyStatus.NOT_YET_VALID}
_MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Which key to replace. No grace is the API's default, an empty etag is whichever is current."""

    key_id: str
    grace: Micros | None
    etag: str
    request_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKey:
    """The successor and the key it replaces; None for a text that was shown already."""

    changed: Changed[Rotated]
    secret: Secret | None


class RotateKey:
    """Makes the successor. Of several calls at once for one key, one does."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, mint: Mint, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._apis = apis
        self._mint = mint
        self._clock = clock
        self._get = GetKey(registry)

    async def __call__(self, caller: Administrator, request: Rotation) -> RotatedKey:
        """Replace a key within the caller's reach that can do no more than the caller."""
        inputs.key_id(request.key_id)
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        return await once(self._registry, actor, lambda: self._work(caller, request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> RotatedKey:
        key = await self._registry.get_tombstone(earlier.target_id)
        if key.predecessor_id is None:
            raise UnavailableError("the rotation cannot be recalled")
        predecessor = await self._registry.get_tombstone(key.predecessor_id)
        self._keys.invalidate(earlier.revision, predecessor.record.id)
        rotated = Rotated(key=key, predecessor=predecessor)
        return RotatedKey(changed=Changed(value=rotated, revision=earlier.revision), secret=None)

    async def _work(self, caller: Administrator, request: Rotation, actor: Actor) -> RotatedKey:
        async def prepare() -> tuple[Key, Api, Micros]:
            key = await self._get(caller, request.key_id, request.etag)
            api = self._api(key)
            grace = _grace(request.grace, api)
            check_reach(caller, api, terms_of(key.record))
            await self._check_replaceable(key)
            return key, api, grace

        return await current(prepare, lambda prepared: self._rotate(*prepared, actor), version=request.etag)

    async def _rotate(self, key: Key, api: Api, grace: Micros, actor: Actor) -> RotatedKey:
        record = key.record
        key_class = api.keys.creating(record.kind, record.environment)
        if key_class is None:
            raise FailedPreconditionError(f"keys of kind {record.kind} are not made here")
        secret = self._mint.draw(api, key_class)
        issue = Issue(name=key.name, metadata=record.metadata, terms=terms_of(record), key_class=key_class)
        new = self._mint.record(api, record.organization_id, issue, secret)
        changed = await self._registry.rotate_key(record.id, key.etag, new, grace, actor)
        self._keys.invalidate(changed.revision, record.id)
        return RotatedKey(changed=changed, secret=secret)

    def _api(self, key: Key) -> Api:
        api = self._apis.by_name.get(key.record.api)
        if api is None:
            raise FailedPreconditionError("the key's API is not configured any more")
        return api

    async def _check_replaceable(self, key: Key) -> None:
        if status_of(key.record, self._clock.now()) not in _REPLACEABLE:
            raise FailedPreconditionError("the key does not work any more")
        if key.successor_id is None:
            return
        try:
            successor = await self._registry.get_key(key.successor_id)
        except NotFoundError:
            return
        if status_of(successor.record, self._clock.now()) in _REPLACEABLE:
            raise ConflictError(
                f"the key is rotated already, and its successor {key.successor_id} works: its etag is now {key.etag}"
            )


def _grace(asked: Micros | None, api: Api) -> Micros:
    if asked is None:
        return api.grace
    if not 0 <= asked <= api.max_grace:
        raise InvalidInputError(f"grace: 0 to {api.max_grace / _MICROS_PER_SECOND:g} seconds")
    return asked
