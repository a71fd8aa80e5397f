"""Whether a change would leave nobody who can make keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from authsvc.domain.administration import ADMIN_API, Key
from authsvc.domain.administrator import KEYS_WRITE, Administrator, holds
from authsvc.domain.api import Apis
from authsvc.domain.errors import AdministratorsChangedError, FailedPreconditionError
from authsvc.domain.keys import KeyRecord
from authsvc.domain.lifecycle import LIVE, KeyStatus, status_of
from authsvc.domain.usage import DAY
from authsvc.ports import Clock, KeyFilter, Registry

T = TypeVar("T")

_PAGE = 500
_ENOUGH = 8  # others to count on: one of them has to stay as it is while a change is stored
_ATTEMPTS = 5


class LastAdministrator:
    """
    Keeps the operators from locking themselves out.

    Who else administers is read first, and the store makes the change only if one of them is still as it
    was read, behind the lock that all changes take. Of two that count on each other, one is refused.
    """

    def __init__(self, registry: Registry, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._apis = apis
        self._clock = clock

    async def keep(self, caller: Administrator, *ending: Key) -> tuple[Key, ...] | None:
        """
        Return some that administer without these keys, for the store to hold a change to; None: it ends nobody.

        Raises `FailedPreconditionError` when no other key administers from where the caller is. Keys of products
        cost nothing.
        """
        if not any(key.record.api == ADMIN_API for key in ending):
            return None
        if others := await self._others(ending, caller):
            return others
        # One that begins later was made to take over.
        if any(self._administers(key.record, LIVE | {KeyStatus.NOT_YET_VALID}) for key in ending):
            raise FailedPreconditionError("it is the last key that can make keys: nobody could administer any more")
        return None

    async def keeping(
        self,
        caller: Administrator,
        ending: Sequence[Key],
        store: Callable[[tuple[Key, ...] | None], Awaitable[T]],
    ) -> T:
        """Store a change that ends these keys; look again for others while those found change meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            others = await self.keep(caller, *ending)
            try:
                return await store(others)
            except AdministratorsChangedError:
                continue
        return await store(await self.keep(caller, *ending))

    def weakens(self, caller: Administrator, before: KeyRecord, after: KeyRecord) -> bool:
        """Whether a change takes from a key that it administers, or that it can be counted on to."""
        begun = LIVE | {KeyStatus.NOT_YET_VALID}
        return (self.administers(before) and not self.administers(after)) or (
            self._stays(before, caller, begun) and not self._stays(after, caller, begun)
        )

    def administers(self, record: KeyRecord) -> bool:
        """Whether a key can make keys of the administration now."""
        return self._administers(record, LIVE)

    def _administers(self, record: KeyRecord, statuses: AbstractSet[KeyStatus]) -> bool:
        api = self._apis.by_name[ADMIN_API]
        working = record.api == ADMIN_API and status_of(record, self._clock.now()) in statuses
        return working and holds(record, api, KEYS_WRITE)

    def _stays(self, record: KeyRecord, caller: Administrator, statuses: AbstractSet[KeyStatus] = LIVE) -> bool:
        # One in its grace, or near its expiry, is dead for good in a moment.
        lasts = record.expires_at is None or record.expires_at > self._clock.now() + DAY
        near = caller.is_within(record.networks)
        return lasts and near and record.grace_ends_at is None and self._administers(record, statuses)

    async def _others(self, ending: Sequence[Key], caller: Administrator) -> tuple[Key, ...]:
        ids = {key.record.id for key in ending}
        where, after = KeyFilter(api=ADMIN_API), None
        while True:
            page = await self._registry.list_keys(where, _PAGE, after)
            staying = [
                other for other in page.items if other.record.id not in ids and self._stays(other.record, caller)
            ]
            if staying or not page.next_token:
                return tuple(staying[:_ENOUGH])
            after = page.items[-1].record.id
