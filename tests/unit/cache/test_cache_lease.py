"""How long what is cached may be used, while the database answers and while it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authsvc.domain.errors import UnavailableError
from authsvc.ports import ABSENT
from tests.support.builders import record
from tests.support.cache_world import World, digest, position, refused

S, T = 60.0, 300.0


@pytest.fixture
def world() -> Iterator[World]:
    """A cache that has heard from its database."""
    with World(max_staleness=S, max_age=T) as world:
        yield world


def test_before_the_first_word_of_the_database_everything_is_refused() -> None:
    """Neither an answer nor a load: whether this database may be served from is not known."""
    with World(confirmed=False) as world:
        task = world.ask(0)

        assert refused(task)
        assert [] == world.store.loads
        assert float("inf") == world.cache.staleness


def test_the_lease_ends_behind_its_last_instant(world: World) -> None:
    """S after the last word a cached key is still decided, a moment later everything is refused."""
    kept = world.load(0)
    world.junk(1)
    world.cache.lost()
    world.advance(S)
    last = world.cache.get(digest(0))
    world.advance(0.001)

    assert kept is last
    for number in (0, 1, 2):
        with pytest.raises(UnavailableError):
            world.cache.get(digest(number))


def test_the_lease_counts_from_when_the_question_was_sent(world: World) -> None:
    """The answer may have been on its way for long."""
    world.load(0)
    sent = world.clock.monotonic()
    world.advance(S)
    world.cache.confirm(position(1), sent)
    world.cache.lost()
    world.advance(0.001)

    with pytest.raises(UnavailableError):
        world.cache.get(digest(0))


def test_an_older_confirmation_takes_nothing_back(world: World) -> None:
    """Answers may come in another order than their questions."""
    sent = world.clock.monotonic()
    kept = world.load(0)
    world.advance(S / 2)
    world.confirm()
    world.cache.confirm(position(1), sent)
    world.cache.lost()
    world.advance(S)

    assert kept is world.cache.get(digest(0))


def test_a_failed_question_renews_nothing(world: World) -> None:
    """Neither a load nor the heartbeat."""
    world.load(0)
    for _ in range(10):
        world.advance(S / 10)
        world.cache.lost()
        world.ask(1)
        world.store.loads[-1].fail()
        world.loop.turn()
    world.advance(0.001)

    with pytest.raises(UnavailableError):
        world.cache.get(digest(0))


def test_a_load_renews_the_lease_of_all(world: World) -> None:
    """A database that answers one question is there."""
    kept = world.load(0)
    world.advance(S)
    world.load(1)
    world.cache.lost()
    world.advance(S)

    assert kept is world.cache.get(digest(0))


def test_the_lease_comes_back_with_the_database(world: World) -> None:
    """What is not too old is used again."""
    kept = world.load(0)
    world.cache.lost()
    world.advance(S + 1)
    world.confirm()

    assert kept is world.cache.get(digest(0))


def test_a_process_that_stood_still_asks_again(world: World) -> None:
    """Nobody has said that the database is gone; it is asked, and nothing cached is used before it answers."""
    world.load(0)
    world.advance(S + 1)
    stopped = world.cache.get(digest(0))
    task = world.ask(0)
    world.store.loads[-1].found(record(plan="new"))
    world.loop.turn()

    assert stopped is None
    assert task.result() is world.cache.get(digest(0)) is not None


def test_no_staleness_at_all_means_a_load_for_every_question() -> None:
    """The strict choice still works while the database answers, and every answer is from after its question."""
    with World(max_staleness=0.0) as world:
        for seq in range(1, 4):
            world.advance(0.001)
            first, second = world.ask(0), world.ask(0)
            for query in world.store.open:
                query.found(record(), seq)
            world.loop.turn()
            assert first.result() is not second.result()

        assert 6 == len(world.store.loads)


def test_no_staleness_at_all_refuses_as_soon_as_the_database_is_lost() -> None:
    """And asks it no more until the heartbeat has found it again."""
    with World(max_staleness=0.0) as world:
        world.load(0)
        world.advance(0.001)
        failed = world.ask(0)
        world.store.loads[-1].fail()
        world.loop.turn()
        after = world.ask(0)
        asked = len(world.store.loads)
        world.confirm()
        world.advance(0.001)
        world.ask(0)

        assert refused(failed)
        assert refused(after)
        assert 2 == asked
        assert 3 == len(world.store.loads)


def test_a_record_is_read_again_after_its_age(world: World) -> None:
    """While the database answers."""
    kept = world.load(0)
    world.advance(T - 0.001)
    world.confirm()
    last = world.cache.get(digest(0))
    world.advance(0.001)
    world.confirm()

    assert kept is last
    assert world.cache.get(digest(0)) is None
    assert world.load(0) is world.cache.get(digest(0))


@pytest.mark.parametrize("edge", [pytest.param(0.9, id="early"), pytest.param(1.1, id="late")])
def test_ages_are_spread(world: World, monkeypatch: pytest.MonkeyPatch, edge: float) -> None:
    """By a tenth, so that keys loaded together are not all read again together."""
    spans: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        spans.append((low, high))
        return edge

    monkeypatch.setattr("authsvc.cache.store.random.uniform", draw)
    kept = world.load(0)
    world.advance(T * edge - 0.001)
    world.confirm()
    last = world.cache.get(digest(0))
    world.advance(0.002)
    world.confirm()

    assert [(0.9, 1.1)] == spans
    assert kept is last
    assert world.cache.get(digest(0)) is None


def test_an_older_record_is_used_while_the_database_is_lost(world: World) -> None:
    """For the length of the lease; then not, and again not once the database answers."""
    kept = world.load(0)
    world.advance(T - 1)
    world.confirm()
    world.cache.lost()
    world.advance(S)
    used = world.cache.get(digest(0))
    world.confirm()

    assert kept is used
    assert world.cache.get(digest(0)) is None


def test_a_key_nobody_used_for_an_hour_is_not_fresh_because_the_database_went_away(world: World) -> None:
    """It may have been revoked elsewhere long ago: age is bounded by T + S, whatever happens."""
    world.load(0)
    for _ in range(60):
        world.advance(60)
        world.confirm()
    world.cache.lost()

    assert refused_or_none(world) is None


def test_a_database_that_beats_and_cannot_load_does_not_keep_records_for_ever(world: World) -> None:
    """As while a migration locks the table of keys: each beat renews the lease, each load fails."""
    world.load(0)
    used = 0.0
    for second in range(int(2 * (T + S))):
        world.advance(1)
        world.confirm()
        world.ask(0)
        for query in world.store.open:
            query.fail()
        world.loop.turn()
        used = second if refused_or_none(world) is not None else used

    assert T <= used <= T + S


def refused_or_none(world: World) -> object:
    """Return what is known of digest 0, None also where that is refused."""
    try:
        return world.cache.get(digest(0))
    except UnavailableError:
        return None


def test_unknown_keys_are_refused_while_the_database_is_lost(world: World) -> None:
    """Never "unknown": nobody has looked."""
    world.cache.lost()
    task = world.ask(0)
    world.store.loads[0].fail()
    world.loop.turn()

    assert refused(task)


def test_what_was_not_found_is_forgotten_in_time_during_an_outage_too(world: World) -> None:
    """Then it is a question again, which cannot be answered."""
    world.junk(0)
    world.cache.lost()
    before = world.cache.get(digest(0))
    world.advance(10.001)

    assert ABSENT is before
    assert world.cache.get(digest(0)) is None


def test_staleness_is_the_time_since_the_last_word(world: World) -> None:
    """For metrics, and for answers that say so."""
    world.advance(3)

    assert 3.0 == world.cache.staleness
