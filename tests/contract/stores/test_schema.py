"""The schema: migrations make what `tables` says, and code and schema refuse each other when they must."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect

from authsvc.domain.errors import StartupError, UnavailableError
from authsvc.stores import migrate, schema
from authsvc.stores.schema import CODE_REVISION, SCHEMA_REVISION, Schema
from authsvc.stores.sql import SqlStore
from authsvc.stores.tables import metadata
from tests.support.databases import run_sql, scratch_database
from tests.support.fakes import PEPPERS
from tests.support.postgres import Server
from tests.support.stored import digest


def sync_engine(url: str) -> Engine:
    """Return an engine to look at the schema with."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def described(engine: Engine) -> dict[str, Any]:
    """Return what the database itself says about every table."""
    look = inspect(engine)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(table)],
            "primary": look.get_pk_constraint(table),
            "foreign": sorted(map(repr, look.get_foreign_keys(table))),
            "unique": sorted(map(repr, look.get_unique_constraints(table))),
            "checks": sorted((str(c["name"]), c["sqltext"]) for c in look.get_check_constraints(table)),
            "indices": sorted(
                (
                    str(index["name"]),
                    index["column_names"],
                    bool(index["unique"]),
                    {name: str(value) for name, value in index.get("dialect_options", {}).items()},
                )
                for index in look.get_indexes(table)
            ),
        }
        for table in sorted(set(look.get_table_names()) - {"alembic_version"})
    }


def test_migrations_run_from_nothing(empty_database_url: str) -> None:
    """An empty database becomes a current one; doing it again changes nothing."""
    assert migrate.current_revision(empty_database_url) is None
    assert migrate.upgrade(empty_database_url) == migrate.upgrade(empty_database_url)
    assert (migrate.current_revision(empty_database_url) or "") >= SCHEMA_REVISION
    assert run_sql(empty_database_url, "SELECT min_code_revision, (SELECT seq FROM change_head) FROM schema_info") == [
        (CODE_REVISION, 0)
    ]


def test_looking_makes_no_file(tmp_path: Path) -> None:
    """Asking for the revision of a database that is not there leaves it so."""
    assert migrate.current_revision(f"sqlite:///{tmp_path}/none.db") is None
    assert list(tmp_path.iterdir()) == []


def test_two_migrations_at_once_are_one(empty_database_url: str) -> None:
    """Several instances may start on an empty database together."""
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.append(migrate.upgrade(empty_database_url)), daemon=True) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(done) == 3
    assert len(set(done)) == 1


def test_migrations_make_what_the_tables_say(database_url: str) -> None:
    """Alembic finds nothing left to migrate."""
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


def test_migrations_make_every_constraint(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """And the database describes both alike: checks, partial indices and collations included."""
    if database_url.startswith("sqlite"):
        made = described_after_create(f"sqlite:///{tmp_path}/made.db")
    else:
        server: Server = request.getfixturevalue("postgres")
        with scratch_database(server) as url:
            made = described_after_create(url)
    engine = sync_engine(database_url)
    migrated = described(engine)
    engine.dispose()

    assert made == migrated


def described_after_create(url: str) -> dict[str, Any]:
    """Make the tables directly and describe them."""
    engine = sync_engine(url)
    metadata.create_all(engine)
    found = described(engine)
    engine.dispose()
    return found


def test_every_constraint_has_a_name(database_url: str) -> None:
    """A later migration can only change what it can name."""
    engine = sync_engine(database_url)
    tables = described(engine)
    engine.dispose()

    assert set(metadata.tables) == set(tables)
    for table in tables.values():
        assert table["primary"]["name"]
        assert "'name': None" not in repr(table)
        assert all(name != "None" for name, *_ in (*table["checks"], *table["indices"]))


def modes(directory: Path) -> dict[str, int]:
    """Return the modes of what a directory holds."""
    return {found.name: stat.S_IMODE(found.stat().st_mode) for found in directory.iterdir()}


def test_a_sqlite_file_is_private(tmp_path: Path) -> None:
    """Nobody else on the machine reads it, even where it had been made with a wider mode."""
    path = tmp_path / "wide.db"
    path.touch(0o644)
    migrate.upgrade(f"sqlite:///{path}")
    migrate.upgrade(f"sqlite:///{tmp_path}/new.db")

    assert modes(tmp_path) == {"wide.db": 0o600, "new.db": 0o600}


async def test_the_journal_of_a_sqlite_file_is_private(tmp_path: Path) -> None:
    """The journal holds what the file holds."""
    migrate.upgrade(f"sqlite:///{tmp_path}/authsvc.db")
    store = SqlStore.open(f"sqlite:///{tmp_path}/authsvc.db", PEPPERS)
    await store.load([digest(1)])
    found = modes(tmp_path)
    await store.close()

    assert found == dict.fromkeys(("authsvc.db", "authsvc.db-wal", "authsvc.db-shm"), 0o600)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param("UPDATE change_head SET seq = 7", Schema.USABLE, id="current"),
        pytest.param("UPDATE alembic_version SET version_num = '9999'", Schema.USABLE, id="newer-but-compatible"),
        pytest.param("UPDATE alembic_version SET version_num = '0000'", Schema.TOO_OLD, id="older-than-needed"),
        pytest.param(
            f"UPDATE schema_info SET min_code_revision = {CODE_REVISION + 1}", Schema.TOO_NEW, id="shuts-us-out"
        ),
        pytest.param("DELETE FROM schema_info", Schema.MISSING, id="half-made"),
        pytest.param("DELETE FROM alembic_version", Schema.MISSING, id="not-ours"),
    ],
)
async def test_code_and_schema_examine_each_other(
    store: SqlStore, database_url: str, change: str, found: Schema
) -> None:
    """A process works with schemas from the one it needs up to the first that shuts it out."""
    run_sql(database_url, change)

    assert found is await schema.examine(store.database)
    if found is not Schema.USABLE:
        with pytest.raises(StartupError, match=found.value):
            await schema.require(store.database)


async def test_a_database_without_a_schema_is_told_from_a_lost_one(empty_database_url: str, tmp_path: Path) -> None:
    """Missing tables are a matter for the operator; a missing database may come back."""
    if empty_database_url.startswith("sqlite"):
        (tmp_path / "empty.db").touch()
    empty, lost = SqlStore.open(empty_database_url, PEPPERS), SqlStore.open(f"sqlite:///{tmp_path}/lost.db", PEPPERS)
    try:
        assert Schema.MISSING is await schema.examine(empty.database)
        with pytest.raises(UnavailableError):
            await empty.load([digest(1)])
        with pytest.raises(UnavailableError):
            await schema.examine(lost.database)
    finally:
        await empty.close()
        await lost.close()

    assert not (tmp_path / "lost.db").exists()


def test_a_schema_of_the_future_is_left_alone(database_url: str) -> None:
    """Older code that is told to migrate it says so and touches nothing."""
    run_sql(database_url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StartupError, match="newer version"):
        migrate.upgrade(database_url)
    assert migrate.current_revision(database_url) == "9999"


def test_a_database_that_cannot_be_migrated_is_one_line(tmp_path: Path) -> None:
    """Unreachable, or not a database: a start-up error without the URL."""
    (tmp_path / "text.db").write_text("hunter2 " * 1000)

    for url in (f"sqlite:///{tmp_path}/text.db", "postgresql://u:hunter2@127.0.0.1:1/hunter2"):
        with pytest.raises(StartupError) as caught:
            migrate.upgrade(url)
        assert "hunter2" not in str(caught.value)
