"""Databases that are full of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text

from authsvc.domain.hashing import Digest
from authsvc.stores import migrate
from bench.figures import BenchError
from tests.support.databases import scratch_database
from tests.support.postgres import MissingPostgresError, Server, own_postgres

KINDS = ("SQLite", "PostgreSQL")
_ORGANIZATIONS = 100
# Whatever a test leaves out for speed is on.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}

_COLUMNS = (
    "id, digest, pepper_id, algorithm, api, organization_id, kind, environment, scopes, full_access, limits, metadata, "
    "revoke_reason, name, hint, created_at, created_by, updated_at, version"
)
_VALUES = (
    "'p1', 'hmac', 'bench', {organization}, 'secret', 'live', '[\"sessions:read\", \"sessions:write\"]', {false}, "
    "'[]', '{{}}', '', 'bench', 'vk_live_0000', {now}, 'bench', {now}, 1"
)
_SQLITE = (
    f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :keys) INSERT INTO keys ({_COLUMNS}) "
    "SELECT printf('key_%026d', i), randomblob(32), "
    + _VALUES.format(organization="printf('org_%026d', i % :organizations)", false=0, now=0)
    + " FROM n"
)
_POSTGRESQL = (
    f"INSERT INTO keys ({_COLUMNS}) SELECT 'key_' || lpad(i::text, 26, '0'), sha256(i::text::bytea), "
    + _VALUES.format(organization="'org_' || lpad((i % :organizations)::text, 26, '0')", false="false", now="now()")
    + " FROM generate_series(1, :keys) AS i"
)
_ORGANIZATION = (
    "INSERT INTO organizations (id, name, status, metadata, created_at, updated_at, suspend_reason, version) "
    "VALUES (:id, :id, 'active', '{{}}', {now}, {now}, '', 1)"
)


@contextmanager
def durable_postgres() -> Iterator[Server]:
    """Run a PostgreSQL that writes to the disk before it says so. Raises `BenchError` where there is none."""
    try:
        with own_postgres(**_DURABLE) as cluster:
            yield Server(url=cluster.url, ours=True)
    except MissingPostgresError as error:
        raise BenchError(str(error)) from None


@contextmanager
def filled(folder: Path, sizes: Sequence[int]) -> Iterator[dict[str, dict[int, str]]]:
    """Make databases with so many keys each, and yield their URLs, by kind of database and number of keys."""
    with durable_postgres() as server, ExitStack() as stack:
        urls = {
            KINDS[0]: {keys: f"sqlite:///{folder}/keys-{keys}.db" for keys in sizes},
            KINDS[1]: {keys: stack.enter_context(scratch_database(server)) for keys in sizes},
        }
        for kind in urls.values():
            for keys, url in kind.items():
                fill(url, keys)
        yield urls


def fill(url: str, keys: int) -> None:
    """Make a database with keys of a hundred organizations. Their ids are numbered from 1."""
    migrate.upgrade(url)
    postgresql = url.startswith("postgresql")
    organizations = [{"id": f"org_{number:026d}"} for number in range(_ORGANIZATIONS)]
    with connected(url) as connection, connection.begin():
        connection.execute(text(_ORGANIZATION.format(now="now()" if postgresql else "0")), organizations)
        statement = text(_POSTGRESQL if postgresql else _SQLITE)
        connection.execute(statement, {"keys": keys, "organizations": _ORGANIZATIONS})
    with connected(url) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def some_digests(url: str, count: int) -> list[Digest]:
    """Return the digests of keys from everywhere in a database."""
    with connected(url) as connection:
        # The last digits first: a thousandth part of all places, wherever they lie.
        order = "SELECT digest FROM keys ORDER BY substr(id, 28) || id LIMIT :n"
        return [Digest(bytes(row[0])) for row in connection.execute(text(order), {"n": count})]


def store_digests(url: str, digests: Sequence[Digest]) -> None:
    """Give the first keys these digests."""
    rows = [{"id": f"key_{number:026d}", "digest": digest} for number, digest in enumerate(digests, 1)]
    with connected(url) as connection, connection.begin():
        connection.execute(text("UPDATE keys SET digest = :digest WHERE id = :id"), rows)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect, past the store."""
    engine: Engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
