"""Every change is whole: its effect, its audit row, its change rows and its position, or nothing. Either database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from sqlalchemy import text

from authsvc.domain.administration import Changed, Key
from authsvc.domain.errors import UnavailableError
from authsvc.stores.sql import SqlStore
from tests.support.databases import as_role, run_sql, watched
from tests.support.fakes import PEPPERS
from tests.support.mutations import MUTATIONS, OF_ADMINISTRATORS, OF_TWO, Mutation, furnish, snapshot
from tests.support.stored import (
    ACTOR,
    digest,
    key_id,
    new_key,
    new_organization,
    organization_id,
)

CONCURRENT = 32


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


# Changes that were sent often enough to be prepared.
PLANNED = """SELECT statement, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH %auth_change%'"""


@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO, *OF_ADMINISTRATORS])
async def test_the_lock_is_held_for_two_round_trips(
    postgres_url: str, mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the position come one statement and the commit: everyone else waits that long."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await furnish(store)
        statements = watched(store, monkeypatch)
        await mutation(store)
    finally:
        await store.close()

    begun = next(index for index, said in enumerate(statements) if said.startswith("BEGIN"))
    assert statements[begun + 1].startswith("UPDATE change_head SET seq=")
    assert statements[begun + 2].startswith("WITH ")
    assert statements[begun + 3 :] == ["COMMIT"]


async def test_a_change_reads_nothing_of_a_long_log(postgres_url: str) -> None:
    """Its statements are planned once, and find by an index what happened since its caller was read."""
    run_sql(
        postgres_url,
        """INSERT INTO auth_change (seq, ordinal, kind, key_id, organization_id, at)
           SELECT n, 0, 'key', 'key_' || n, 'org_' || n, now() FROM generate_series(1, 20000) AS n""",
        "UPDATE change_head SET seq = 20000",
        "ANALYZE",
    )
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await furnish(store)
        for number in range(10, 18):
            made = await store.create_key(new_key(number), ACTOR)
            await store.revoke_keys([key_id(number)], "", ACTOR, as_read=made.value)
        async with store.database.engine.connect() as connection:
            planned = await connection.execute(text(PLANNED))
            statements = [row.statement for row in planned if not row.custom_plans]
    finally:
        await store.close()

    assert len(statements) == 2
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for number, statement in enumerate(statements):
            connection.execute(f"PREPARE change_{number} AS {statement}".encode())
            (parameters,) = connection.execute(
                "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s", [f"change_{number}"]
            ).fetchone() or (0,)
            plan = connection.execute(f"EXPLAIN EXECUTE change_{number}({', '.join(['NULL'] * parameters)})".encode())
            lines = [line for (line,) in plan if "auth_change since" in line]
            assert lines
            assert all("Index" in line for line in lines)


async def test_a_read_is_one_statement(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load and a head are one round trip each."""
    await furnish(store)
    statements = watched(store, monkeypatch)

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
