"""`Registry`: keys that are updated, rotated, revoked together and deleted. Either database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from authsvc.domain.administration import Changed, Rotated
from authsvc.domain.errors import ConflictError, FailedPreconditionError, NotFoundError, UnavailableError
from authsvc.domain.network import parse_network
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql, watched
from tests.support.stored import ACTOR, LIMITS, digest, key_id, new_key, new_organization, organization_id, update

CONCURRENT = 50
GRACE = 900_000_001  # a microsecond beyond whole seconds
NETWORK = parse_network("10.0.0.0/8")
EVERYTHING: dict[str, Any] = {
    "name": "new",
    "metadata": {"a": "1"},
    "scopes": ("a:b",),
    "full_access": True,
    "networks": (NETWORK,),
    "limits": LIMITS,
    "not_before": 1_900_000_000_000_001,
    "expires_at": 1_900_000_000_000_002,
}


async def furnish(store: SqlStore, **changes: Any) -> None:
    """Store an organization with one key."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(1, **changes), ACTOR)


async def test_an_update_is_stored_whole(store: SqlStore) -> None:
    """What it answers is what reading and loading answer, and everything else stays."""
    await furnish(store)
    before = await store.get_key(key_id(1))

    changed = await store.update_key(key_id(1), "1", update(**EVERYTHING), ACTOR)

    record = changed.value.record
    assert changed.value == await store.get_key(key_id(1))
    assert record == (await store.load([digest(1)])).record
    assert EVERYTHING == {"name": changed.value.name} | {
        name: getattr(record, name) for name in EVERYTHING if name != "name"
    }
    assert (before.record.id, before.created_at, before.hint, "2") == (
        record.id,
        changed.value.created_at,
        changed.value.hint,
        changed.value.etag,
    )


async def test_the_trail_tells_only_what_differs(store: SqlStore, database_url: str) -> None:
    """With times as people read them."""
    await furnish(store)
    await store.update_key(key_id(1), "1", update(name="new", expires_at=1_900_000_000_000_002), ACTOR)

    rows = run_sql(database_url, "SELECT before, after FROM audit_events WHERE action = 'key.update'")

    assert "2030-03-17T17:46:40.000002Z" in repr(rows)
    assert "scopes" not in repr(rows)


@pytest.mark.parametrize("etag", ["2", "0", "x", "1 "])
async def test_another_version_is_refused_with_the_current_one(store: SqlStore, etag: str) -> None:
    """Whatever is to be done to it, and nothing is."""
    await furnish(store)
    before = await store.head()
    attempts = [
        store.update_key(key_id(1), etag, update(), ACTOR),
        store.rotate_key(key_id(1), etag, new_key(2), 0, ACTOR),
        store.delete_key(key_id(1), "", ACTOR, etag=etag),
        store.revoke_keys([key_id(1)], "", ACTOR, etag=etag),
    ]
    for attempt in attempts:
        with pytest.raises(ConflictError, match=r"etag is now 1$"):
            await attempt

    assert before.revision == (await store.head()).revision


async def test_a_revoked_key_is_not_updated(store: SqlStore) -> None:
    """It is dead for good."""
    await furnish(store)
    await store.revoke_key(key_id(1), "", ACTOR)

    with pytest.raises(FailedPreconditionError):
        await store.update_key(key_id(1), "2", update(), ACTOR)
    with pytest.raises(ConflictError):
        await store.rotate_key(key_id(1), "2", new_key(2), 0, ACTOR)


async def test_a_rotation_leaves_two_keys(store: SqlStore) -> None:
    """The successor is stored as any new key; the predecessor ends after the grace, to the microsecond."""
    await furnish(store)
    new = new_key(2, scopes=("a:b",), limits=LIMITS, networks=(NETWORK,), metadata={"a": "1"}, expires_at=2**50)

    changed = await store.rotate_key(key_id(1), "1", new, GRACE, ACTOR)

    key, predecessor = changed.value.key, changed.value.predecessor
    assert (key, predecessor) == (await store.get_key(key_id(2)), await store.get_key(key_id(1)))
    assert key.record == (await store.load([digest(2)])).record
    assert predecessor.record.grace_ends_at == predecessor.updated_at + GRACE
    assert (key.predecessor_id, predecessor.successor_id, key.successor_id) == (key_id(1), key_id(2), None)
    assert (key.created_at, key.created_by) == (predecessor.updated_at, ACTOR.key_id)


async def test_a_grace_is_never_lengthened(store: SqlStore) -> None:
    """A second rotation may end it earlier only."""
    await furnish(store)
    first = await store.rotate_key(key_id(1), "1", new_key(2), GRACE, ACTOR)
    later = await store.rotate_key(key_id(1), "2", new_key(3), 10 * GRACE, ACTOR)
    sooner = await store.rotate_key(key_id(1), "3", new_key(4), 0, ACTOR)

    ends = [changed.value.predecessor.record.grace_ends_at for changed in (first, later, sooner)]
    assert ends[0] == ends[1]
    assert ends[2] == sooner.value.predecessor.updated_at < (ends[0] or 0)


async def rotated(store: SqlStore, number: int) -> Changed[Rotated] | ConflictError:
    """Rotate the first key, however often a slow machine says that it is busy; tell when another was faster."""
    while True:
        with suppress(UnavailableError):
            try:
                return await store.rotate_key(key_id(1), "1", new_key(number), 0, ACTOR)
            except ConflictError as error:
                return error


async def test_one_of_many_rotations_wins(store: SqlStore, database_url: str) -> None:
    """Fifty at once make one successor, and the others are told the etag of now."""
    await furnish(store)

    answers = await asyncio.gather(*(rotated(store, number) for number in range(2, CONCURRENT + 2)))

    (winner,) = [answer for answer in answers if isinstance(answer, Changed)]
    assert all(str(answer).endswith("its etag is now 2") for answer in answers if answer is not winner)
    assert run_sql(database_url, "SELECT id FROM keys ORDER BY id") == [(key_id(1),), (winner.value.key.record.id,)]
    assert run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'key.rotate'") == [(1,)]


async def test_one_of_many_changes_of_a_version_wins(store: SqlStore) -> None:
    """Updates, rotations and deletions alike; the others are told that they came too late."""
    await furnish(store)

    answers = await asyncio.gather(
        *(store.update_key(key_id(1), "1", update(name=f"name {n}"), ACTOR) for n in range(4)),
        *(store.rotate_key(key_id(1), "1", new_key(n), 0, ACTOR) for n in range(2, 6)),
        *(store.delete_key(key_id(1), "", ACTOR, etag="1") for _ in range(4)),
        *(store.revoke_keys([key_id(1)], "", ACTOR, etag="1") for _ in range(4)),
        return_exceptions=True,
    )

    kinds = [type(answer) for answer in answers]
    assert kinds.count(Changed) == 1
    assert set(kinds) <= {Changed, ConflictError, NotFoundError}


async def test_a_cancelled_rotation_is_whole_or_nothing(store: SqlStore, database_url: str) -> None:
    """Whenever the caller gives up, both keys agree, and so does the trail."""
    await store.create_organization(new_organization(), ACTOR)
    for n in range(1, 31):
        await store.create_key(new_key(n), ACTOR)
        call = asyncio.create_task(store.rotate_key(key_id(n), "1", new_key(100 + n), 0, ACTOR))
        for _ in range(n):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    await store.create_key(new_key(99), ACTOR)  # has waited for what was still running

    counts = run_sql(
        database_url,
        """SELECT (SELECT count(*) FROM keys WHERE predecessor_id IS NOT NULL),
                  (SELECT count(*) FROM keys o JOIN keys s ON s.id = o.successor_id AND s.predecessor_id = o.id),
                  (SELECT count(*) FROM keys WHERE grace_ends_at IS NOT NULL),
                  (SELECT count(*) FROM audit_events WHERE action = 'key.rotate')""",
    )
    assert len(set(counts[0])) == 1


async def test_keys_are_revoked_together(store: SqlStore) -> None:
    """At one instant; one that was revoked keeps its own."""
    await furnish(store)
    for number in (2, 3):
        await store.create_key(new_key(number), ACTOR)
    first = await store.revoke_key(key_id(2), "first", ACTOR)

    changed = await store.revoke_keys([key_id(3), key_id(2), key_id(1)], "second", ACTOR)
    again = await store.revoke_keys([key_id(3), key_id(1)], "third", ACTOR)

    assert [key_id(3), key_id(2), key_id(1)] == [key.record.id for key in changed.value]
    assert ["second", "first", "second"] == [key.revoke_reason for key in changed.value]
    assert changed.value[1] == first.value
    assert changed.value == tuple([await store.get_key(key_id(n)) for n in (3, 2, 1)])
    assert (changed.revision, again.value) == (again.revision, (changed.value[0], changed.value[2]))


async def test_a_key_that_was_read_is_not_read_again(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is what is stored, of what changed since it was read too: nothing but its end was asked for."""
    await furnish(store)
    as_read = await store.get_key(key_id(1))
    await store.update_key(key_id(1), "", update(name="new"), ACTOR)
    statements = watched(store, monkeypatch)

    changed = await store.revoke_keys([key_id(1)], "leaked", ACTOR, as_read=as_read)

    assert statements[0].startswith("BEGIN")
    assert (await store.get_key(key_id(1)),) == changed.value
    assert (changed.value[0].name, changed.value[0].revoke_reason) == ("new", "leaked")


async def test_what_was_read_of_a_key_may_be_old(store: SqlStore) -> None:
    """One that was revoked since stays as it is, one that was deleted is not found, another version is a conflict."""
    await furnish(store)
    await store.create_key(new_key(2), ACTOR)
    await store.create_key(new_key(3), ACTOR)
    revoked, deleted, updated = [await store.get_key(key_id(n)) for n in (1, 2, 3)]
    first = await store.revoke_key(key_id(1), "first", ACTOR)
    await store.delete_key(key_id(2), "", ACTOR)
    await store.update_key(key_id(3), "", update(name="new"), ACTOR)

    assert (await store.revoke_keys([key_id(1)], "second", ACTOR, as_read=revoked)).value == (first.value,)
    with pytest.raises(NotFoundError):
        await store.revoke_keys([key_id(2)], "", ACTOR, as_read=deleted)
    with pytest.raises(ConflictError):
        await store.revoke_keys([key_id(3)], "", ACTOR, etag="1", as_read=updated)


async def test_a_revocation_is_held_to_the_successor_that_was_read(store: SqlStore) -> None:
    """A rotation that came in between refuses it, also one that commits while it waits for the position."""
    await furnish(store)
    as_read = await store.get_key(key_id(1))
    await store.update_key(key_id(1), "", update(name="others do not"), ACTOR)
    await store.rotate_key(key_id(1), "", new_key(2), 0, ACTOR)

    with pytest.raises(ConflictError, match=r"its etag is now 3$"):
        await store.revoke_keys([key_id(1)], "", ACTOR, as_read=as_read, same_successor=True)

    as_read = await store.get_key(key_id(1))
    changed = await store.revoke_keys([key_id(1), key_id(2)], "", ACTOR, as_read=as_read, same_successor=True)
    assert None not in {key.record.revoked_at for key in changed.value}


async def test_no_successor_outlives_a_revocation_that_was_to_end_it(store: SqlStore) -> None:
    """Of a rotation and such a revocation at once the revocation is refused, or there is no successor."""
    await store.create_organization(new_organization(), ACTOR)
    for n in range(1, 21):
        await store.create_key(new_key(n), ACTOR)
        as_read = await store.get_key(key_id(n))
        await asyncio.gather(
            store.rotate_key(key_id(n), "", new_key(100 + n), 0, ACTOR),
            store.revoke_keys([key_id(n)], "", ACTOR, as_read=as_read, same_successor=True),
            return_exceptions=True,
        )

        now = await store.get_key(key_id(n))
        assert (now.record.revoked_at is None) == (now.successor_id is not None)


async def test_one_absent_key_keeps_all_from_being_revoked(store: SqlStore) -> None:
    """All or none."""
    await furnish(store)

    with pytest.raises(NotFoundError):
        await store.revoke_keys([key_id(1), key_id(2)], "", ACTOR)

    assert (await store.get_key(key_id(1))).record.revoked_at is None


async def test_a_deleted_key_is_a_tombstone(store: SqlStore) -> None:
    """Hidden, dead, and still there for who asks for tombstones."""
    await furnish(store)

    changed = await store.delete_key(key_id(1), "unused", ACTOR)

    assert changed.value == await store.get_tombstone(key_id(1)) == await store.find_key([digest(1)])
    assert changed.value.record.deleted_at == changed.value.updated_at
    assert changed.value.record == (await store.load([digest(1)])).record
    for attempt in (store.get_key(key_id(1)), store.delete_key(key_id(1), "", ACTOR)):
        with pytest.raises(NotFoundError):
            await attempt
    with pytest.raises(NotFoundError):
        await store.get_tombstone(key_id(404))


async def test_a_deleted_organization_gets_no_successor(store: SqlStore, database_url: str) -> None:
    """And the attempt leaves nothing behind."""
    await furnish(store)
    run_sql(database_url, f"UPDATE organizations SET status = 'deleted' WHERE id = '{organization_id(1)}'")

    with pytest.raises(FailedPreconditionError):
        await store.rotate_key(key_id(1), "1", new_key(2), 0, ACTOR)

    assert (await store.load([digest(2)])).record is None


async def test_a_key_of_a_deleted_organization_stays_as_it_is(store: SqlStore, database_url: str) -> None:
    """One that has expired does not come to life again, where no key was to live."""
    await furnish(store, expires_at=1)
    await store.delete_organization(organization_id(1), "", ACTOR)
    before = await store.get_key(key_id(1))

    with pytest.raises(FailedPreconditionError, match="the organization is deleted"):
        await store.update_key(key_id(1), "", update(expires_at=None), ACTOR)

    assert before == await store.get_key(key_id(1))
