"""Every change is whole: its effect, its audit row, its change rows and its position, or nothing. Either database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from authsvc.domain.administration import Changed, Key
from authsvc.domain.errors import UnauthenticatedError, UnavailableError
from authsvc.stores.sql import SqlStore
from tests.support.databases import as_role, run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import (
    ACTOR,
    ASKED,
    digest,
    key_id,
    new_key,
    new_organization,
    organization_id,
    organization_update,
    update,
)

CONCURRENT = 32
TABLES = ("organizations", "keys", "audit_events", "auth_change", "change_head", "idempotency")

Mutation = Callable[[SqlStore], Awaitable[Any]]

MUTATIONS = [
    pytest.param(lambda store: store.create_organization(new_organization(9), ACTOR), id="create-organization"),
    pytest.param(lambda store: store.create_key(new_key(9), ACTOR), id="create-key"),
    pytest.param(lambda store: store.revoke_key(key_id(1), "leaked", ACTOR), id="revoke-key"),
    pytest.param(lambda store: store.suspend_organization(organization_id(1), "x", ACTOR), id="suspend"),
    pytest.param(lambda store: store.reinstate_organization(organization_id(2), "x", ACTOR), id="reinstate"),
    pytest.param(lambda store: store.update_key(key_id(1), "1", update(name="new"), ACTOR), id="update-key"),
    pytest.param(lambda store: store.delete_key(key_id(1), "x", ACTOR), id="delete-key"),
    pytest.param(lambda store: store.create_key(new_key(9), ASKED), id="create-key-once"),
    pytest.param(
        lambda store: store.update_organization(organization_id(1), "1", organization_update(plan="pro"), ACTOR),
        id="update-organization",
    ),
    pytest.param(lambda store: store.delete_organization(organization_id(2), "x", ACTOR), id="delete-organization"),
]
# These write down what happens to each of two keys.
OF_TWO = [
    pytest.param(lambda store: store.rotate_key(key_id(1), "1", new_key(9), 900, ACTOR), id="rotate-key"),
    pytest.param(lambda store: store.rotate_key(key_id(1), "1", new_key(9), 900, ASKED), id="rotate-key-once"),
    pytest.param(lambda store: store.revoke_keys([key_id(1), key_id(2)], "x", ACTOR), id="revoke-keys"),
]

# These end an administrator, and are held to another one that stays.
OF_ADMINISTRATORS = [
    pytest.param(lambda store: _held(store, "revoke_keys", [key_id(1)], "x", ACTOR), id="revoke-administrator"),
    pytest.param(lambda store: _held(store, "delete_key", key_id(1), "x", ACTOR), id="delete-administrator"),
    pytest.param(lambda store: _held(store, "update_key", key_id(1), "1", update(), ACTOR), id="weaken-administrator"),
]


async def _held(store: SqlStore, change: str, *arguments: Any) -> Any:
    return await getattr(store, change)(*arguments, others=[await store.get_key(key_id(2))])


async def furnish(store: SqlStore) -> None:
    """Store an active organization with one key, and a suspended one."""
    await store.create_organization(new_organization(1), ACTOR)
    await store.create_organization(new_organization(2), ACTOR)
    await store.suspend_organization(organization_id(2), "unpaid", ACTOR)
    await store.create_key(new_key(1), ACTOR)
    await store.create_key(new_key(2), ACTOR)


def snapshot(url: str) -> list[list[tuple[Any, ...]]]:
    """Return all that a change could have touched."""
    return [sorted(run_sql(url, f"SELECT * FROM {table}"), key=repr) for table in TABLES]


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_a_change_takes_one_position_and_writes_it_down(
    store: SqlStore, database_url: str, mutation: Mutation
) -> None:
    """The position, one audit row and one change row appear with the effect, all of the same instant."""
    await furnish(store)
    before = await store.head()

    changed = await mutation(store)

    assert before.revision.seq + 1 == changed.revision.seq
    assert changed.revision == (await store.head()).revision
    written = run_sql(
        database_url,
        f"""SELECT a.at = c.at, a.outcome, a.count, a.actor_key_id, a.actor_organization_id, a.address, a.request_id,
                   a.revision_epoch, c.ordinal, a.target_kind = c.kind,
                   a.target_id = coalesce(c.key_id, c.organization_id), a.organization_id = c.organization_id
            FROM audit_events a JOIN auth_change c ON c.seq = a.revision_seq
            WHERE a.revision_seq = {changed.revision.seq}""",
    )
    actor = (ACTOR.key_id, ACTOR.organization_id, ACTOR.address, ACTOR.request_id)
    assert [(1, "done", 1, *actor, changed.revision.epoch, 0, 1, 1, 1)] == written


@pytest.mark.parametrize("mutation", OF_TWO)
async def test_a_change_of_two_keys_is_one_change(store: SqlStore, database_url: str, mutation: Mutation) -> None:
    """One position, with an audit row and a change row for each of the two."""
    await furnish(store)
    before = await store.head()

    changed = await mutation(store)

    assert before.revision.seq + 1 == changed.revision.seq == (await store.head()).revision.seq
    of = f"WHERE revision_seq = {changed.revision.seq}"
    told = run_sql(database_url, f"SELECT target_id FROM audit_events {of} ORDER BY target_id")
    dropped = run_sql(
        database_url, f"SELECT key_id FROM auth_change WHERE seq = {changed.revision.seq} ORDER BY key_id"
    )
    assert told == dropped
    assert len(told) == 2
    assert run_sql(database_url, "SELECT count(*) = max(seq), max(seq) FROM audit_events") == [
        (1, run_sql(database_url, "SELECT audit_seq FROM change_head")[0][0])
    ]


async def test_the_trail_tells_what_changed(store: SqlStore, database_url: str) -> None:
    """Before and after hold the fields that changed, never a digest."""
    await furnish(store)
    await store.revoke_key(key_id(1), "leaked", ACTOR)

    rows = run_sql(database_url, "SELECT action, before, after, reason FROM audit_events ORDER BY seq")
    text = repr(rows)

    assert [row[0] for row in rows] == [
        "organization.create",
        "organization.create",
        "organization.suspend",
        "key.create",
        "key.create",
        "key.revoke",
    ]
    assert [rows[0][1], rows[1][1], rows[3][1]] == [None, None, None]
    assert rows[-1][3] == "leaked"
    assert digest(1).hex() not in text


@contextmanager
def trap(url: str, table: str) -> Iterator[None]:
    """Make every insert into a table fail."""
    if url.startswith("sqlite"):
        make = [f"CREATE TRIGGER trap BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"]
        drop = "DROP TRIGGER trap"
    else:
        make = [
            "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full'; END $$",
            f"CREATE TRIGGER trap BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION trap()",
        ]
        drop = f"DROP TRIGGER trap ON {table}"
    run_sql(url, *make)
    yield
    run_sql(url, drop)


@pytest.mark.parametrize("table", ["audit_events", "auth_change"])
@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO])
async def test_no_record_no_change(store: SqlStore, database_url: str, mutation: Mutation, table: str) -> None:
    """When the trail or the log cannot be written nothing is left, and the same change works later."""
    await furnish(store)
    before = snapshot(database_url)

    with trap(database_url, table), pytest.raises(UnavailableError, match=r"^the database is not available$"):
        await mutation(store)

    assert before == snapshot(database_url)
    await mutation(store)
    assert before != snapshot(database_url)


@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO])
async def test_a_role_without_the_right_to_the_trail_changes_nothing(
    postgres_url: str, request: pytest.FixtureRequest, mutation: Mutation
) -> None:
    """Whatever is tried, nothing is left behind, and decisions go on."""
    service = SqlStore.open(as_role(postgres_url, "authsvc", request), PEPPERS)
    role = request.getfixturevalue("postgres_roles")["authsvc"]
    try:
        await furnish(service)
        run_sql(postgres_url, f"REVOKE INSERT ON audit_events FROM {role}")
        before = snapshot(postgres_url)

        with pytest.raises(UnavailableError):
            await mutation(service)

        assert before == snapshot(postgres_url)
        assert (await service.load([digest(1)])).record is not None
    finally:
        await service.close()


async def persistently(store: SqlStore, number: int) -> Changed[Key]:
    """Create a key, however often it takes: on a slow machine a change may find the queue too long."""
    while True:
        with suppress(UnavailableError):
            return await store.create_key(new_key(number), ACTOR)


async def test_concurrent_changes_leave_no_gap(store: SqlStore, database_url: str) -> None:
    """Positions are committed in their order: nobody ever sees one without all before it."""
    await store.create_organization(new_organization(), ACTOR)
    changes = [asyncio.create_task(persistently(store, number)) for number in range(1, CONCURRENT + 1)]
    seen = []
    while not all(change.done() for change in changes):
        seen += await store.database.rows(
            text(
                """SELECT h.seq, h.audit_seq,
                          (SELECT count(*) FROM auth_change) AS changes, (SELECT max(seq) FROM auth_change) AS change,
                          (SELECT count(*) FROM audit_events) AS events, (SELECT max(seq) FROM audit_events) AS event
                   FROM change_head h"""
            )
        )
    done = [change.result() for change in changes]
    rows = run_sql(database_url, "SELECT seq, at FROM auth_change ORDER BY seq")

    assert list(range(2, CONCURRENT + 2)) == sorted(change.revision.seq for change in done)
    assert list(range(1, CONCURRENT + 2)) == [row[0] for row in rows]
    assert sorted(row[1] for row in rows) == [row[1] for row in rows]
    assert len({row["seq"] for row in seen}) > 1
    assert all(len(set(row.values())) == 1 for row in seen)


async def test_one_of_many_revocations_wins(store: SqlStore, database_url: str) -> None:
    """All callers are told of the same revocation, and it is written down once."""
    await furnish(store)

    answers = await asyncio.gather(*(store.revoke_key(key_id(1), f"reason {n}", ACTOR) for n in range(8)))

    assert len({(answer.value.record.revoked_at, answer.value.revoke_reason) for answer in answers}) == 1
    assert run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'key.revoke'") == [(1,)]


async def test_one_of_many_suspensions_wins(store: SqlStore, database_url: str) -> None:
    """Likewise for organizations, in either direction."""
    await furnish(store)

    ends = await asyncio.gather(*(store.reinstate_organization(organization_id(2), "", ACTOR) for _ in range(8)))
    begins = await asyncio.gather(*(store.suspend_organization(organization_id(2), "", ACTOR) for _ in range(8)))

    assert (len({end.value.etag for end in ends}), len({begin.value.etag for begin in begins})) == (1, 1)
    assert run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'organization.suspend'") == [(2,)]
    assert run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'organization.reinstate'") == [(1,)]


async def test_repeating_a_change_writes_nothing(store: SqlStore, database_url: str) -> None:
    """What is so already takes no position and no row."""
    await furnish(store)
    await store.revoke_key(key_id(1), "leaked", ACTOR)
    before = snapshot(database_url)

    await store.revoke_key(key_id(1), "again", ACTOR)
    await store.suspend_organization(organization_id(2), "again", ACTOR)
    await store.reinstate_organization(organization_id(1), "again", ACTOR)

    assert before == snapshot(database_url)


@pytest.mark.parametrize("end", ["revoke_key", "delete_key"])
@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO])
async def test_whose_key_is_dead_changes_nothing(
    store: SqlStore, database_url: str, mutation: Mutation, end: str
) -> None:
    """A change is refused whose caller was let in before its key was ended, and comes to be written after."""
    await furnish(store)
    await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)
    await getattr(store, end)(ACTOR.key_id, "stolen", replace(ACTOR, key_id=key_id(2)))
    before = snapshot(database_url)

    with pytest.raises(UnauthenticatedError):
        await mutation(store)

    assert before == snapshot(database_url)


async def test_whose_key_was_replaced_without_grace_changes_nothing(store: SqlStore) -> None:
    """A rotation without grace ends a caller as a revocation does, also for a change that is under way."""
    await furnish(store)
    made = await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)
    other = replace(ACTOR, key_id=key_id(2))
    await store.rotate_key(ACTOR.key_id, made.value.etag, new_key(9, id=key_id(9)), 0, other)

    with pytest.raises(UnauthenticatedError):
        await store.create_key(new_key(10, id=key_id(10)), ACTOR)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        pytest.param(lambda store: store.update_key(key_id(2), "1", update(name="new"), ACTOR), True, id="updated"),
        pytest.param(
            lambda store: store.rotate_key(key_id(2), "1", new_key(9), 900_000_000, ACTOR), True, id="rotated"
        ),
        pytest.param(lambda store: store.suspend_organization(organization_id(1), "", ACTOR), True, id="suspended"),
        pytest.param(lambda store: store.revoke_key(key_id(1), "", ACTOR), False, id="another-key"),
        pytest.param(
            lambda store: store.reinstate_organization(organization_id(2), "", ACTOR), False, id="another-org"
        ),
    ],
)
async def test_whose_key_has_changed_changes_nothing(
    store: SqlStore, database_url: str, changed: Mutation, *, refused: bool
) -> None:
    """What a caller was let in as holds when its change is written, or it is let in anew; others may change."""
    await furnish(store)
    read = (await store.load([digest(2)])).as_of.seq
    caller = replace(ACTOR, key_id=key_id(2), organization_id=organization_id(1), as_of=read)
    await changed(store)
    before = snapshot(database_url)

    if refused:
        with pytest.raises(UnavailableError, match="has changed meanwhile; try again"):
            await store.create_key(new_key(10), caller)
        assert before == snapshot(database_url)
    read = (await store.load([digest(2)])).as_of.seq if refused else read
    assert (await store.create_key(new_key(11), replace(caller, as_of=read))).value.record.id == key_id(11)


async def test_a_key_may_end_itself(store: SqlStore) -> None:
    """It is alive until that is written."""
    await furnish(store)
    await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)

    changed = await store.revoke_key(ACTOR.key_id, "done", ACTOR)

    assert changed.value.record.revoked_at is not None


def watched(store: SqlStore) -> list[str]:
    """Return the list to which every statement from now on is added."""
    statements: list[str] = []
    engine = store.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2].split("\n")[0]))
    event.listen(engine, "commit", lambda _: statements.append("COMMIT"))
    return statements


@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO, *OF_ADMINISTRATORS])
async def test_the_lock_is_held_for_two_round_trips(postgres_url: str, mutation: Mutation) -> None:
    """Behind the position come one statement and the commit: everyone else waits that long."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await furnish(store)
        statements = watched(store)
        await mutation(store)
    finally:
        await store.close()

    begun = next(index for index, said in enumerate(statements) if said.startswith("BEGIN"))
    assert statements[begun + 1].startswith("UPDATE change_head SET seq=")
    assert statements[begun + 2].startswith("WITH ")
    assert statements[begun + 3 :] == ["COMMIT"]


async def test_a_read_is_one_statement(store: SqlStore) -> None:
    """A load and a head are one round trip each."""
    await furnish(store)
    statements = watched(store)

    await store.load([digest(1), digest(2)])
    await store.head()

    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]


async def test_the_doorbell_rings_on_commit(postgres_url: str) -> None:
    """Followers on PostgreSQL are told the position of every change, and of none that failed."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as follower:
            await follower.execute("LISTEN authsvc")
            await furnish(store)
            with trap(postgres_url, "audit_events"), pytest.raises(UnavailableError):
                await store.revoke_key(key_id(1), "", ACTOR)
            revoked = await store.revoke_key(key_id(1), "", ACTOR)
            rung = [notice.payload async for notice in follower.notifies(timeout=5, stop_after=revoked.revision.seq)]
    finally:
        await store.close()

    assert [str(n) for n in range(1, revoked.revision.seq + 1)] == rung


async def test_a_cancelled_change_is_whole_or_nothing(store: SqlStore, database_url: str) -> None:
    """Whenever the caller gives up, effect, trail and log agree, and the store goes on."""
    await store.create_organization(new_organization(), ACTOR)
    for n in range(1, 41):
        change = asyncio.create_task(store.create_key(new_key(n), ACTOR))
        for _ in range(n):
            await asyncio.sleep(0)
        change.cancel()
        await asyncio.wait([change])
    last = await persistently(store, 100)  # those that were given up are still being made

    counts = run_sql(
        database_url,
        """SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM audit_events WHERE action = 'key.create'),
                  (SELECT count(*) FROM auth_change WHERE kind = 'key'), (SELECT seq - 1 FROM change_head)""",
    )
    assert len(set(counts[0])) == 1
    assert last.revision.seq - 1 <= counts[0][0]
