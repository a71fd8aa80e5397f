"""Making the schema, and bringing it up to date. Whether the code can work with what is there: `schema`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from authsvc.domain.errors import StartupError
from authsvc.stores.engine import connection_settings, parse_url, set_pragmas, sqlite_file

# A migration that waits for a lock makes everyone behind it wait too.
_TIMEOUTS = {"lock_timeout": 4000, "statement_timeout": 60_000}
_MIGRATION_LOCK = 0x61757468  # any number, the same for all: one migration at a time


def upgrade(url: str) -> str:
    """Make or upgrade the schema, in one transaction; return the revision it is at now."""
    with _migrating(url) as connection:
        command.upgrade(_config(connection), "head")
        return _revision(connection) or ""


def current_revision(url: str) -> str | None:
    """Return the revision a database is at, or None where there is no schema."""
    parsed = parse_url(url)
    if parsed.drivername == "sqlite" and not sqlite_file(parsed).exists():
        return None
    with _migrating(url) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "authsvc.stores:migrations")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _migrating(url: str) -> Iterator[Connection]:
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            # The driver is in autocommit, so that this is the transaction, on SQLite too.
            connection.exec_driver_sql("BEGIN" if engine.dialect.name == "postgresql" else "BEGIN IMMEDIATE")
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            yield connection
            connection.commit()
    except CommandError as error:
        raise StartupError("the database's schema was made by a newer version of authsvc") from error
    except (SQLAlchemyError, OSError) as error:
        raise StartupError(
            "the database could not be migrated: it is unreachable, busy, or refuses this role"
        ) from error
    finally:
        engine.dispose()


def _engine(text_: str) -> Engine:
    url = parse_url(text_)
    if url.drivername != "sqlite":
        settings = connection_settings(url, _TIMEOUTS)
        return create_engine(url, connect_args=settings, hide_parameters=True, isolation_level="AUTOCOMMIT")
    _make_private(url)
    engine = create_engine(url, hide_parameters=True, isolation_level="AUTOCOMMIT")
    # A migration takes longer than any other change, and another instance's may be running.
    busy_ms = _TIMEOUTS["lock_timeout"]
    event.listen(engine, "connect", lambda connection, entry: set_pragmas(connection, entry, busy_ms))
    return engine


def _make_private(url: URL) -> None:
    # The journal files SQLite puts beside it take over its mode.
    descriptor = os.open(sqlite_file(url), os.O_RDWR | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
