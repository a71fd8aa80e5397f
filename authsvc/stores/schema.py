"""
Whether this code can work with the schema it finds.

Each side states what it needs of the other. The code needs a schema that is at least
`SCHEMA_REVISION`; the schema needs code that is at least `min_code_revision`. Between the two, old
and new processes run side by side during an upgrade. What makes a schema is in `migrate`, which takes
long to import: a process that serves does without.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection, column, inspect, select, table

from authsvc.domain.errors import StartupError
from authsvc.stores.database import Database
from authsvc.stores.tables import schema_info

SCHEMA_REVISION = "0004"  # the oldest schema this code works with; revisions sort as text
CODE_REVISION = 1  # raised when a schema must shut out code that is older

_VERSIONS = table("alembic_version", column("version_num"))  # Alembic's


class Schema(StrEnum):
    """How the schema found relates to this code."""

    USABLE = "the schema is usable"
    MISSING = "the database has no schema: run `authsvc migrate`"
    TOO_OLD = "the database's schema is older than this version needs: run `authsvc migrate`"
    TOO_NEW = "the database's schema needs a newer version of authsvc"


async def examine(database: Database) -> Schema:
    """Tell whether this code can work with the schema; a lost database is an `UnavailableError`."""
    return await database.run(_examine(database))


async def require(database: Database) -> None:
    """Refuse a schema this code cannot work with."""
    found = await examine(database)
    if found is not Schema.USABLE:
        raise StartupError(found.value)


async def _examine(database: Database) -> Schema:
    async with database.engine.connect() as connection:
        return await connection.run_sync(_compare)


def _compare(connection: Connection) -> Schema:
    if not all(inspect(connection).has_table(name) for name in (schema_info.name, _VERSIONS.name)):
        return Schema.MISSING
    revision = connection.scalar(select(_VERSIONS.c.version_num))
    needed = connection.scalar(select(schema_info.c.min_code_revision).where(schema_info.c.id == 1))
    if revision is None or needed is None:
        return Schema.MISSING
    if needed > CODE_REVISION:
        return Schema.TOO_NEW
    return Schema.TOO_OLD if revision < SCHEMA_REVISION else Schema.USABLE
