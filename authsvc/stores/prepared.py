"""
Statements that are compiled and planned once, and run again and again.

To PostgreSQL the driver sends them, as the text that SQLAlchemy made of them the first time. What SQLAlchemy does for
each execution takes longer than the driver and the database together: docs/decisions/0060.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Dialect, Select, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from authsvc.stores.rows import Row

Statement = Select[Any] | ReturningInsert[Any] | ReturningUpdate[Any]
Parameters = dict[str, Any]  # values by name, or more than the statement has names for


class Prepared:
    """A statement that returns rows. Each of its parameters is one value; none stands for a list of them."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._compiled: _Compiled | None = None  # for PostgreSQL, once it was needed

    async def rows(self, connection: AsyncConnection, parameters: Parameters) -> Sequence[Row]:
        """Run it and return its rows. Raises what SQLAlchemy raises."""
        driver = driver_of(connection)
        if not isinstance(driver, psycopg.AsyncConnection):
            return (await connection.execute(self.statement, parameters)).mappings().all()
        sent = self._sent()
        async with _raising_as_sqlalchemy(connection, driver):
            cursor = psycopg.AsyncRawCursor(driver)
            await cursor.execute(sent.sql, sent.values(parameters), prepare=True)
            return sent.rows(await cursor.fetchall())

    async def each(self, connection: AsyncConnection, parameters: Sequence[Parameters]) -> Sequence[Sequence[Row]]:
        """Run it for one after the other and return the rows of each. On PostgreSQL all go in one round trip."""
        driver = driver_of(connection)
        if len(parameters) == 1 or not isinstance(driver, psycopg.AsyncConnection):
            return [await self.rows(connection, one) for one in parameters]
        sent = self._sent()
        cursors = [psycopg.AsyncRawCursor(driver) for _ in parameters]
        async with _raising_as_sqlalchemy(connection, driver):
            # Not `executemany`, which waits for the last row, and then once more to leave its pipeline.
            async with driver.pipeline():
                for cursor, one in zip(cursors, parameters, strict=True):
                    await cursor.execute(sent.sql, sent.values(one), prepare=True)
            return [sent.rows(await cursor.fetchall()) for cursor in cursors]

    def _sent(self) -> _Compiled:
        if self._compiled is None:
            self._compiled = _Compiled(self.statement)
        return self._compiled


class _Compiled:
    """A statement as PostgreSQL reads it, with what turns our values into the driver's and back."""

    def __init__(self, statement: Statement) -> None:
        dialect = _postgresql()
        compiled = statement.compile(dialect=dialect)
        names = {name: bind for bind, name in compiled.bind_names.items()}
        binds = [names[name] for name in compiled.positiontup or ()]
        self.sql = str(compiled).encode()
        if any(bind.callable is not None for bind in binds):
            raise TypeError("a value that is asked for each time cannot be compiled into a statement")
        # Where the statement says the value itself, that one is all there is.
        self._constants = {bind.key: bind.effective_value for bind in binds if not bind.required}
        self._writers = [(bind.key, bind.type.dialect_impl(dialect).bind_processor(dialect)) for bind in binds]
        columns = [(name, column.type.dialect_impl(dialect)) for name, column in statement.exported_columns.items()]
        self._names = [name for name, _ in columns]
        readers = [(name, type_.result_processor(dialect, None)) for name, type_ in columns]
        self._readers = [(name, read) for name, read in readers if read is not None]

    def values(self, parameters: Parameters) -> list[Any]:
        """Return the values of the statement's parameters, by number."""
        given = {**parameters, **self._constants}
        return [given[key] if write is None else write(given[key]) for key, write in self._writers]

    def rows(self, found: Sequence[Sequence[Any]]) -> Sequence[Row]:
        """Return rows with our values."""
        return [self._row(row) for row in found]

    def _row(self, row: Sequence[Any]) -> Row:
        named = dict(zip(self._names, row, strict=True))
        for name, read in self._readers:
            named[name] = read(named[name])
        return named


@cache
def _postgresql() -> Dialect:
    # Numbers in place of names: the driver need not look for them in the text.
    return create_engine("postgresql+psycopg://", paramstyle="numeric_dollar").dialect


def driver_of(connection: AsyncConnection) -> object:
    """Return the driver's own connection behind one of SQLAlchemy's."""
    return connection.sync_connection and connection.sync_connection.connection.driver_connection


@asynccontextmanager
async def _raising_as_sqlalchemy(
    connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]
) -> AsyncIterator[None]:
    """Raise what SQLAlchemy would have raised: with the statement's fault as `orig`, and without any value."""
    try:
        yield
    except psycopg.Error as error:
        if driver.closed:
            # SQLAlchemy asks by itself, finds the connection dead, and drops those of its pool that are as old.
            with suppress(DBAPIError):
                await connection.exec_driver_sql("SELECT 1")
        raise DBAPIError.instance(
            None,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=connection.invalidated,
            dialect=connection.dialect,
        ) from error
