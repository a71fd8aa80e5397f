"""A database in trouble: one fault with a fixed text, in bounded time, and health again afterwards. Either database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from authsvc.domain.errors import AuthsvcError, UnavailableError
from authsvc.ports import KeyFilter
from authsvc.stores.engine import POOL_SIZE
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, digest, key_id, new_key, new_organization, organization_id

FIXED = r"^the database is not available$"


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold what every change has to take first."""
    take = "UPDATE change_head SET seq = seq"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(take)
            yield
            writer.execute("ROLLBACK")
        return
    with psycopg.connect(url) as connection:
        connection.execute(take)
        yield
        connection.rollback()


async def test_a_change_does_not_wait_long_for_another(store: SqlStore, database_url: str) -> None:
    """Whoever holds the position blocks changes for a moment, never loads, and nothing is left behind."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)

    with held(database_url):
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match=FIXED):
            await store.revoke_key(key_id(1), "leaked", ACTOR)
        waited = time.monotonic() - begun
        loaded = await store.load([digest(1)])

    assert 0.1 < waited < 2.5
    assert loaded.record is not None
    assert loaded.record.revoked_at is None
    assert (await store.revoke_key(key_id(1), "leaked", ACTOR)).revision.seq == loaded.as_of.seq + 1


@pytest.mark.parametrize("table", ["keys", "organizations", "change_head", "audit_events", "key_uses"])
async def test_a_missing_table_is_no_answer(store: SqlStore, database_url: str, table: str) -> None:
    """Whatever is broken, nobody is told "no such key", and no text of the driver comes out."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, f"ALTER TABLE {table} RENAME TO lost")

    answers = await asyncio.gather(
        store.load([digest(1)]),
        store.head(),
        store.get_key(key_id(404)),
        store.find_key([digest(404)]),
        store.list_keys(KeyFilter(), 10, None),
        store.get_organization("nobody"),
        store.list_organizations(10, None),
        store.create_organization(new_organization(2), ACTOR),
        store.revoke_key(key_id(1), "", ACTOR),
        store.suspend_organization(organization_id(1), "", ACTOR),
        return_exceptions=True,
    )

    faults = [answer for answer in answers if isinstance(answer, BaseException)]
    assert faults
    assert all(isinstance(fault, AuthsvcError) for fault in faults)
    texts = {"the database is not available", "there is no such key", "there is no such organization"}
    assert {str(fault) for fault in faults} <= texts
    assert table not in ("keys", "organizations", "change_head") or isinstance(answers[0], UnavailableError)


async def test_a_file_that_is_no_database_is_no_answer(tmp_path: Path) -> None:
    """Overwritten, truncated, another format: unavailable."""
    (tmp_path / "text.db").write_bytes(b"no database" * 1000)
    store = SqlStore.open(f"sqlite:///{tmp_path}/text.db", PEPPERS)

    with pytest.raises(UnavailableError, match=FIXED):
        await store.load([digest(1)])
    await store.close()


@pytest.mark.parametrize("name", ["lone \udcff surrogate", pytest.param("nul \0 byte", id="nul")])
async def test_a_text_the_database_cannot_hold_changes_nothing(store: SqlStore, name: str) -> None:
    """Refused by the driver or stored as it is, but never cut or replaced."""
    try:
        created = await store.create_organization(new_organization(name=name), ACTOR)
    except UnavailableError:
        assert (await store.head()).revision.seq == 0
    else:
        assert (await store.get_organization(organization_id(1))).name == created.value.name == name


async def test_cancelled_loads_leave_the_pool_sane(store: SqlStore) -> None:
    """However callers give up, each later load gets its own answer and every connection is free again."""
    await store.create_organization(new_organization(), ACTOR)
    for number in range(1, 21):
        await store.create_key(new_key(number), ACTOR)

    for moment in range(1, 41):
        loads = [asyncio.create_task(store.load([digest(n)])) for n in range(1, 2 * POOL_SIZE + 1)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for load in loads[::2]:
            load.cancel()
        survivors = await asyncio.gather(*loads[1::2])

        assert [key_id(n) for n in range(2, 2 * POOL_SIZE + 1, 2)] == [
            loaded.record and loaded.record.id for loaded in survivors
        ]
    answers = await asyncio.gather(*(store.load([digest(n)]) for n in range(1, 21)))

    assert [key_id(n) for n in range(1, 21)] == [loaded.record and loaded.record.id for loaded in answers]


async def test_a_cancelled_caller_is_released_at_once(store: SqlStore, database_url: str) -> None:
    """It does not wait for the database to agree."""
    await store.create_organization(new_organization(), ACTOR)
    with held(database_url):
        change = asyncio.create_task(store.create_key(new_key(), ACTOR))
        done, _ = await asyncio.wait([change], timeout=0.05)
        change.cancel()
        begun = time.monotonic()
        await asyncio.wait([change])

    assert not done
    assert change.cancelled()
    assert time.monotonic() - begun < 0.1


async def test_closing_gives_running_work_a_moment(store: SqlStore) -> None:
    """A change that was under way when the process stops is committed, not cut in half."""
    change = asyncio.create_task(store.create_organization(new_organization(), ACTOR))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await store.close()

    assert (await change).value.id == organization_id(1)


async def test_a_closed_store_opens_again(store: SqlStore) -> None:
    """Closing lets go of connections, not of the database."""
    await store.create_organization(new_organization(), ACTOR)
    await store.close()

    assert (await store.get_organization(organization_id(1))).id == organization_id(1)


async def test_changes_that_wait_leave_connections_for_loads(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many callers change something while another instance holds the position, keys are found meanwhile."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await store.create_organization(new_organization(), ACTOR)
        await store.create_key(new_key(), ACTOR)

        async def load_beside_changes() -> BaseException | bool:
            with held(postgres_url):
                changes = [asyncio.create_task(store.revoke_key(key_id(1), "leaked", ACTOR)) for _ in range(40)]
                # Tasks begin in their order, so the load asks for a connection after all of them.
                load = asyncio.create_task(store.load([digest(1)]))
                loaded, *_ = await asyncio.gather(load, return_exceptions=True)
                found = not any(change.done() for change in changes) and not isinstance(loaded, BaseException)
            await asyncio.gather(*changes, return_exceptions=True)
            return found

        assert await load_beside_changes()
        monkeypatch.setattr(store.database, "_turn", asyncio.Semaphore(40))
        assert not await load_beside_changes()
    finally:
        await store.close()
