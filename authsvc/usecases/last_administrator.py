"""Whether a change would leave nobody who can make keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from authsvc.domain.administration import ADMIN_API, Key
from authsvc.domain.administrator import KEYS_WRITE, holds
from authsvc.domain.api import Apis
from authsvc.domain.errors import AdministratorsChangedError, FailedPreconditionError
from authsvc.domain.keys import KeyRecord
from authsvc.domain.lifecycle import LIVE, status_of
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

    async def keep(self, *ending: Key) -> tuple[Key, ...] | None:
        """
        Return some that administer without these keys, for the store to hold a change to; None: it ends nobody.

        Raises `FailedPreconditionError` when no other key administers. Keys of products cost nothing.
        """
        if not any(key.record.api == ADMIN_API for key in ending):
            return None
        if others := await self._others(ending):
            return others
        if any(self.administers(key.record) for key in ending):
            raise FailedPreconditionError("it is the last key that can make keys: nobody could administer any more")
        return None

    async def keeping(self, ending: Sequence[Key], store: Callable[[tuple[Key, ...] | None], Awaitable[T]]) -> T:
        """Store a change that ends these keys; look again for others while those found change meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            others = await self.keep(*ending)
            try:
                return await store(others)
            except AdministratorsChangedError:
                continue
        return await store(await self.keep(*ending))

    def administers(self, record: KeyRecord) -> bool:
        """Whether a key can make keys of the administration now."""
        api = self._apis.by_name[ADMIN_API]
        return (
            record.api == ADMIN_API and status_of(record, self._clock.now()) in LIVE and holds(record, api, KEYS_WRITE)
        )

    def _stays(self, record: KeyRecord) -> bool:
        # One in its grace, or near its expiry, is dead for good in a moment.
        lasts = record.expires_at is None or record.expires_at > self._clock.now() + DAY
        return lasts and record.grace_ends_at is None and self.administers(record)

    async def _others(self, ending: Sequence[Key]) -> tuple[Key, ...]:
        ids = {key.record.id for key in ending}
        where, after = KeyFilter(api=ADMIN_API), None
        while True:
            page = await self._registry.list_keys(where, _PAGE, after)
            staying = [other for other in page.items if other.record.id not in ids and self._stays(other.record)]
            if staying or not page.next_token:
                return tuple(staying[:_ENOUGH])
            after = page.items[-1].record.id
