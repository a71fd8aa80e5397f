"""What a miss costs the database: one load among few keys and among many."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, text

from authsvc.domain.hashing import Digest
from authsvc.stores import migrate
from authsvc.stores.sql import SqlStore
from tests.support.databases import scratch_database
from tests.support.fakes import PEPPERS
from tests.support.postgres import running_postgres

FEW, MANY = 10_000, 1_000_000
_LOADS = 300
_COLUMNS = (
    "id, digest, pepper_id, algorithm, api, organization_id, kind, environment, scopes, full_access, limits, metadata, "
    "revoke_reason, name, hint, created_at, created_by, updated_at, version"
)
_VALUES = (
    "'p1', 'hmac', 'bench', 'org_bench', 'secret', 'live', '[\"sessions:read\"]', {false}, '[]', '{{}}', "
    "'', 'bench', 'vk_live_0000', {now}, 'bench', {now}, 1"
)
_SQLITE = (
    f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :keys) INSERT INTO keys ({_COLUMNS}) "
    f"SELECT printf('key_%026d', i), randomblob(32), {_VALUES.format(false=0, now=0)} FROM n"
)
_POSTGRESQL = (
    f"INSERT INTO keys ({_COLUMNS}) SELECT 'key_' || lpad(i::text, 26, '0'), sha256(i::text::bytea), "
    f"{_VALUES.format(false='false', now='now()')} FROM generate_series(1, :keys) AS i"
)
_ORGANIZATION = (
    "INSERT INTO organizations (id, name, status, metadata, created_at, updated_at, suspend_reason, version) "
    "VALUES ('org_bench', 'bench', 'active', '{{}}', {now}, {now}, '', 1)"
)


def compare(folder: Path, rounds: int, *, few: int = FEW, many: int = MANY) -> dict[str, dict[str, float]]:
    """Return, for each database, the median microseconds of a load among few and among many keys."""
    files = [f"sqlite:///{folder}/keys-{keys}.db" for keys in (few, many)]
    results = {"sqlite": _compare(files, (few, many), rounds)}
    with running_postgres() as server, scratch_database(server) as one, scratch_database(server) as other:
        results["postgresql"] = _compare([one, other], (few, many), rounds)
    return results


def _compare(urls: Sequence[str], sizes: Sequence[int], rounds: int) -> dict[str, float]:
    for url, keys in zip(urls, sizes, strict=True):
        migrate.upgrade(url)
        _fill(url, keys)
    few, many = asyncio.run(_measure(urls, rounds))
    return {"few_us": few, "many_us": many, "ratio": many / few}


def _fill(url: str, keys: int) -> None:
    postgresql = url.startswith("postgresql")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(_ORGANIZATION.format(now="now()" if postgresql else "0")))
        connection.execute(text(_POSTGRESQL if postgresql else _SQLITE), {"keys": keys})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


async def _measure(urls: Sequence[str], rounds: int) -> list[float]:
    stores = [SqlStore.open(url, PEPPERS) for url in urls]
    digests = [_some_digests(url) for url in urls]
    costs: list[list[float]] = [[] for _ in urls]
    try:
        for _ in range(rounds):
            for store, wanted, cost in zip(stores, digests, costs, strict=True):
                began = time.perf_counter()
                for digest in wanted:
                    if (await store.load([digest])).record is None:
                        raise AssertionError("a stored key was not found")
                cost.append((time.perf_counter() - began) / len(wanted))
        return [statistics.median(cost) * 1e6 for cost in costs]
    finally:
        for store in stores:
            await store.close()


def _some_digests(url: str) -> list[Digest]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        # A hash chooses a thousandth part of all places, wherever they lie.
        found = connection.execute(
            text("SELECT digest FROM keys ORDER BY substr(id, 30) || id LIMIT :n"), {"n": _LOADS}
        )
        digests = [Digest(bytes(row[0])) for row in found]
    engine.dispose()
    return digests
