"""Asks the database every second whether it is there, for the cache's lease, the clock and health."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from authsvc.cache import CachedKeyStore
from authsvc.clock import DatabaseClock
from authsvc.domain.errors import StartupError, UnavailableError
from authsvc.ports import Head, KeyStore

_LOG = logging.getLogger(__name__)

# Seconds.
PERIOD = 1.0
BUDGET = 0.5
FIRST_RETRY = 0.1
LAST_RETRY = 5.0


class Heartbeat:
    """
    Keeps the cache's lease alive while the database answers, for ever.

    `admit` is asked once, on first contact, whether this database may be served from at all: it
    raises `StartupError` for a wrong pepper or a schema that this code cannot serve.
    """

    def __init__(
        self,
        store: KeyStore,
        cache: CachedKeyStore,
        clock: DatabaseClock,
        admit: Callable[[], Awaitable[None]],
        told: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._admit = admit
        self._told = told
        self._admitted = False
        self._alive: bool | None = None

    async def first(self) -> bool:
        """Try once, before serving. Raises `StartupError`; False when the database is not there."""
        return await self._beat()

    async def run(self) -> None:
        """Beat until cancelled."""
        retry = FIRST_RETRY
        while True:
            # Early only, never late: the lease counts on the period.
            spread = random.uniform(0.9, 1.0)  # noqa: S311 - no secret
            await asyncio.sleep((PERIOD if self._alive else retry) * spread)
            try:
                alive = await self._beat()
            except StartupError as error:
                # Too late to exit: the operator is told once, and nothing is served from this database.
                await self._tell(alive=False, message=str(error))
                alive = False
            retry = FIRST_RETRY if alive else min(retry * 2, LAST_RETRY)

    async def _beat(self) -> bool:
        sent = self._clock.monotonic()
        try:
            head = await self._head()
            if not self._admitted:
                await self._admit()
                self._admitted = True
        except UnavailableError:
            self._cache.lost()
            await self._tell(alive=False, message="the database does not answer")
            return False
        self._clock.anchor(head.now, sent)
        self._cache.confirm(head.revision, sent)
        await self._tell(alive=True, message="the database answers")
        return True

    async def _head(self) -> Head:
        # wait(), not wait_for(): a frozen server can hold a cancelled query for seconds.
        task = asyncio.ensure_future(self._store.head())
        done, _ = await asyncio.wait({task}, timeout=BUDGET)
        if not done:
            task.cancel()
            raise UnavailableError("the database does not answer")
        return task.result()

    async def _tell(self, *, alive: bool, message: str) -> None:
        if alive != self._alive:
            self._alive = alive
            (_LOG.info if alive else _LOG.error)(message)
            await self._told(alive)
