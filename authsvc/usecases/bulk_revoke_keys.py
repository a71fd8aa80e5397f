"""Revoke many keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import FailedPreconditionError, InvalidInputError, NotFoundError
from authsvc.domain.keys import Revision
from authsvc.domain.lifecycle import LIVE, KeyStatus, status_of
from authsvc.ports import Clock, KeyCache, KeyFilter, Recalled, Registry
from authsvc.usecases.get_key import NO_SUCH_KEY
from authsvc.usecases.last_administrator import LastAdministrator
from authsvc.usecases.list_keys import within_reach
from authsvc.usecases.retries import current, once

MOST = 1000  # keys of one call
_ENDING = LIVE | {KeyStatus.NOT_YET_VALID}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRevocation:
    """Which keys to revoke and why: those named, or those that a filter selects."""

    key_ids: tuple[str, ...]
    where: KeyFilter | None
    reason: str
    expected_count: int | None
    dry_run: bool
    force: bool
    request_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRevoked:
    """The keys that work no longer; None for the revision where nothing was changed."""

    key_ids: tuple[str, ...]
    already_dead: int
    remaining: int
    revision: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The keys to revoke, the oldest first, and how many the filter selects in all."""

    ending: tuple[Key, ...]
    dead: int
    living: int
    where: KeyFilter | None = None  # what selects those that live; None: they were named
    others: tuple[Key, ...] | None = None  # administrators of whom one has to stay


class BulkRevokeKeys:
    """When it returns, no request that starts afterwards is allowed to any of the keys by this instance."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._keys = keys
        self._clock = clock
        self._last = LastAdministrator(registry, apis, clock)

    async def __call__(self, caller: Administrator, request: BulkRevocation) -> BulkRevoked:
        """Revoke keys within the caller's reach, stronger ones too."""
        _check(request)
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        if request.dry_run:
            return _told(await self._find(caller, request), None)

        async def recall(earlier: Recalled) -> BulkRevoked:
            ids = await self._registry.get_bulk_revoked(earlier.target_id)
            self._keys.invalidate(earlier.revision, *ids)
            # Those that were named are dead, and may be deleted meanwhile: they are not looked for again.
            living = 0 if request.where is None else (await self._selected(caller, request.where)).living
            dead = max(0, len(set(request.key_ids)) - len(ids))
            return BulkRevoked(key_ids=ids, already_dead=dead, remaining=living, revision=earlier.revision)

        return await once(self._registry, actor, lambda: self._work(caller, request, actor), recall)

    async def _work(self, caller: Administrator, request: BulkRevocation, actor: Actor) -> BulkRevoked:
        async def prepare() -> _Found:
            return await self._find(caller, request)

        return await current(prepare, lambda found: self._revoke(found, request, actor), version="")

    async def _revoke(self, found: _Found, request: BulkRevocation, actor: Actor) -> BulkRevoked:
        if not found.ending:
            return _told(found, await self._registry.unchanged(actor))
        reason = inputs.reason(request.reason)
        changed = await self._registry.bulk_revoke_keys(found.ending, reason, actor, others=found.others)
        self._keys.invalidate(changed.revision, *_ids(found.ending))
        # Counted now: whoever holds one of the keys may have made others since they were looked for.
        remaining = 0 if found.where is None else await self._registry.count_keys(found.where)
        return replace(_told(found, changed.revision), remaining=remaining)

    async def _find(self, caller: Administrator, request: BulkRevocation) -> _Found:
        found = await (
            self._named(caller, request.key_ids) if request.where is None else self._selected(caller, request.where)
        )
        if request.expected_count not in (None, found.living):
            raise FailedPreconditionError(f"{found.living} keys match and live, {request.expected_count} were expected")
        return found if request.force else replace(found, others=await self._last.keep(caller, *found.ending))

    async def _named(self, caller: Administrator, key_ids: Sequence[str]) -> _Found:
        wanted = set(key_ids)
        found = await self._registry.get_keys(sorted(wanted))
        if len(found) != len(wanted) or not all(caller.reaches(key.record) for key in found):
            raise NotFoundError(NO_SUCH_KEY)
        now = self._clock.now()
        ending = tuple(key for key in found if status_of(key.record, now) in _ENDING)
        return _Found(ending=ending, dead=len(found) - len(ending), living=len(ending))

    async def _selected(self, caller: Administrator, where: KeyFilter) -> _Found:
        reached = within_reach(caller, where)
        statuses = _ENDING if where.statuses is None else where.statuses & _ENDING
        if not statuses:
            return _Found(ending=(), dead=0, living=0)
        living = replace(reached, statuses=statuses)
        page = await self._registry.list_keys(living, MOST, None)
        number = await self._registry.count_keys(living) if page.next_token else len(page.items)
        return _Found(ending=page.items, dead=0, living=number, where=living)


def _check(request: BulkRevocation) -> None:
    if not inputs.reason(request.reason):
        raise InvalidInputError(f"reason: 1 to {inputs.MAX_REASON_LENGTH} characters")
    if bool(request.key_ids) == (request.where is not None):
        raise InvalidInputError("ids: give either ids or a filter")
    if request.where == KeyFilter():
        raise InvalidInputError("filter: at least one field")
    if len(request.key_ids) > MOST:
        raise InvalidInputError(f"ids: at most {MOST}")
    for key_id in request.key_ids:
        inputs.key_id(key_id, "ids")
    if request.where is not None and request.where.organization_id is not None:
        inputs.organization_id(request.where.organization_id, "filter.organization_id")
    if request.expected_count is not None and request.expected_count < 0:
        raise InvalidInputError("expected_count: 0 or above")


def _told(found: _Found, revision: Revision | None) -> BulkRevoked:
    remaining = max(0, found.living - len(found.ending))
    return BulkRevoked(key_ids=_ids(found.ending), already_dead=found.dead, remaining=remaining, revision=revision)


def _ids(ending: Sequence[Key]) -> tuple[str, ...]:
    return tuple(key.record.id for key in ending)
