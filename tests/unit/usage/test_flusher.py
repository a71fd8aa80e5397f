"""The flusher: in time, in batches, each count once, whatever the database does."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from authsvc.domain.usage import MINUTE, floor
from authsvc.telemetry import UsageCounters
from authsvc.usage.flusher import BATCH, EVERY, RETRY, Flusher
from authsvc.usage.recorder import FLUSH_AT, Recorder
from tests.support.builders import NOW, route
from tests.support.doors import until
from tests.support.fakes import FakeClock
from tests.support.stored import key_id
from tests.support.usage import SHOP, FakeUsageStore, bearer, caller, tally, use

THINGS = route()


class World:
    """A recorder and its flusher, a clock and a database."""

    def __init__(self) -> None:
        self.clock, self.store, self.counters = FakeClock(), FakeUsageStore(), UsageCounters()
        self.recorder = Recorder(self.clock.now, self.counters)
        ids = itertools.count(1)
        self.flusher = Flusher(self.recorder, self.store, self.clock, lambda: f"batch-{next(ids)}", self.counters)

    def allow(self, number: int = 1) -> None:
        """Record an allowed request."""
        self.recorder.record(bearer(number), SHOP, THINGS, None, caller("192.0.2.1", "curl/8.0"))

    async def pass_(self, seconds: float) -> None:
        """Let time pass, and the flusher look."""
        self.clock.seconds += seconds
        self.clock.micros += int(seconds * 1_000_000)
        await self.flusher.tick()


@pytest.fixture
async def world() -> World:
    """Nothing has happened yet."""
    return World()


async def test_counts_arrive_in_time(world: World) -> None:
    """Not at every tick, but before five seconds have passed."""
    world.allow()
    await world.pass_(EVERY / 2)
    early = dict(world.store.counts)
    await world.pass_(EVERY / 2)

    assert (early, world.store.counts) == ({}, {tally(): 1})
    assert world.store.uses == {key_id(1): use(at=NOW + int(EVERY / 2 * 1_000_000))}
    assert EVERY < 5


async def test_nothing_is_written_where_nothing_was_used(world: World) -> None:
    """An idle service leaves the database alone."""
    await world.pass_(EVERY)

    assert world.store.writes == 0


async def test_too_many_counts_do_not_wait(world: World) -> None:
    """They are written before it is time, in batches of a bounded size."""
    for number in range(FLUSH_AT):
        world.allow(number)
    await world.pass_(0)

    assert len(world.store.counts) == FLUSH_AT
    assert world.store.writes == FLUSH_AT // BATCH


async def test_a_lost_database_costs_nothing_but_memory(world: World) -> None:
    """Counts wait, are tried again soon, and arrive once it is back, each in its own minute."""
    world.store.fail = True
    world.allow()
    await world.pass_(EVERY)
    world.allow()
    world.clock.micros = floor(NOW, MINUTE) + MINUTE
    await world.pass_(RETRY)
    failures = world.counters.flush_failures
    world.store.fail = False
    world.allow()
    await world.pass_(RETRY)

    assert failures == 2
    assert world.store.counts == {tally(): 2, tally(start=floor(NOW, MINUTE) + MINUTE): 1}


async def test_a_full_memory_does_not_press_a_lost_database(world: World) -> None:
    """It is not asked for every request."""
    world.store.fail = True
    for number in range(FLUSH_AT):
        world.allow(number)
    for _ in range(50):
        await world.pass_(RETRY / 100)

    assert world.store.writes == 1


async def test_an_unacknowledged_batch_counts_once(world: World) -> None:
    """It was stored, nobody heard: it is tried again under its id, together with nothing else."""
    world.allow()
    world.store.forget = True
    await world.pass_(EVERY)
    world.allow()
    world.store.forget = False
    await world.pass_(RETRY)

    assert world.store.counts == {tally(): 2}
    assert world.store.ids == {"batch-1", "batch-2"}


async def test_what_is_left_is_stored_at_the_end(world: World) -> None:
    """The last decision before a shutdown counts like any other."""
    async with world.flusher.running():
        world.allow()

    assert world.store.counts == {tally(): 1}


async def test_the_end_waits_for_a_database_that_comes_back(world: World) -> None:
    """One failure at the end is not the end."""
    world.allow()
    world.store.fail = True
    finishing = asyncio.create_task(world.flusher.finish())
    await until(lambda: world.store.writes)
    world.store.fail = False
    await finishing

    assert world.store.counts == {tally(): 1}


async def test_the_end_has_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that stays away holds up no shutdown; that something is lost is told."""
    monkeypatch.setattr("authsvc.usage.flusher.LAST", 0.05)
    world.allow()
    world.store.fail = True
    await asyncio.wait_for(world.flusher.finish(), 5)

    assert caplog.record_tuples == [
        ("authsvc.usage.flusher", logging.ERROR, "usage of the last moments is lost: the database did not take it")
    ]


async def test_a_fault_nobody_expected_is_not_the_last_flush(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told by its kind alone, and flushing goes on."""
    asked = asyncio.Event()

    async def broken(*_: object) -> bool:
        asked.set()
        monkeypatch.undo()
        raise RuntimeError("a password")

    monkeypatch.setattr(world.flusher, "tick", broken)
    async with world.flusher.running():
        await asyncio.wait_for(asked.wait(), 5)
        world.allow()

    assert [record.getMessage() for record in caplog.records] == ["usage cannot be kept: RuntimeError"]
    assert world.store.counts == {tally(): 1}


async def test_a_full_recorder_wakes_the_flusher(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before its next tick."""
    monkeypatch.setattr("authsvc.usage.flusher.TICK", 3600)
    world.clock.micros = floor(NOW, MINUTE)
    async with world.flusher.running():
        for number in range(FLUSH_AT):
            world.allow(number)
        world.recorder.collect()
        await until(lambda: len(world.store.counts) == FLUSH_AT)
