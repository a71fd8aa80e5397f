"""Loads: who shares one, how long it may take, and what is kept of it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from authsvc.domain.errors import UnavailableError
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.ports import ABSENT, CorruptRecordError
from tests.support.builders import record
from tests.support.cache_world import OTHER_EPOCH, World, digest, position, refused

BUDGET = 0.150


def test_what_was_loaded_is_answered_without_waiting(world: World) -> None:
    """The second question costs no load."""
    loaded = world.load(0)

    assert loaded is not None
    assert loaded is world.cache.get(digest(0))
    assert 1 == len(world.store.loads)


def test_a_thousand_cold_requests_are_one_load(world: World) -> None:
    """Everybody waits for the same load and gets the same bearer."""
    tasks = [world.ask(0) for _ in range(1_000)]
    queries = len(world.store.loads)
    world.store.loads[0].found(record())
    world.loop.turn()

    assert 1 == queries == len(world.store.loads)
    assert 1 == len({id(task.result()) for task in tasks})
    assert 999 == world.counters.joined


def test_a_leader_that_gives_up_leaves_the_others_their_answer(world: World) -> None:
    """The load belongs to nobody: cancelling whoever started it cancels nothing."""
    leader, *others = [world.ask(0) for _ in range(1_000)]
    leader.cancel()
    world.loop.turn()
    world.store.loads[0].found(record())
    world.loop.turn()

    assert leader.cancelled()
    assert 999 == sum(task.result() is not None for task in others)
    assert 1 == len(world.store.loads)


def test_a_load_nobody_waits_for_is_kept(world: World) -> None:
    """The answer has been paid for."""
    task = world.ask(0)
    task.cancel()
    world.loop.turn()
    world.store.loads[0].found(record())
    world.loop.turn()

    assert world.cache.get(digest(0)) is not None


def test_a_record_that_cannot_be_read_is_counted_and_the_database_is_not_lost(world: World) -> None:
    """It denies, each time anew; what is cached of other keys is judged as if nothing had happened."""
    world.load(1)
    tasks = []
    for _ in range(2):
        tasks.append(world.ask(0))
        world.store.loads[-1].fail(CorruptRecordError("a stored record cannot be read"))
        world.loop.turn()

    assert [refused(task) for task in tasks] == [True, True]
    assert (world.counters.corrupt, world.counters.load_failures) == (2, 0)
    assert not world.cache._down
    assert world.cache.get(digest(0)) is None


def test_an_answer_after_the_budget_is_neither_given_nor_kept(world: World) -> None:
    """The whole process may have stood still: then the answer and the end of the wait come together."""
    task = world.ask(0)
    world.clock.seconds += 600
    world.store.loads[0].found(record())
    world.confirm()
    world.loop.turn()

    assert refused(task)
    assert world.cache.get(digest(0)) is None


def test_an_answer_after_the_callers_own_budget_is_not_given(world: World) -> None:
    """The load is in time for the cache, not for this caller."""
    task = world.ask(0, budget=0.020)
    world.clock.seconds += 0.030
    world.store.loads[0].found(record())
    world.loop.turn()

    assert refused(task)
    assert world.cache.get(digest(0)) is not None


@pytest.mark.parametrize(
    ("age", "loads"),
    [pytest.param(BUDGET - 0.001, 1, id="young-is-joined"), pytest.param(BUDGET + 0.001, 2, id="old-is-not")],
)
def test_only_a_young_load_is_joined(world: World, age: float, loads: int) -> None:
    """A load that hangs must not take everybody with it who comes later."""
    world.ask(0)
    world.advance(age)
    world.ask(0)

    assert loads == len(world.store.loads)


def test_of_two_loads_the_later_is_kept(world: World) -> None:
    """A load that was overtaken may know less, whatever comes first."""
    older = world.ask(0)
    newer = world.ask(0, at_least=position(2))
    world.store.loads[1].found(record(plan="new"), seq=2)
    world.loop.turn()
    world.store.loads[0].found(None, seq=1)
    world.loop.turn()
    kept = world.cache.get(digest(0))

    assert older.result() is None
    assert newer.result() is kept is not None


@pytest.mark.parametrize("loaded", [pytest.param(record(), id="found"), pytest.param(None, id="absent")])
def test_an_answer_that_was_overtaken_outdates_what_is_cached(loaded: KeyRecord | None) -> None:
    """It is given to who waits, so nobody later gets an older one."""
    with World(loads=1) as world:
        world.load(0) if loaded is not None else world.junk(0)
        waiting = world.ask(0, at_least=position(2))
        world.ask(0, at_least=position(2))
        world.store.loads[1].found(loaded, seq=2)
        world.loop.turn()

        assert waiting.exception() is None
        assert world.cache.get(digest(0)) is None


def test_of_two_loads_the_one_started_later_may_have_read_earlier(world: World) -> None:
    """Once the newer answer is given, the other is neither joined nor kept."""
    world.ask(0)
    later = world.ask(0, at_least=position(2))
    world.store.loads[0].found(record(), seq=3)
    world.loop.turn()
    after = world.ask(0)
    world.store.loads[1].found(record(), seq=2)
    world.loop.turn()

    assert later.result() is not None
    assert not after.done()
    assert world.cache.get(digest(0)) is None


def test_the_older_of_two_loads_does_not_come_back_after_an_eviction(world: World) -> None:
    """What was answered once is never answered older, even when the cache has forgotten it."""
    world.ask(0)
    world.ask(0, at_least=position(2))
    world.store.loads[1].found(record(), seq=2)
    world.loop.turn()
    world.cache._found.popitem()
    world.store.loads[0].found(record(), seq=1)
    world.loop.turn()

    assert world.cache.get(digest(0)) is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UnavailableError("lost"), id="unavailable"),
        pytest.param(ValueError("a bug"), id="bug"),
        pytest.param(asyncio.CancelledError(), id="cancelled"),
        pytest.param(TimeoutError(), id="timeout"),
    ],
)
def test_a_failed_load_is_told_and_forgotten(world: World, error: BaseException) -> None:
    """All who wait are refused, nothing is kept, and the next request asks again."""
    tasks = [world.ask(0) for _ in range(3)]
    world.store.loads[0].fail(error)
    world.loop.turn()
    again = world.ask(0)

    assert all(not task.cancelled() for task in tasks)
    assert all(isinstance(task.exception(), UnavailableError | ValueError | TimeoutError) for task in tasks)
    assert world.cache.get(digest(0)) is None
    assert not again.done()
    assert 2 == len(world.store.loads)


def test_a_bug_in_a_load_nobody_waits_for_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """By its type alone: its text may carry data."""
    task = world.ask(0)
    task.cancel()
    world.store.loads[0].fail(ValueError("sk_live_secret"))
    with caplog.at_level(logging.ERROR):
        world.loop.turn()

    assert ["a key could not be loaded"] == caplog.messages
    assert "ValueError" == vars(caplog.records[0])["fault"]
    assert 1 == world.counters.load_failures


def test_a_failed_load_keeps_what_is_cached(world: World) -> None:
    """An outage is survived on what is known."""
    kept = world.load(0)
    task = world.ask(1)
    world.store.loads[-1].fail()
    world.loop.turn()

    assert refused(task)
    assert kept is world.cache.get(digest(0))


def test_a_key_that_does_not_exist_is_remembered_for_a_while(world: World) -> None:
    """Junk costs one load in ten seconds."""
    world.junk(0)
    known = world.cache.get(digest(0))
    world.advance(9.999)
    still = world.cache.get(digest(0))
    world.advance(0.002)

    assert ABSENT is known is still
    assert world.cache.get(digest(0)) is None


def test_a_key_of_an_api_that_is_not_configured_is_unknown(world: World) -> None:
    """Nothing could be decided about it."""
    task = world.ask(0)
    world.store.loads[0].found(record(api="gone"))
    world.loop.turn()

    assert task.result() is None
    assert ABSENT is world.cache.get(digest(0))


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(None, record(), id="created"), pytest.param(record(), None, id="gone")],
)
def test_the_later_answer_replaces_the_earlier(world: World, before: KeyRecord | None, after: KeyRecord | None) -> None:
    """A key is never found and absent at once."""
    for seq, of in ((1, before), (2, after)):
        task = world.ask(0, at_least=position(seq))
        if not task.done():
            world.store.loads[-1].found(of, seq)
        world.loop.turn()

    known = world.cache.get(digest(0))

    assert (known is ABSENT) == (after is None)
    assert (0 if after is None else 1) == len(world.cache)
    assert (0 if after is None else 2) == len(world.cache._found.index)


def test_all_digests_are_asked_for_and_the_first_is_kept(world: World) -> None:
    """A key stored under an old pepper is found, and cached under the current one."""
    task = world.start(world.cache.fetch((digest(0), digest(1)), 1.0, None))
    world.store.loads[0].found(record())
    world.loop.turn()

    assert (digest(0), digest(1)) == tuple(world.store.loads[0].digests)
    assert task.result() is world.cache.get(digest(0))
    assert world.cache.get(digest(1)) is None


@pytest.mark.parametrize("loaded", [pytest.param(record(), id="found"), pytest.param(None, id="absent")])
@pytest.mark.parametrize(
    ("wanted", "got", "passes"),
    [
        pytest.param(position(7), 7, True, id="reached"),
        pytest.param(position(7), 8, True, id="passed"),
        pytest.param(position(7), 6, False, id="behind"),
        pytest.param(position(0, OTHER_EPOCH), 9, False, id="another-database"),
    ],
)
def test_a_revision_forces_a_load_and_is_kept_to(
    world: World, loaded: KeyRecord | None, wanted: Revision, got: int, *, passes: bool
) -> None:
    """A caller that names a revision gets an answer at least as new, or none."""
    world.load(0) if loaded is not None else world.junk(0)
    task = world.ask(0, at_least=wanted)
    asked = not task.done()
    world.store.loads[-1].found(loaded, got)
    world.loop.turn()

    assert asked
    assert passes is not refused(task)
    if passes:
        assert (loaded is None) == (task.result() is None)


@pytest.mark.parametrize("loaded", [pytest.param(record(), id="found"), pytest.param(None, id="absent")])
def test_a_revision_that_is_cached_costs_no_load(world: World, loaded: KeyRecord | None) -> None:
    """What is new enough is answered from memory."""
    task = world.ask(0)
    world.store.loads[0].found(loaded, 7)
    world.loop.turn()
    again = world.ask(0, at_least=position(7))

    assert again.result() is task.result()
    assert 1 == len(world.store.loads)


def test_a_revision_does_not_join_a_load_the_database_already_has(world: World) -> None:
    """It may have been read before the change the caller knows of."""
    world.ask(0)
    task = world.ask(0, at_least=position(2))
    world.store.loads[1].found(record(), 2)
    world.loop.turn()

    assert task.result() is not None
    assert 2 == len(world.store.loads)


def test_a_revision_joins_a_load_that_still_waits_for_its_turn() -> None:
    """The database will be asked later than now, so one question serves all: a flood of these is one load."""
    with World(loads=1) as world:
        world.ask(0)
        tasks = [world.ask(1, at_least=position(2)) for _ in range(1_000)]
        world.store.loads[0].found(record())
        world.loop.turn()
        world.store.loads[1].found(record(), 2)
        world.loop.turn()

        assert all(task.result() is not None for task in tasks)
        assert 2 == len(world.store.loads)


def test_an_answer_is_judged_by_its_own_position(world: World) -> None:
    """Not by what somebody else's load has brought into the cache meanwhile."""
    task = world.ask(0, at_least=position(5))
    world.ask(0, at_least=position(5))
    world.store.loads[1].found(record(), 5)
    world.loop.turn()
    world.store.loads[0].found(record(), 4)
    world.loop.turn()

    assert refused(task)
