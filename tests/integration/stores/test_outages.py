"""PostgreSQL killed, frozen, failed over: loads fail in bounded time, and succeed again without help."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import pytest
import pytest_asyncio

from authsvc.domain.errors import UnavailableError
from authsvc.stores import database, migrate
from authsvc.stores.engine import POOL_SIZE, POOL_TIMEOUT
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.postgres import Server, own_postgres
from tests.support.stored import ACTOR, digest, key_id, new_key, new_organization

BUDGET = 0.15  # seconds a caller gives a load


@pytest_asyncio.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[SqlStore]:
    """Give a store with one key and every connection of its pool open."""
    store = SqlStore.open(postgres_url, PEPPERS)
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    await fill(store)
    yield store
    await store.close()


async def fill(store: SqlStore) -> None:
    """Open every connection of the pool."""
    engine = store.database.engine
    for connection in [await engine.connect() for _ in range(POOL_SIZE)]:
        await connection.close()


def backends(url: str) -> Sequence[int]:
    """Return the server's processes that serve the store."""
    rows = run_sql(
        url,
        """SELECT pid FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'authsvc' AND pid <> pg_backend_pid()""",
    )
    return [row[0] for row in rows]


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Stop processes as a stalled disk would: their kernel keeps acknowledging."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def within(store: SqlStore, budget: float) -> bool:
    """Load as the cache does: wait for the budget, then go without the answer."""
    load = asyncio.create_task(store.load([digest(1)]))
    done, _ = await asyncio.wait([load], timeout=budget)
    if not done:
        load.cancel()
    return bool(done) and load.exception() is None


async def test_dead_pooled_connections_cost_no_failure(postgres_store: SqlStore, postgres_url: str) -> None:
    """After the server closed every connection the next loads and changes just work."""
    pids = backends(postgres_url)
    run_sql(postgres_url, f"SELECT pg_terminate_backend(pid, 5000) FROM unnest(ARRAY{list(pids)}) AS pid")

    loads = await asyncio.gather(*(postgres_store.load([digest(1)]) for _ in range(2 * POOL_SIZE)))

    assert len(pids) == POOL_SIZE
    assert all(load.record is not None for load in loads)


async def test_a_change_survives_a_dead_pooled_connection(postgres_store: SqlStore, postgres_url: str) -> None:
    """It is begun again, which is safe because nothing had been said yet."""
    pids = backends(postgres_url)
    run_sql(postgres_url, f"SELECT pg_terminate_backend(pid, 5000) FROM unnest(ARRAY{list(pids)}) AS pid")

    revoked = await postgres_store.revoke_key(key_id(1), "leaked", ACTOR)

    assert revoked.revision == (await postgres_store.load([digest(1)])).as_of


async def test_a_frozen_server_holds_nobody_up(postgres: Server, postgres_store: SqlStore, postgres_url: str) -> None:
    """Callers go without an answer within their budget, and the pool recovers with the server."""
    if not postgres.ours:
        pytest.skip("the processes of a foreign server cannot be stopped")
    with frozen(backends(postgres_url)):
        begun = time.monotonic()
        answers = await asyncio.gather(*(within(postgres_store, BUDGET) for _ in range(POOL_SIZE)))
        waited = time.monotonic() - begun
        with pytest.raises(UnavailableError):
            await postgres_store.load([digest(1)])
        starved = time.monotonic() - begun
    thawed = await asyncio.gather(*(postgres_store.load([digest(1)]) for _ in range(2 * POOL_SIZE)))

    assert not any(answers)
    assert waited < 2 * BUDGET
    assert starved < waited + POOL_TIMEOUT + 0.5
    assert all(load.record is not None for load in thawed)


async def test_a_server_that_stays_frozen_is_given_up(
    postgres: Server, postgres_store: SqlStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections to frozen processes are cut, so that a server that works again, or another, is reached."""
    if not postgres.ours:
        pytest.skip("the processes of a foreign server cannot be stopped")
    monkeypatch.setattr(database, "HANG_TIMEOUT", 0.3)
    with frozen(backends(postgres_url)):
        # New connections get new processes, which are not frozen.
        async with asyncio.timeout(5):
            loads = await asyncio.gather(*(postgres_store.load([digest(1)]) for _ in range(POOL_SIZE)))

    assert all(load.record is not None for load in loads)


async def test_a_cancelled_change_on_a_frozen_server_is_whole_or_nothing(
    postgres: Server, postgres_store: SqlStore, postgres_url: str
) -> None:
    """The caller leaves, the change stays one."""
    if not postgres.ours:
        pytest.skip("the processes of a foreign server cannot be stopped")
    with frozen(backends(postgres_url)):
        change = asyncio.create_task(postgres_store.revoke_key(key_id(1), "leaked", ACTOR))
        await asyncio.wait([change], timeout=BUDGET)
        change.cancel()
        await asyncio.wait([change])
    repeated = await postgres_store.revoke_key(key_id(1), "again", ACTOR)
    counts = run_sql(postgres_url, "SELECT count(*), max(reason) FROM audit_events WHERE action = 'key.revoke'")

    assert counts == [(1, repeated.value.revoke_reason)]


async def test_a_killed_server_is_noticed_and_found_again(postgres: Server) -> None:
    """Loads fail at once while it is gone, and work once it is back, without a restart of ours."""
    with own_postgres() as cluster:
        store = SqlStore.open(cluster.url, PEPPERS)
        try:
            migrate.upgrade(cluster.url)
            await store.create_organization(new_organization(), ACTOR)
            created = await store.create_key(new_key(), ACTOR)
            await fill(store)

            run_sql(cluster.url, "CHECKPOINT")  # the tests' servers do not wait for the disk
            cluster.kill()
            begun = time.monotonic()
            outcomes = await asyncio.gather(
                *(store.load([digest(1)]) for _ in range(POOL_SIZE)),
                store.head(),
                store.revoke_key(key_id(1), "leaked", ACTOR),
                return_exceptions=True,
            )
            waited = time.monotonic() - begun
            cluster.start()
            loaded = await store.load([digest(1)])
        finally:
            await store.close()

    assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
    assert waited < 1.0
    assert loaded.record == created.value.record


async def test_a_standby_is_no_source(postgres: Server) -> None:
    """It answers, but may not know of a revocation yet: loads, heads and changes fail."""
    with own_postgres() as cluster:
        store = SqlStore.open(cluster.url, PEPPERS)
        try:
            migrate.upgrade(cluster.url)
            await store.load([digest(1)])
            cluster.stop()
            cluster.start(standby=True)

            with pytest.raises(UnavailableError, match=r"^the database is a standby$"):
                await store.load([digest(1)])
            with pytest.raises(UnavailableError, match=r"^the database is a standby$"):
                await store.head()
            with pytest.raises(UnavailableError):
                await store.create_organization(new_organization(), ACTOR)
        finally:
            await store.close()
