"""How long a caller waits for a load: a request, an administrator, and those who join them."""

from __future__ import annotations

import pytest

from authsvc.domain.decision import Bearer
from tests.support.builders import record
from tests.support.cache_world import World, digest, position, refused

BUDGET = 0.150


@pytest.mark.parametrize(
    ("budget", "waits"),
    [
        pytest.param(60.0, BUDGET, id="the-loads-own-budget"),
        pytest.param(0.020, 0.020, id="the-callers-shorter-one"),
    ],
)
def test_nobody_waits_longer_than_the_shorter_budget(world: World, budget: float, waits: float) -> None:
    """A hung database costs a request its budget, and is never "unknown"."""
    task = world.ask(0, budget=budget)
    world.advance(waits - 0.001)
    waiting = not task.done()
    world.advance(0.002)

    assert waiting
    assert refused(task)


@pytest.mark.parametrize("budget", [pytest.param(0.0, id="none"), pytest.param(-1.0, id="spent")])
def test_a_caller_without_time_is_refused(world: World, budget: float) -> None:
    """What must be waited for cannot be answered in no time."""
    assert refused(world.ask(0, budget=budget))


def test_those_who_join_wait_for_what_is_left(world: World) -> None:
    """A load that hangs does not get its budget anew from each who joins."""
    world.ask(0)
    world.advance(BUDGET - 0.010)
    late = world.ask(0)
    world.advance(0.011)

    assert refused(late)
    assert 1 == len(world.store.loads)


def test_who_is_patient_waits_longer_than_a_request(world: World) -> None:
    """An administrator gets what a slow database says in the end; a request for the same key does not wait for it."""
    request = world.ask(0)
    administrator = world.ask_patiently(0, budget=5.0)
    world.advance(4.9)
    waiting = not administrator.done()
    for query in world.store.open:
        query.found(record())
    world.loop.turn()

    assert refused(request)
    assert waiting
    assert administrator.result() is not None
    # It is true, and older than anything that is kept may be.
    assert world.cache.get(digest(0)) is None


def test_patience_ends_too(world: World) -> None:
    """A hung database costs an administrator their own budget."""
    administrator = world.ask_patiently(0, budget=5.0)
    world.advance(4.999)
    waiting = not administrator.done()
    world.advance(0.002)

    assert waiting
    assert refused(administrator)


def test_who_is_patient_waits_for_a_turn(world: World) -> None:
    """Behind loads that take longer than a request may, the administrator's is still made; a request's is not."""
    for number in range(1, 9):
        world.ask(number)
    request, administrator = world.ask(9), world.ask_patiently(10)
    world.advance(0.2)
    for query in world.store.open:
        query.fail()
    world.loop.turn()
    world.store.loads[-1].found(record())
    world.loop.turn()

    assert refused(request)
    assert [digest(10)] == list(world.store.loads[-1].digests)
    assert administrator.result() is not None


def test_a_request_joins_a_patient_load_for_its_own_time_only(world: World) -> None:
    """While it is young, and no longer than any other; after that a load of its own is started."""
    administrator = world.ask_patiently(0)
    joined = world.ask(0)
    loads = len(world.store.loads)
    world.advance(BUDGET + 0.001)
    later = world.ask(0)
    world.store.loads[-1].found(record(), 2)
    world.loop.turn()
    world.store.loads[0].found(record(), 1)
    world.loop.turn()

    assert (loads, len(world.store.loads)) == (1, 2)
    assert refused(joined)
    assert later.result() is not None
    assert administrator.result() is not None
    known = world.cache.get(digest(0))
    assert isinstance(known, Bearer)
    assert position(2) == known.as_of


def test_administrators_share_a_load(world: World) -> None:
    """Two calls with one key are one question, while it is young."""
    first, second = world.ask_patiently(0), world.ask_patiently(0)
    world.store.loads[0].found(record())
    world.loop.turn()

    assert 1 == len(world.store.loads)
    assert first.result() is second.result() is not None
