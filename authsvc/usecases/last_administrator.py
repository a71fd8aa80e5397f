"""Whether a change would leave nobody who can make keys."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc.domain.administration import ADMIN_API, Key
from authsvc.domain.administrator import KEYS_WRITE, holds
from authsvc.domain.api import Apis
from authsvc.domain.errors import FailedPreconditionError
from authsvc.domain.keys import KeyRecord
from authsvc.domain.lifecycle import LIVE, status_of
from authsvc.ports import Clock, KeyFilter, Registry

_PAGE = 500


class LastAdministrator:
    """Keeps the operators from locking themselves out by accident."""

    def __init__(self, registry: Registry, apis: Apis, clock: Clock) -> None:
        self._registry = registry
        self._apis = apis
        self._clock = clock

    async def keep(self, *ending: Key) -> None:
        """Raise `FailedPreconditionError` when no other key administers."""
        if any(self.administers(key.record) for key in ending) and not await self._others(ending):
            raise FailedPreconditionError("it is the last key that can make keys: nobody could administer any more")

    def administers(self, record: KeyRecord) -> bool:
        """Whether a key can make keys of the administration now."""
        api = self._apis.by_name[ADMIN_API]
        return (
            record.api == ADMIN_API and status_of(record, self._clock.now()) in LIVE and holds(record, api, KEYS_WRITE)
        )

    def _stays(self, record: KeyRecord) -> bool:
        # One in its grace is dead for good in a moment.
        return record.grace_ends_at is None and self.administers(record)

    async def _others(self, ending: Sequence[Key]) -> bool:
        ids = {key.record.id for key in ending}
        where, after = KeyFilter(api=ADMIN_API), None
        while True:
            page = await self._registry.list_keys(where, _PAGE, after)
            if any(other.record.id not in ids and self._stays(other.record) for other in page.items):
                return True
            if not page.next_token:
                return False
            after = page.items[-1].record.id
