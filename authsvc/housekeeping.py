"""Removes what was kept long enough, in the background: usage, notes of request ids, the log of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from authsvc.background import beside
from authsvc.domain.errors import UnavailableError
from authsvc.ports import ExpiringStore, KeyStore

_LOG = logging.getLogger(__name__)

EVERY = 600.0  # seconds
BATCH = 1000  # rows of each kind
PAUSE = 0.1  # seconds between batches


class Store(KeyStore, ExpiringStore, Protocol):
    """What is needed of the database."""


class Housekeeping:
    """
    Sweeps at the start and then every ten minutes. Every instance may.

    What is past its time is told by the database itself: an instance whose clock is wrong must not forget what was
    done a moment ago, or a request that is sent again would be done again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep in the background."""
        async with beside(self._run()):
            yield

    async def sweep(self) -> None:
        """Remove what is past its time, in batches."""
        while True:
            now = (await self._store.head()).now
            if await self._store.remove_expired(now, BATCH) < BATCH:
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
