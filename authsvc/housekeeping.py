"""Removes what was kept long enough, in the background: usage, notes of request ids, the log of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from authsvc.domain.errors import UnavailableError
from authsvc.ports import Clock, ExpiringStore

_LOG = logging.getLogger(__name__)

EVERY = 600.0  # seconds
BATCH = 1000  # rows of each kind
PAUSE = 0.1  # seconds between batches


class Housekeeping:
    """Sweeps at the start and then every ten minutes, by the database's time. Every instance may."""

    def __init__(self, store: ExpiringStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep in the background."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sweep(self) -> None:
        """Remove what is past its time, in batches."""
        while True:
            if await self._store.remove_expired(self._clock.now(), BATCH) < BATCH:
                return
            await asyncio.sleep(PAUSE)

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except UnavailableError:
                # The database is away, or the role has no right to: deploy/grants.sql.
                _LOG.warning("what is past its time could not be removed; it is tried again")
            except Exception as error:  # noqa: BLE001 - a bug must not make this the last time
                _LOG.error("what is past its time cannot be removed: %s", type(error).__name__)
            await asyncio.sleep(EVERY)
