"""Asks the database every second whether it is there, for the cache's lease, the clock and health."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from authsvc.cache import CachedKeyStore
from authsvc.clock import DatabaseClock
from authsvc.domain.errors import StartupError, UnavailableError
from authsvc.ports import Head, KeyStore

_LOG = logging.getLogger(__name__)

_SILENT = "the database does not answer"

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
        self._said = ""

    async def first(self) -> bool:
        """Try once, before serving. Raises `StartupError`; False when the database is not there."""
        return await self._beat()

    async def run(self) -> None:
        """Beat until cancelled."""
        retry = 0.0 if self._alive else FIRST_RETRY
        while True:
            # Early only, never late: the lease counts on the period.
            spread = random.uniform(0.9, 1.0)  # noqa: S311 - no secret
            await asyncio.sleep((retry or PERIOD) * spread)
            alive = await self._survive()
            retry = 0.0 if alive else min(max(retry * 2, FIRST_RETRY), LAST_RETRY)

    async def _survive(self) -> bool:
        try:
            return await self._beat()
        except StartupError as error:
            # Too late to exit: the operator is told once, and nothing is served from this database.
            message = str(error)
        except Exception as error:  # noqa: BLE001 - a bug must not make this the last beat
            message = f"the database cannot be asked: {type(error).__name__}"
        self._cache.lost()
        with suppress(Exception):
            await self._tell(alive=False, message=message)
        return False

    async def _beat(self) -> bool:
        sent = self._clock.monotonic()
        try:
            head = await self._head(sent)
            if not self._admitted:
                await self._admit()
                self._admitted = True
        except UnavailableError:
            self._cache.lost()
            await self._tell(alive=False, message=_SILENT)
            return False
        self._clock.anchor(head.now, sent)
        self._cache.confirm(head.revision, sent)
        await self._tell(alive=True, message="the database answers")
        return True

    async def _head(self, sent: float) -> Head:
        # wait(), not wait_for(): a frozen server can hold a cancelled query for seconds.
        task = asyncio.ensure_future(self._store.head())
        task.add_done_callback(_forget)
        try:
            await asyncio.wait({task}, timeout=BUDGET)
            # Late is lost, even when it is there: it would set the clock ahead by as much.
            if not task.done() or task.cancelled() or self._clock.monotonic() - sent > BUDGET:
                raise UnavailableError(_SILENT)
        finally:
            task.cancel()
        return task.result()

    async def _tell(self, *, alive: bool, message: str) -> None:
        # Whoever heard that the database was lost still has to hear why it is refused now.
        if message != self._said:
            self._said = message
            (_LOG.info if alive else _LOG.error)(message)
        if alive != self._alive:
            self._alive = alive
            await self._told(alive)


def _forget(task: asyncio.Future[Head]) -> None:
    # Asked for, because nobody may be waiting any more.
    if not task.cancelled():
        task.exception()
