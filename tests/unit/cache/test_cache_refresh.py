"""What is in use is loaded anew before it is too old, by the rules of every load."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from authsvc.ports import ABSENT
from tests.support.builders import record
from tests.support.cache_world import OTHER_EPOCH, World, digest, position

KEY = record().id
LATE = 250.0  # in the last fifth of 300 seconds
OVER = 301.0


@pytest.fixture
def world() -> Iterator[World]:
    """A cache with one key, whose age is nearly over, and which was used just now."""
    with World(max_staleness=3600.0) as world:
        world.load(0, seq=5)
        world.advance(LATE - 1)
        world.confirm(5)
        assert world.cache.get(digest(0)) is not None
        world.advance(1)
        yield world


def refresh(world: World) -> asyncio.Task[None]:
    """Begin what happens every second."""
    return world.start(world.cache.refresh())


def test_a_key_in_use_never_waits_for_its_load(world: World) -> None:
    """It is answered from memory while it is loaded, and afterwards for another age."""
    before = world.cache.get(digest(0))
    task = refresh(world)
    during = world.cache.get(digest(0))
    world.store.open[0].found(record(), 5)
    world.loop.turn()
    world.advance(OVER - LATE)

    assert task.done()
    assert before is during is not None
    assert world.cache.get(digest(0)) not in (None, before)


def test_without_it_the_key_would_have_to_be_loaded(world: World) -> None:
    """The control: the age is over."""
    world.advance(OVER - LATE)

    assert world.cache.get(digest(0)) is None


def test_a_key_that_nobody_uses_is_left_alone() -> None:
    """So is one that is young: no load without a use in the last fifth."""
    with World(max_staleness=3600.0) as world:
        world.load(0)
        world.advance(5)
        world.cache.get(digest(0))
        world.advance(250)
        task = refresh(world)

        assert task.done()
        assert len(world.store.loads) == 1


def test_a_use_is_good_for_one_refresh(world: World) -> None:
    """Whoever stops using a key stops its loads."""
    refresh(world)
    world.store.open[0].found(record(), 5)
    world.loop.turn()
    world.advance(LATE)
    refresh(world)

    assert world.store.open == []


def test_it_looks_for_the_key_in_every_form() -> None:
    """A key that is stored under an older pepper is not taken for gone."""
    with World(max_staleness=3600.0) as world:
        asked = world.start(world.cache.fetch((digest(0), digest(7)), 60.0, None))
        world.store.loads[-1].found(record())
        world.loop.turn()
        world.advance(LATE)
        world.cache.get(digest(0))
        refresh(world)

        assert asked.result() is not None
        assert list(world.store.open[0].digests) == [digest(0), digest(7)]


def fails(world: World) -> None:
    """The database breaks."""
    world.store.open[0].fail()


def breaks(world: World) -> None:
    """Something of ours does."""
    world.store.open[0].fail(RuntimeError("canary-2b1f"))


def is_late(world: World) -> None:
    """The answer comes after the load budget."""
    world.advance(1)
    world.store.open[0].found(record(id="key_01J00000000000000000000009"), 6)


@pytest.mark.parametrize("what", [fails, breaks, is_late])
def test_a_refresh_that_comes_to_nothing_changes_nothing(world: World, what: Any) -> None:
    """What is cached is used to the end of its age, and the refresh goes on with others."""
    before = world.cache.get(digest(0))
    task = refresh(world)
    what(world)
    world.loop.turn()

    assert task.done()
    assert task.exception() is None
    assert world.cache.get(digest(0)) is before


def test_a_key_that_is_gone_is_gone_at_once(world: World) -> None:
    """The database's word counts, whatever is cached."""
    refresh(world)
    world.store.open[0].found(None, 6)
    world.loop.turn()

    assert world.cache.get(digest(0)) is ABSENT


def test_a_revoke_during_it_is_not_undone(world: World) -> None:
    """The answer was read before the revoke and arrives after it."""
    refresh(world)
    world.cache.invalidate(position(6), KEY)
    world.store.open[0].found(record(), 5)
    world.loop.turn()

    assert world.cache.get(digest(0)) is None


def test_another_database_during_it_is_not_undone(world: World) -> None:
    """What the former one said is not kept."""
    refresh(world)
    world.confirm(1, OTHER_EPOCH)
    world.store.open[0].found(record(), 5)
    world.loop.turn()

    assert world.cache.get(digest(0)) is None


def test_a_lost_database_is_not_asked(world: World) -> None:
    """The lease runs on, and the heartbeat finds out when it is back."""
    world.cache.lost()
    task = refresh(world)

    assert task.done()
    assert world.store.open == []


def test_they_are_loaded_one_after_the_other() -> None:
    """Requests need the other loads."""
    with World(max_staleness=3600.0) as world:
        for number in range(3):
            world.load(number, id=f"key_01J0000000000000000000000{number}")
        world.advance(LATE)
        for number in range(3):
            world.cache.get(digest(number))
        task = refresh(world)
        for number in range(3):
            assert [list(query.digests) for query in world.store.open] == [[digest(number)]]
            world.store.open[0].found(record(id=f"key_01J0000000000000000000000{number}"))
            world.loop.turn()

        assert task.done()


def test_it_happens_every_second(world: World) -> None:
    """Until it is cancelled."""
    task = world.start(world.cache.keep_fresh())
    world.advance(1)
    assert len(world.store.open) == 1
    task.cancel()
    world.loop.turn()

    assert task.cancelled()
