"""Invalidation: after a change is told, nothing older than it is ever answered again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authsvc.domain.decision import Bearer
from authsvc.ports import ABSENT
from tests.support.builders import record
from tests.support.cache_world import EPOCH, OTHER_EPOCH, World, digest, position, refused

KEY = record().id
ORGANIZATION = record().organization_id
REVOKED = record(revoked_at=1)
OTHER = "key_01J00000000000000000000009"
OTHERS_ORGANIZATION = "org_01J00000000000000000000009"


@pytest.fixture
def world() -> Iterator[World]:
    """A cache that has heard from its database."""
    with World() as world:
        yield world


@pytest.mark.parametrize(
    ("target", "left"),
    [
        pytest.param(KEY, 2, id="a-key"),
        pytest.param(ORGANIZATION, 1, id="an-organization-with-all-its-keys"),
        pytest.param("key_01J0000000000000000000000X", 3, id="nobody"),
    ],
)
def test_an_invalidation_drops_what_it_names(world: World, target: str, left: int) -> None:
    """And nothing else."""
    world.load(0)
    world.load(1, id=OTHER)
    world.load(2, id="key_01J00000000000000000000007", organization_id="org_01J00000000000000000000002")
    world.cache.invalidate(position(2), target)

    assert left == len(world.cache)
    assert (world.cache.get(digest(0)) is None) == (left != 3)


def test_several_targets_are_one_invalidation(world: World) -> None:
    """One transaction may touch many."""
    world.load(0)
    world.load(1, id=OTHER, organization_id="org_01J00000000000000000000002")
    world.cache.invalidate(position(2), KEY, OTHER)

    assert 0 == len(world.cache)
    assert {} == world.cache._found.index


@pytest.mark.parametrize("target", [KEY, ORGANIZATION, OTHER, OTHERS_ORGANIZATION])
def test_a_text_of_two_records_is_dropped_with_either(world: World, target: str) -> None:
    """Of which a load tells only the one that counts: who ends the other ended the text."""
    world.load(0, also=(OTHER, OTHERS_ORGANIZATION))
    world.cache.invalidate(position(2), target)

    assert 0 == len(world.cache)
    assert {} == world.cache._found.index


@pytest.mark.parametrize("target", [OTHER, OTHERS_ORGANIZATION])
def test_a_load_of_before_a_change_of_the_other_record_is_not_kept(world: World, target: str) -> None:
    """As with the one that counts."""
    world.cache.invalidate(position(2), target)
    world.load(0, seq=1, also=(OTHER, OTHERS_ORGANIZATION))

    assert 0 == len(world.cache)


def test_a_text_that_gets_a_second_record_is_dropped(world: World) -> None:
    """It was found under one of its digests, and another one of them is imported; others stay."""
    for number in (0, 2):
        task = world.start(world.cache.fetch((digest(number), digest(number + 1)), 60.0, None))
        world.store.loads[-1].found(record(id=f"key_{number}"))
        world.loop.turn()
        assert task.result() is not None
    world.cache.invalidate_absent(position(2), [digest(1), digest(9)])

    assert [None, 2] == [world.cache.get(digest(0)), 2 * (world.cache.get(digest(2)) is not None)]
    assert digest(1) not in world.cache._found.index


@pytest.mark.parametrize(("digests", "kept"), [(1, True), (2, False)])
def test_a_load_from_before_an_import_is_kept_where_there_is_one_digest(
    world: World, digests: int, *, kept: bool
) -> None:
    """What is imported cannot be a second record of such a text."""
    world.start(world.cache.fetch([digest(n) for n in range(digests)], 60.0, None))
    world.cache.invalidate_absent(position(2), ())
    world.store.loads[-1].found(record(), seq=1)
    world.loop.turn()

    assert kept == (world.cache.get(digest(0)) is not None)


def test_two_records_of_one_organization_are_one_target(world: World) -> None:
    """What is evicted leaves nothing in the index."""
    world.load(0, also=(OTHER, ORGANIZATION))
    world.cache.invalidate(position(2), ORGANIZATION)

    assert {} == world.cache._found.index


def test_a_key_under_two_digests_is_dropped_under_both(world: World) -> None:
    """As when the current pepper changed while the process ran."""
    world.load(0)
    world.load(1)
    world.cache.invalidate(position(2), KEY)

    assert 0 == len(world.cache)


def test_what_is_newer_than_the_change_stays(world: World) -> None:
    """Changes may be told late."""
    kept = world.load(0, seq=5)
    world.cache.invalidate(position(5), KEY)

    assert kept is world.cache.get(digest(0))


@pytest.mark.parametrize("target", [pytest.param(KEY, id="key"), pytest.param(ORGANIZATION, id="organization")])
def test_a_load_that_read_before_the_change_is_answered_and_not_kept(world: World, target: str) -> None:
    """Who asked before the change gets the old answer, whoever asks afterwards starts a new load."""
    early = world.ask(0)
    world.cache.invalidate(position(2), target)
    late = world.ask(0)
    world.store.loads[0].found(record(), seq=1)
    world.loop.turn()
    kept = world.cache.get(digest(0))
    world.store.loads[1].found(REVOKED, seq=2)
    world.loop.turn()

    answer = late.result()

    assert early.result() is not None
    assert kept is None
    assert 2 == len(world.store.loads)
    assert answer is not None
    assert REVOKED is answer.record
    assert answer is world.cache.get(digest(0))


def test_any_change_ends_joining(world: World) -> None:
    """Whether it concerns a load is known only when that is over."""
    world.ask(0)
    world.cache.invalidate(position(2), "something else")
    world.ask(0)

    assert 2 == len(world.store.loads)


def test_the_fence_outlives_the_load(world: World) -> None:
    """A tombstone holds back every load from before the change, not only the one under way."""
    world.cache.invalidate(position(5), KEY)
    for seq in (3, 4):
        world.load(0, seq=seq)
    kept = len(world.cache)
    world.load(0, seq=5)

    assert 0 == kept
    assert 1 == len(world.cache)


def test_a_tombstone_never_moves_back(world: World) -> None:
    """Changes of one key that are told out of order leave the newest."""
    world.cache.invalidate(position(5), KEY)
    world.cache.invalidate(position(4), KEY)
    world.load(0, seq=4)

    assert 0 == len(world.cache)


def test_too_many_tombstones_become_a_floor() -> None:
    """Everything is forgotten, and nothing older than the newest of them is kept."""
    with World(tombstones=3) as world:
        world.load(0, seq=9)
        for seq in range(2, 6):
            world.cache.invalidate(position(seq), f"key_{seq}")
        forgotten = len(world.cache)
        world.load(1, seq=4)
        below = len(world.cache)
        world.load(2, seq=5)

        assert 0 == forgotten == below == len(world.cache._tombs)
        assert 1 == len(world.cache)


def test_the_floor_is_the_newest_change_in_whatever_order_they_were_told() -> None:
    """Two revokes may be told in the other order, and the earlier is the one too many."""
    with World(tombstones=3) as world:
        early = world.ask(0)
        world.cache.invalidate(position(9), KEY)
        for seq in (2, 3, 4):
            world.cache.invalidate(position(seq), f"key_{seq}")
        world.store.loads[0].found(record(), seq=8)
        world.loop.turn()

        assert early.result() is not None
        assert world.cache.get(digest(0)) is None


def test_an_overflow_ends_joining_and_forgets_junk() -> None:
    """The flush is of everything."""
    with World(tombstones=1) as world:
        world.junk(0)
        world.ask(1)
        world.cache.invalidate(position(2), "a", "b")
        world.ask(1)
        world.ask(0)

        assert 4 == len(world.store.loads)


def test_new_keys_end_what_was_not_found(world: World) -> None:
    """Keys that callers hold already, as after an import, are found at once."""
    world.junk(0)
    kept = world.load(1)
    world.cache.invalidate_absent(position(2), ())

    assert world.cache.get(digest(0)) is None
    assert kept is world.cache.get(digest(1))


@pytest.mark.parametrize(("seq", "known"), [pytest.param(1, None, id="before"), pytest.param(2, ABSENT, id="after")])
def test_a_load_from_before_new_keys_proves_no_absence(world: World, seq: int, known: object) -> None:
    """It could not have found them."""
    task = world.ask(0)
    world.cache.invalidate_absent(position(2), ())
    world.store.loads[0].found(None, seq)
    world.loop.turn()

    assert task.result() is None
    assert known is world.cache.get(digest(0))


def test_new_keys_end_joining(world: World) -> None:
    """Who asks after them must not be told what a load from before them found."""
    world.ask(0)
    world.cache.invalidate_absent(position(2), ())
    late = world.ask(0)
    world.store.loads[0].found(None, 1)
    world.store.loads[1].found(record(), 2)
    world.loop.turn()

    assert late.result() is not None


def test_another_epoch_drops_everything(world: World) -> None:
    """Positions of two databases do not compare."""
    world.load(0, seq=100)
    world.junk(1)
    world.cache.invalidate(position(100), OTHER)
    world.advance(1)
    world.confirm(1, OTHER_EPOCH)
    dropped = (world.cache.get(digest(0)), world.cache.get(digest(1)), len(world.cache._tombs))
    world.advance(0.001)
    task = world.ask(0)
    world.store.loads[-1].found(record(id=OTHER), seq=1, epoch=OTHER_EPOCH)
    world.loop.turn()

    assert (None, None, 0) == dropped
    assert task.result() is world.cache.get(digest(0)) is not None


def test_a_late_answer_of_the_former_database_changes_nothing(world: World) -> None:
    """It would bring back the former epoch, and with it what was revoked since."""
    early = world.ask(0)
    world.advance(0.010)
    world.confirm(1, OTHER_EPOCH)
    world.cache.invalidate(position(2, OTHER_EPOCH), KEY)
    world.advance(0.010)
    world.store.loads[0].found(record(), seq=100)
    world.loop.turn()

    assert early.result() is not None
    assert world.cache.get(digest(0)) is None
    assert OTHER_EPOCH == world.cache._epoch


def test_a_revoke_in_a_new_epoch_reaches_what_was_cached_in_the_old(world: World) -> None:
    """The revoke may be the first to hear of it, and its position is a small number then."""
    world.load(0, seq=100)
    world.cache.invalidate(position(3, OTHER_EPOCH), KEY)

    assert 0 == len(world.cache)


def test_new_keys_in_a_new_epoch_end_what_was_not_found_in_the_old(world: World) -> None:
    """The same, for absence."""
    world.junk(0, seq=100)
    world.cache.invalidate_absent(position(3, OTHER_EPOCH), ())
    world.junk(0, seq=100)

    assert world.cache.get(digest(0)) is None


def test_what_was_asked_before_a_change_of_epoch_is_not_kept(world: World) -> None:
    """The tombstones it would be held against may have gone with the former epoch."""
    world.ask(0)
    world.cache.invalidate(position(5, OTHER_EPOCH), KEY)
    world.advance(0.010)
    world.confirm(1, EPOCH)
    world.advance(0.010)
    world.confirm(5, OTHER_EPOCH)
    world.advance(0.010)
    world.store.loads[0].found(record(), seq=4, epoch=OTHER_EPOCH)
    world.loop.turn()

    assert world.cache.get(digest(0)) is None


def test_a_log_that_went_back_drops_everything(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A failover lost changes: what was cached may be from a past that did not happen."""
    world.load(0, seq=100)
    world.advance(1)
    world.confirm(99)
    dropped = len(world.cache)
    world.advance(1)
    world.load(0, seq=99)
    world.cache.invalidate(position(100), KEY)

    assert 0 == dropped == len(world.cache)
    assert ["the database has lost changes or is another one: every cached key is dropped"] == caplog.messages


def test_answers_that_cross_are_no_log_that_went_back(world: World) -> None:
    """A question sent before the newer answer was there may well be answered older."""
    sent = world.clock.monotonic()
    world.advance(0.010)
    world.load(0, seq=100)
    world.advance(0.010)
    world.cache.confirm(position(50), sent)

    assert isinstance(world.cache.get(digest(0)), Bearer)


def test_an_invalidation_before_the_first_word_of_the_database_counts() -> None:
    """A revoke can be the first thing a process does."""
    with World(confirmed=False) as world:
        world.cache.invalidate(position(5), KEY)
        world.confirm(5)
        world.load(0, seq=4)

        assert 0 == len(world.cache)


def test_a_revision_of_before_the_fence_is_not_waited_for(world: World) -> None:
    """A load that is too old for a caller's revision is refused, though others get it."""
    plain = world.ask(0)
    strict = world.ask(0, at_least=position(2))
    for query in world.store.open:
        query.found(record(), seq=1)
    world.loop.turn()

    assert plain.result() is not None
    assert refused(strict)
