"""Changes asked for at the same time share a transaction and keep every promise of single ones. Either database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.errors import AlreadyExistsError, NotFoundError, UnauthenticatedError, UnavailableError
from authsvc.stores import database, together
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql, watched
from tests.support.fakes import PEPPERS
from tests.support.mutations import MUTATIONS, OF_TWO, Mutation, furnish, snapshot
from tests.support.stored import ACTOR, ASKED, digest, key_id, new_key, new_organization, organization_id

MANY = 12
OF_ALL = [*MUTATIONS, *OF_TWO]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give changes ten times as long: here a machine that is busy with other tests must not make one too late."""
    for name in ("WRITER_TIMEOUT", "CHANGE_TIMEOUT", "HANG_TIMEOUT"):
        monkeypatch.setattr(database, name, 10 * getattr(database, name))
    # Nor is a slow first one to make the groups behind it small.
    monkeypatch.setattr(together, "HOLD", 60.0)


async def at_once(*changes: Any) -> list[Any]:
    """Ask for changes at the same time and return what each returned or raised."""
    return await asyncio.gather(*changes, return_exceptions=True)


async def whole(store: SqlStore, url: str) -> bool:
    """Whether positions, change rows and the trail are without a gap, and the trail is unbroken."""
    ((seq, changes, audit_seq, events),) = run_sql(
        url,
        """SELECT seq, (SELECT count(DISTINCT seq) FROM auth_change), audit_seq, (SELECT count(*) FROM audit_events)
           FROM change_head""",
    )
    report = await store.verify_audit(PEPPERS, None)
    return seq == changes and audit_seq == events and not report.findings


async def test_those_that_come_meanwhile_share_one(
    store: SqlStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them wait for one commit, or two where the first began before the others came; each has its position."""
    await store.create_organization(new_organization(), ACTOR)
    statements = watched(store, monkeypatch)

    made = await at_once(*(store.create_key(new_key(number), ACTOR) for number in range(1, MANY + 1)))

    assert sum(said.startswith("BEGIN") for said in statements) <= 2
    assert [*range(2, MANY + 2)] == [change.revision.seq for change in made]
    assert await whole(store, database_url)


@pytest.mark.parametrize("noted", [False, True], ids=["plain", "with-a-request-id"])
async def test_those_that_are_alike_share_a_round_trip(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, *, noted: bool
) -> None:
    """Creations that follow each other go to PostgreSQL together, and revocations likewise."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await store.create_organization(new_organization(), ACTOR)
        statements = watched(store, monkeypatch)
        actors = [replace(ASKED, request_id=f"request-{n}") if noted else ACTOR for n in range(2 * MANY)]
        made = await at_once(*(store.create_key(new_key(n + 1), actors[n]) for n in range(MANY)))
        revoked = await at_once(
            *(
                store.revoke_keys([change.value.record.id], "", actors[MANY + n], as_read=change.value)
                for n, change in enumerate(made)
            )
        )
    finally:
        await store.close()

    # Each began as soon as the one before had ended: the first of them by itself, perhaps.
    assert 2 <= sum(said.startswith("WITH") for said in statements) <= 4
    assert [change.value.record.id for change in made] == [each.value[0].record.id for each in revoked]
    assert all(each.value[0].record.revoked_at is not None for each in revoked)


@pytest.mark.parametrize("mutation", OF_ALL)
async def test_any_change_may_be_among_them(store: SqlStore, database_url: str, mutation: Mutation) -> None:
    """It leaves what it leaves alone."""
    await furnish(store)

    *others, made = await at_once(
        *(store.create_key(new_key(number), ACTOR) for number in (20, 21, 22)), mutation(store)
    )

    (told,) = run_sql(database_url, f"SELECT count(*) FROM auth_change WHERE seq = {made.revision.seq}")
    assert told[0] in (1, 2)
    assert [key_id(20), key_id(21), key_id(22)] == [other.value.record.id for other in others]
    assert await whole(store, database_url)


async def test_one_that_cannot_be_made_leaves_the_others_alone(
    store: SqlStore, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it fails of: each caller is told what is its own, the rest is stored, and no log names the server."""
    await furnish(store)

    made = await at_once(
        store.create_key(new_key(10), ACTOR),
        store.create_key(new_key(11), ACTOR),
        store.create_key(new_key(12, digest=digest(1)), ACTOR),
        store.create_key(new_key(13), ACTOR),
        store.create_key(new_key(14, organization_id=organization_id(7)), ACTOR),
        store.create_key(new_key(15), ACTOR),
        store.create_organization(new_organization(8, name="organization 1"), ACTOR),
    )

    stored = {row[0] for row in run_sql(database_url, "SELECT id FROM keys")}
    assert {key_id(number) for number in (1, 2, 10, 11, 13, 15)} == stored
    assert [type(one) for one in made if isinstance(one, Exception)] == [
        AlreadyExistsError, NotFoundError, AlreadyExistsError
    ]  # fmt: skip
    assert await whole(store, database_url)
    assert [] == caplog.messages


async def test_a_dead_caller_changes_nothing_after_its_end(store: SqlStore, database_url: str) -> None:
    """Its end and its changes came at the same time: none of them lies behind its end."""
    await furnish(store)
    await at_once(*(store.create_key(new_key(number), ACTOR) for number in range(10, 10 + MANY)))
    caller = replace(ACTOR, key_id=key_id(1), organization_id=organization_id(1))

    ended, *changes = await at_once(
        store.revoke_key(key_id(1), "stolen", ACTOR),
        *(store.revoke_key(key_id(number), "", caller) for number in range(10, 10 + MANY)),
    )

    refused = [change for change in changes if isinstance(change, UnauthenticatedError)]
    assert refused
    assert all(change in refused or change.revision.seq < ended.revision.seq for change in changes)
    assert await whole(store, database_url)


async def test_a_repeated_request_is_made_once(store: SqlStore, database_url: str) -> None:
    """Both were sent at the same time: the second one is told that there is a first."""
    await furnish(store)

    _, first, second = await at_once(
        store.create_key(new_key(10), ACTOR), store.create_key(new_key(11), ASKED), store.create_key(new_key(12), ASKED)
    )

    assert key_id(11) == first.value.record.id
    assert isinstance(second, AlreadyExistsError)
    assert await whole(store, database_url)


@pytest.mark.parametrize("table", ["audit_events", "auth_change", "change_head"])
async def test_what_the_database_cannot_do_is_done_for_nobody(store: SqlStore, database_url: str, table: str) -> None:
    """All are told, and nothing of any is left."""
    await furnish(store)
    before = snapshot(database_url)
    run_sql(database_url, f"ALTER TABLE {table} RENAME TO hidden")

    made = await at_once(*(store.create_key(new_key(number), ACTOR) for number in range(10, 10 + MANY)))

    run_sql(database_url, f"ALTER TABLE hidden RENAME TO {table}")
    assert {UnavailableError} == {type(one) for one in made}
    assert before == snapshot(database_url)
    assert key_id(9) == (await store.create_key(new_key(9), ACTOR)).value.record.id
