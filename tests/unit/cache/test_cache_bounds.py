"""Nothing grows without a bound, and no flood of one kind takes what another needs."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from authsvc.cache import CachedKeyStore
from authsvc.domain.api import Api
from authsvc.domain.decision import Allow, Bearer, bearer_of
from authsvc.domain.keys import KeyRecord
from authsvc.domain.origins import parse_pattern
from authsvc.ports import ABSENT
from authsvc.servicers import envoy_wire
from tests.support.builders import api, limit, record
from tests.support.cache_world import World, digest, position, refused

LOADS, WAITING, UNKNOWN = 8, 256, 200
MAX_BYTES = 3_000  # TARGET


@pytest.fixture
def world() -> Iterator[World]:
    """A cache that has heard from its database."""
    with World() as world:
        yield world


def answer_all(world: World, of: KeyRecord | None) -> int:
    """Answer until nothing is asked any more; return how many loads the database had at once at most."""
    most = 0
    while world.store.open:
        most = max(most, len(world.store.open))
        for query in world.store.open:
            query.found(of)
        world.loop.turn()
    return most


def test_few_loads_run_and_a_bounded_number_waits(world: World) -> None:
    """Eight at the database, 256 behind them; who comes then is refused at once."""
    tasks = [world.ask(number) for number in range(LOADS + WAITING)]
    beyond = world.ask(LOADS + WAITING)
    joined = world.ask(0)
    running = len(world.store.open)
    most = answer_all(world, record())

    assert LOADS == running == most
    assert refused(beyond)
    assert 1 == world.counters.shed
    assert all(task.result() is not None for task in (*tasks, joined))


def test_replaced_loads_count_too(world: World) -> None:
    """One digest cannot hold more than its share by asking for ever newer revisions."""
    tasks = [world.ask(0, at_least=position(2)) for _ in range(1_000)]
    for _ in range(20):
        world.advance(0.2)
        tasks += [world.ask(number) for number in range(100)]
    running = len([task for task in world.loop_tasks() if task not in tasks])

    assert LOADS == len(world.store.open)
    assert running <= LOADS + WAITING


def test_a_load_that_waited_too_long_for_its_turn_costs_no_query(world: World) -> None:
    """Nobody waits for it any more."""
    late = [world.ask(number) for number in range(LOADS + WAITING)]
    world.advance(0.2)
    for query in world.store.open:
        query.fail()
    world.loop.turn()

    assert LOADS == len(world.store.loads)
    assert all(refused(task) for task in late)
    assert {} == world.cache._flights
    assert 0 == world.cache._running


def test_junk_is_bounded_a_second(world: World) -> None:
    """Two hundred questions that find nothing, whatever comes in, and never one more in any second."""
    asked: list[float] = []
    for number in range(5_000):
        world.ask(number)
        while world.store.open:
            asked.append(world.clock.seconds)
            world.store.open[0].found(None)
            world.loop.turn()
        world.advance(1 / 1024)
    windows = [sum(start <= instant < start + 1 for instant in asked) for start in asked]

    assert UNKNOWN == max(windows)
    assert UNKNOWN * 5 == len(asked)


def test_junk_that_comes_all_at_once_is_bounded_too(world: World) -> None:
    """What the database has and has not answered counts as if it found nothing."""
    tasks = [world.ask(number) for number in range(LOADS + WAITING)]
    while world.store.open:
        world.store.open[0].found(None)
        world.loop.turn()

    assert UNKNOWN == len(world.store.loads)
    assert Counter({False: UNKNOWN, True: LOADS + WAITING - UNKNOWN}) == Counter(map(refused, tasks))


def test_a_flood_of_junk_does_not_keep_known_keys_from_being_read_again(world: World) -> None:
    """Else every key in use would be refused within `max_age`, by anybody who can make up keys."""
    world.load(0)
    world.advance(400)
    world.confirm()
    for number in range(1, UNKNOWN + 1):
        world.junk(number)
    junk = world.ask(UNKNOWN + 1)
    known = world.ask(0)
    world.store.loads[-1].found(record())
    world.loop.turn()

    assert refused(junk)
    assert known.result() is not None


def test_keys_that_exist_are_not_junk(world: World) -> None:
    """A cold start may load as many as it likes."""
    for number in range(3 * UNKNOWN):
        world.load(number)

    assert 3 * UNKNOWN == len(world.cache)
    assert 0 == world.counters.shed


def test_junk_does_not_evict_keys() -> None:
    """20,000 digests that do not exist, and every good key still answers."""
    with World(keys=1_000, negatives=20_000, unknown_per_second=10**9) as world:
        for number in range(1_000):
            world.load(number, id=f"key_{number}")
        for number in range(1_000, 22_000):
            world.junk(number)
        junk = [world.cache.get(digest(number)) for number in range(1_000, 22_000)]

        assert 1_000 == sum(isinstance(world.cache.get(digest(number)), Bearer) for number in range(1_000))
        assert 20_000 == junk.count(ABSENT)
        assert 0 == world.counters.evictions


def test_the_key_used_longest_ago_leaves_first() -> None:
    """Using one is what keeps it."""
    with World(keys=2) as world:
        world.load(0, id="key_0")
        world.load(1, id="key_1")
        world.clock.seconds += 2  # it is moved once a second
        world.cache.get(digest(0))
        world.load(2, id="key_2")

        assert world.cache.get(digest(1)) is None
        assert isinstance(world.cache.get(digest(0)), Bearer)
        assert 2 == len(world.cache)
        assert 1 == world.counters.evictions


def indexed(cache: CachedKeyStore) -> set[bytes]:
    """Return the digests that the index leads to."""
    return {of for target in cache._found.index for of in cache._found.under(target)}


def test_nothing_leaks() -> None:
    """A hundred thousand operations later, everything is within its bound and the index is what is cached."""
    with World(keys=50, negatives=20, tombstones=30, unknown_per_second=10**9) as world:
        draw = Random(7)
        for seq in range(2, 100_000):
            number = draw.randrange(200)
            match draw.randrange(8):
                case 0:
                    world.cache.invalidate(position(seq), f"key_{number}", f"org_{number % 10}")
                case 1:
                    world.clock.seconds += draw.random()
                    world.confirm(seq)
                case 2 if world.store.open:
                    world.store.open[0].fail()
                    world.loop.turn()
                case 3 | 4 if world.cache.get(digest(number)) is None:
                    world.ask(number)
                case _:
                    world.cache.get(digest(number))
            for query in world.store.open[draw.randrange(3) :]:
                of = record(id=f"key_{number}", organization_id=f"org_{number % 10}")
                query.found(of if number < 150 else None, seq - draw.randrange(2))
                world.loop.turn()
            world.store.loads = world.store.open
        world.advance(1)
        answer_all(world, None)
        cache = world.cache

        assert 0 < len(cache) <= 50
        assert len(cache._absent) <= 20
        assert len(cache._tombs) <= 30 + 2
        assert set(cache._found) == indexed(cache)
        assert all(cache._found.index.values())
        assert ({}, 0, 0) == (cache._flights, cache._running, cache._guesses)


SCOPES = tuple(
    f"{thing}:{act}" for thing in ("appointments", "calls", "people", "webhooks") for act in ("read", "write")
)


def realistic(number: int) -> KeyRecord:
    """Return a key as the store reads it: every text its own, because each comes out of a row."""
    draw = Random(number)

    def own(text: str) -> str:
        return "".join(list(text))

    return record(
        id=f"key_{draw.randrange(10**26):026d}",
        api=own("shop"),
        organization_id=f"org_{draw.randrange(10**26):026d}",
        kind=own("secret"),
        environment=own("live"),
        scopes=tuple(own(scope) for scope in SCOPES[: draw.randrange(1, 9)]),
        limits=(limit(name=own("per-key")),) if number % 4 == 0 else (),
        origins=(parse_pattern(f"https://shop{number}.example"),) if number % 4 == 1 else None,
        expires_at=1_900_000_000_000_000 + number if number % 2 else None,
        metadata={own("team"): f"team-{number}"} if number % 4 == 2 else {},
    )


def cached(of: Api, count: int) -> tuple[World, int]:
    """Return a world with as many keys in use, and the bytes that they have taken."""
    world = World(api=of)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        bearer = bearer_of(realistic(number), of, position(1))
        world.cache._admit((digest(number),), position(1), bearer, ())
        envoy_wire.allow(of, Allow(), bearer, "0" * 32, ())
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return world, taken


def test_a_cached_key_is_small() -> None:
    """With its record, what follows from it, and its part of Envoy's answers."""
    world, taken = cached(api(limits=(limit(name="api", count=100, burst=100),)), 10_000)
    with world:
        each = taken / len(world.cache)

        assert 10_000 == len(world.cache)
        assert each <= MAX_BYTES
