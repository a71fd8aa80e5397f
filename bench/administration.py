"""Keys created and revoked over the admin API, on a PostgreSQL that writes to the disk."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from authsvc.stores import migrate
from bench import databases, servers
from bench.administrator import Administrator
from bench.figures import Column, Conditions, Figures, Goal, Measure, Samples, interleaved
from tests.support.databases import scratch_database

CALLERS = 16
CREATE, REVOKE = "create", "revoke"


def _changes(conditions: Conditions) -> Samples:
    with databases.durable_postgres() as server, scratch_database(server) as url:
        migrate.upgrade(url)
        with servers.fresh(conditions.folder / "service", database_url=url) as service:
            made: list[str] = []
            offers = {
                CREATE: lambda: _create(service.administrator, conditions.seconds, made),
                REVOKE: lambda: _revoke(service.administrator, made),
            }
            return interleaved(offers, conditions.rounds)


def _create(administrator: Administrator, seconds: float, made: list[str]) -> Figures:
    end = time.monotonic() + seconds
    return _rate(
        lambda _: made.append(administrator.create().key.id),
        itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()),
    )


def _revoke(administrator: Administrator, made: list[str]) -> Figures:
    """Revoke the keys that the create of the same round made."""
    figures = _rate(administrator.revoke, list(made))
    made.clear()
    return figures


def _rate(ask: Callable[..., object], about: Iterable[object]) -> Figures:
    """Ask from many threads, each with one call in flight, until there is nothing left to ask about."""
    waiting = iter(about)

    def caller() -> int:
        done = 0
        for one in waiting:  # shared: whoever is free takes the next
            ask(one)
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        done = sum(future.result() for future in [pool.submit(caller) for _ in range(CALLERS)])
    return {"rate": done / (time.perf_counter() - began)}


MEASURES = (
    Measure(
        name="administration",
        title="Keys created and revoked",
        how=f"over the admin API, {CALLERS} callers, one instance, PostgreSQL with fsync on",
        columns=(Column(name="rate", heading="a second"),),
        run=_changes,
        goals=tuple(
            Goal(text=f"{row} a second", row=row, column="rate", bound=400, at_least=True) for row in (CREATE, REVOKE)
        ),
    ),
)
