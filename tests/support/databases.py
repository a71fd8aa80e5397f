"""
Fixtures that give every test a database of its own, migrated, of both kinds.

One PostgreSQL serves a test worker; each test copies a template that was migrated once. Without
PostgreSQL those tests fail in CI and are skipped elsewhere.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy import event, make_url

from authsvc.stores import migrate
from authsvc.stores.sql import SqlStore
from tests.support.fakes import PEPPERS
from tests.support.postgres import MissingPostgresError, Server, running_postgres

GRANTS = Path(__file__).parents[2] / "deploy" / "grants.sql"
DIALECTS = ("sqlite", "postgresql")

_COPIES_FILES = 150_000  # the first version that can be asked to

_PASSWORD = "hunter2"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL for this test worker."""
    try:
        with running_postgres() as server:
            yield server
    except MissingPostgresError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_roles(postgres: Server) -> Iterator[Mapping[str, str]]:
    """Names of this worker's own roles, by those in `deploy/grants.sql`: roles belong to all databases of a server."""
    names = {name: f"{name}_test_{os.getpid()}" for name in ("authsvc_maintenance", "authsvc")}
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for name in names.values():
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(_PASSWORD))
            connection.execute(made)
    yield names
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for name in names.values():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_template(postgres: Server, postgres_roles: Mapping[str, str]) -> Iterator[str]:
    """Name a migrated database to copy, with the grants of the service's roles."""
    with scratch_database(postgres) as url:
        migrate.upgrade(url)
        run_sql(url, *grants(postgres_roles))
        yield url.rpartition("/")[2]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name a migrated file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_url(postgres: Server, postgres_template: str) -> Iterator[str]:
    """Give a migrated PostgreSQL database."""
    with scratch_database(postgres, postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give a migrated SQLite file."""
    path = tmp_path / "authsvc.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a migrated database of either kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=DIALECTS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database of either kind without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with scratch_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest_asyncio.fixture
async def store(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[SqlStore]:
    """Give the store of `database_url`, with the rights that the service has."""
    opened = SqlStore.open(as_role(database_url, "authsvc", request), PEPPERS)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def maintenance(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[SqlStore]:
    """Give the store of `database_url`, with the rights that maintenance has."""
    opened = SqlStore.open(as_role(database_url, "authsvc_maintenance", request), PEPPERS)
    yield opened
    await opened.close()


def as_role(url: str, role: str, request: pytest.FixtureRequest) -> str:
    """Return the address of a database for one of the service's roles; SQLite has none."""
    if url.startswith("sqlite"):
        return url
    name: str = request.getfixturevalue("postgres_roles")[role]
    return make_url(url).set(username=name, password=_PASSWORD).render_as_string(hide_password=False)


def grants(roles: Mapping[str, str]) -> list[str]:
    """Return the statements of `deploy/grants.sql`, for roles of these names."""
    text = re.sub(r"^--.*$", "", GRANTS.read_text(), flags=re.MULTILINE)
    # The longer name first: the shorter one is a part of it.
    for name, own in roles.items():
        text = re.sub(rf"\b{name}\b", own, text)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


@contextmanager
def scratch_database(server: Server, template: str = "template1") -> Iterator[str]:
    """Make a database of a name of its own, and drop it in the end."""
    name = f"authsvc_test_{os.getpid()}_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server.url, autocommit=True) as connection:
        if connection.info.server_version >= _COPIES_FILES:
            create += sql.SQL(" STRATEGY FILE_COPY")  # a third of the time for a small template
        connection.execute(create)
    try:
        yield f"{server.url.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def run_sql(url: str, *statements: str) -> Sequence[tuple[Any, ...]]:
    """Run statements behind the store's back; return the rows of the last one."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]
    with psycopg.connect(url, autocommit=True) as server:
        for statement in statements:
            cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def watched(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each round trip from now on is added, by the first line of its first statement."""
    statements: list[str] = []
    engine = store.database.engine.sync_engine
    if store.database.postgresql:
        _watch_driver(statements, monkeypatch)
    else:
        event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2].split("\n")[0]))
    event.listen(engine, "commit", lambda _: statements.append("COMMIT"))
    return statements


def _watch_driver(statements: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    execute, pipeline = psycopg.AsyncCursor.execute, psycopg.AsyncConnection.pipeline
    begun: set[psycopg.AsyncConnection[Any]] = set()  # pipelines that nothing was sent through yet

    def watching_pipelines(connection: psycopg.AsyncConnection[Any]) -> Any:
        begun.add(connection)
        return pipeline(connection)

    async def watching(cursor: Any, query: str | bytes, *arguments: Any, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else query
        if not cursor.connection.pgconn.pipeline_status or cursor.connection in begun:
            statements.append(text.split("\n")[0])
        begun.discard(cursor.connection)
        return await execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "pipeline", watching_pipelines)
    monkeypatch.setattr(psycopg.AsyncCursor, "execute", watching)
