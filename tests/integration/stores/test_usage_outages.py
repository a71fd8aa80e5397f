"""Usage while PostgreSQL kills, refuses and hangs: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import itertools

from authsvc.domain.decision import KnownSender
from authsvc.stores.sql import SqlStore
from authsvc.telemetry import UsageCounters
from authsvc.usage.flusher import Flusher
from authsvc.usage.recorder import Recorder
from tests.support.builders import NOW, route
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS, FakeClock
from tests.support.usage import SHOP, bearer

KILL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'authsvc'"""
ROUNDS = 40


async def test_connections_killed_at_any_moment_cost_no_count(postgres_url: str) -> None:
    """Before, in and after a commit: each batch is sent until it is acknowledged, and counts once."""
    store, counters, clock = SqlStore.open(postgres_url, PEPPERS), UsageCounters(), FakeClock()
    recorder, ids = Recorder(clock.now, counters), itertools.count()
    flusher = Flusher(recorder, store, clock, lambda: str(next(ids)), counters)
    keys, things, recorded = [bearer(number) for number in range(20)], route(), 0
    try:
        for round_ in range(ROUNDS):
            for key in keys[: round_ % 20 + 1]:
                recorder.record(key, SHOP, things, None, KnownSender("192.0.2.1"))
                recorded += 1
            recorder.collect()
            flushing = asyncio.create_task(flusher.flush())
            for _ in range(round_ * 3):
                await asyncio.sleep(0)
            await asyncio.to_thread(run_sql, postgres_url, KILL)
            await flushing
        await flusher.finish()

        stored = run_sql(postgres_url, "SELECT sum(count) FROM usage_minutes")
        days = run_sql(postgres_url, "SELECT sum(count) FROM usage_days")
    finally:
        await store.close()
    assert [(recorded,)] == stored == days
    assert recorder.empty


async def test_counts_wait_for_a_database_that_refuses(postgres_url: str) -> None:
    """They are in memory as long as nothing can be written, and arrive when it can."""
    store, counters, clock = SqlStore.open(postgres_url, PEPPERS), UsageCounters(), FakeClock()
    recorder, ids = Recorder(clock.now, counters), itertools.count()
    flusher = Flusher(recorder, store, clock, lambda: str(next(ids)), counters)
    try:
        run_sql(postgres_url, "ALTER TABLE usage_hours RENAME TO lost")
        for number in range(3):
            recorder.record(bearer(number), SHOP, route(), None, None)
        recorder.collect()
        stored = [await flusher.flush(), await flusher.flush()]
        run_sql(postgres_url, "ALTER TABLE lost RENAME TO usage_hours")
        stored.append(await flusher.flush())
        found = run_sql(postgres_url, "SELECT count(*), sum(count) FROM usage_hours")
    finally:
        await store.close()

    assert stored == [False, False, True]
    assert found == [(3, 3)]
    assert clock.now() == NOW
