"""Revokes against checks on real threads: the event loop's, and 64 others that look into the cache."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import pytest

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.clock import DatabaseClock
from authsvc.domain.decision import Bearer
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import Revision
from authsvc.ports import Head, Loaded
from authsvc.telemetry import CacheCounters
from tests.support.builders import bearer, record
from tests.support.cache_mutants import NoFence
from tests.support.cache_world import FakeClock, HandStore, digest, position

THREADS = 64
RACES = 10_000


@dataclass
class Races:
    """A cache in a running loop, and a database whose keys are live until they are revoked."""

    cache_class: type[CachedKeyStore]
    seed: int = 1
    seq: int = 1
    revoked: set[Digest] = field(default_factory=set)
    acknowledged: set[Digest] = field(default_factory=set)
    wrong: list[Digest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # Nothing here is about time: a machine that is busy must not make a load late.
        settings = CacheSettings(load_budget=60.0, max_staleness=600.0)
        clock = DatabaseClock()
        self.cache = self.cache_class(self, lambda of, at: bearer(of), clock, settings, CacheCounters())
        self.cache.confirm(position(1), clock.monotonic())

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Read, and be a few steps of the loop on the way."""
        of = digests[0]
        read = record(id=of.hex(), revoked_at=1 if of in self.revoked else None)
        loaded = Loaded(record=read, as_of=position(self.seq))
        await self._steps(of, 1)
        return loaded

    async def head(self) -> Head:
        """Fail: nobody asks."""
        raise NotImplementedError

    async def _steps(self, of: Digest, salt: int) -> None:
        for _ in range(Random(f"{self.seed}{of.hex()}{salt}").randrange(8)):
            await asyncio.sleep(0)

    async def _race(self, of: Digest) -> None:
        load = asyncio.ensure_future(self.cache.fetch((of,), 60.0, None))
        await self._steps(of, 2)
        self.revoked.add(of)
        self.seq += 1
        self.cache.invalidate(position(self.seq), of.hex())
        self.acknowledged.add(of)
        await load

    def run(self, of: Digest) -> None:
        """Race once: revoke a key while it is loaded, and look at it all the while."""
        race = asyncio.run_coroutine_threadsafe(self._race(of), self.loop)
        while not race.done():
            self._look(of)
            self._wait(race)
        race.result()
        for _ in range(3):
            self._look(of)

    def _look(self, of: Digest) -> None:
        # Read before the question is asked: what counts is what was acknowledged when it started.
        owed = of in self.acknowledged
        known = self.cache.get(of)
        if owed and isinstance(known, Bearer) and known.record.revoked_at is None:
            self.wrong.append(of)

    def _wait(self, race: Future[None]) -> None:
        done = threading.Event()
        race.add_done_callback(lambda _: done.set())
        done.wait(0.01)

    def __call__(self, races: int) -> int:
        """Race on all threads; return how often a revoked key was let through."""
        runner = threading.Thread(target=self.loop.run_forever)
        runner.start()
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self.run, map(digest, range(races))))
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            runner.join()
            self.loop.close()
        return len(set(self.wrong))


def test_no_check_that_starts_after_a_revoke_is_let_through() -> None:
    """Ten thousand revokes, each while its key is being loaded and 64 threads look."""
    assert 0 == Races(CachedKeyStore)(RACES)


def test_the_race_shows_a_cache_without_its_fence() -> None:
    """The control arm: what does not fail without the fence says nothing about it."""
    assert Races(NoFence)(200) > 0


def hammer(work: Callable[[], object], stop: threading.Event) -> None:
    """Do it until told to stop."""
    while not stop.is_set():
        work()


@pytest.mark.parametrize("keys", [pytest.param(10, id="evicting"), pytest.param(1_000, id="roomy")])
def test_get_stands_whatever_the_loop_does_meanwhile(keys: int) -> None:
    """Loads, evictions, invalidations, flushes and other epochs, with readers on other threads throughout."""
    clock = DatabaseClock()
    settings = CacheSettings(keys=keys, tombstones=5, max_staleness=600.0)
    cache = CachedKeyStore(HandStore(FakeClock()), lambda of, at: bearer(of), clock, settings, CacheCounters())
    cache.confirm(position(1), clock.monotonic())
    stop, draw = threading.Event(), Random(3)
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(hammer, lambda: cache.get(digest(draw.randrange(100))), stop) for _ in range(4)]
        try:
            for seq in range(2, 3_000):
                number, other = draw.randrange(100), (f"key_{draw.randrange(100, 110)}",)
                revision = Revision(epoch=f"00000000-0000-0000-0000-{seq // 1_000:012d}", seq=seq)
                cache.confirm(revision, clock.monotonic())
                cache._admit((digest(number),), revision, bearer(record(id=f"key_{number}")), other)
                cache.invalidate(revision, f"key_{draw.randrange(110)}")
        finally:
            stop.set()

        assert [None] * 4 == [reader.result() for reader in readers]
        assert len(cache) <= keys
