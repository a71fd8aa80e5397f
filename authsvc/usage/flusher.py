"""Brings usage from memory to the database: seconds behind, never in a request's way, each count once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from authsvc.background import beside
from authsvc.domain.errors import UnavailableError
from authsvc.domain.usage import MINUTE, SECOND, Batch
from authsvc.ports import Clock, UsageStore
from authsvc.telemetry import UsageCounters
from authsvc.usage.recorder import Recorder
from authsvc.usage.spikes import Spikes

_LOG = logging.getLogger(__name__)

# Seconds.
TICK = 1.0  # between collections
EVERY = 3.0  # between flushes; with the time that they take, less than 5 behind
RETRY = 1.0  # after a flush that failed
LAST = 2.0  # for what is left at the end
AGAIN = 0.1  # between attempts then

BATCH = 500  # counters, and as many last uses: more would hold up the loop and the database


class Flusher:
    """
    Collects every second and at the turn of each minute, and stores what was counted.

    A batch whose fate is not known is tried again under its id until it is acknowledged, and nothing
    is taken from memory before. While the database is away the recorder's memory is the bound.
    """

    def __init__(
        self,
        recorder: Recorder,
        store: UsageStore,
        clock: Clock,
        new_id: Callable[[], str],
        counters: UsageCounters,
    ) -> None:
        self._recorder = recorder
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._counters = counters
        self._spikes = Spikes(counters)
        self._unsure: Batch | None = None
        self._due = clock.monotonic() + EVERY
        self._full = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush in the background, and what is left at the end."""
        loop = asyncio.get_running_loop()

        def on_full() -> None:
            loop.call_soon_threadsafe(self._full.set)

        self._recorder.on_full = on_full
        self._recorder.collect()  # by now the clock is the database's, where that answers
        try:
            async with beside(self._run()):
                yield
        finally:
            await self.finish()

    async def flush(self) -> bool:
        """Store all that waits; False when the database did not take it."""
        while (batch := self._unsure or self._next()) is not None:
            self._unsure = batch
            try:
                await self._store.write_usage(batch)
            except UnavailableError:
                self._counters.flush_failures += 1
                return False
            self._unsure = None
        return True

    async def finish(self) -> None:
        """Store what is left, within `LAST` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                while True:
                    self._recorder.collect()
                    if await self.flush() and self._recorder.empty:
                        return
                    await asyncio.sleep(AGAIN)
        _LOG.error("usage of the last moments is lost: the database did not take it")

    async def tick(self) -> None:
        """Collect, and flush when it is time or too much waits."""
        self._recorder.collect()
        now = self._clock.monotonic()
        # After a failure not even a full memory makes it sooner.
        if now >= self._due or (self._recorder.full and self._unsure is None):
            stored = await self.flush()
            self._due = self._clock.monotonic() + (EVERY if stored else RETRY)

    def _next(self) -> Batch | None:
        counts, uses = self._recorder.take(BATCH)
        if not counts and not uses:
            return None
        self._spikes.see(counts)
        return Batch(id=self._new_id(), counts=counts, uses=uses)

    async def _run(self) -> None:
        while True:
            turn = (MINUTE - self._clock.now() % MINUTE) / SECOND
            with suppress(TimeoutError):
                async with asyncio.timeout(min(TICK, turn)):
                    await self._full.wait()
            self._full.clear()
            await _survived(self.tick())


async def _survived(work: Awaitable[None]) -> None:
    try:
        await work
    except UnavailableError:
        pass  # another time
    except Exception as error:  # noqa: BLE001 - a bug must not make this the last time
        _LOG.error("usage cannot be kept: %s", type(error).__name__)
