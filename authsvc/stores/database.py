"""Connections, round trips and transactions. What is read or changed in them is in `queries` and `sql`."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Executable,
    String,
    bindparam,
    cast,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from authsvc.domain.administration import Actor
from authsvc.domain.audit import AuditKeys, Outcome
from authsvc.domain.errors import AlreadyExistsError, StartupError
from authsvc.domain.keys import Micros, Revision
from authsvc.stores import records
from authsvc.stores.change import POSTGRESQL, USED_ALREADY, Change, Work, carry_out, noted
from authsvc.stores.columns import Instant
from authsvc.stores.faults import translated
from authsvc.stores.prepared import Parameters, Prepared, driver_of
from authsvc.stores.rows import Row
from authsvc.stores.tables import audit_events, change_head
from authsvc.stores.together import RefusedError, Together, Wanted
from authsvc.stores.trail import Event, Trail

T = TypeVar("T")

CHANNEL = "authsvc"
# Transactions that write, under way at once in PostgreSQL: changes, refusals, usage. Most of them queue for the
# position, and one that waits there holds a connection that a key's load may need.
WRITERS = 4
WRITER_TIMEOUT = 1.0  # seconds to wait for a turn to write
CHANGE_TIMEOUT = 1000  # milliseconds for a statement of a change, its wait for the position included
HANG_TIMEOUT = 3.0  # seconds after which a server that neither answers nor closes is cut off
REPORT_TIMEOUT = 2500  # milliseconds for a report, or a large change; less than HANG_TIMEOUT
CLOSE_TIMEOUT = 1.0  # seconds that running statements get when the store is closed

_CHANGES: BindParameter[int] = bindparam("changes", type_=BigInteger)
_EVENTS: BindParameter[int] = bindparam("events", type_=BigInteger)


def system_micros() -> Micros:
    """Return this machine's time of day."""
    return time.time_ns() // 1000


class Database:
    """
    One engine, and how it is used.

    `clock` is the time of SQLite, which has none of its own that counts microseconds; PostgreSQL
    tells its own. What is changed is written down under the current one of `audit_keys`; without any
    nothing can be changed.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], Micros], audit_keys: AuditKeys | None) -> None:
        self.engine = engine
        self.audit_keys = audit_keys
        self.postgresql = engine.dialect.name == POSTGRESQL
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._position = self._next_position()
        self._turn = asyncio.Semaphore(WRITERS if self.postgresql else 1)
        self._together = Together(self._make, self._start, WRITER_TIMEOUT)

    def now(self) -> ColumnElement[Micros]:
        """Return the database's time, as a column."""
        if self.postgresql:
            return func.clock_timestamp(type_=Instant())
        return bindparam(None, callable_=self._clock, type_=Instant(), unique=True)  # asked for when it is run

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Run a piece of work to its end, in a task of its own, and let only our faults out.

        A caller that gives up is released at once and the work goes on. A connection is thus never
        handed back in the middle of a statement, and a change is made as a whole or not at all.
        """
        return await asyncio.shield(self._start(_only_our_faults(work)))

    async def rows(self, statement: Executable | Prepared, parameters: Parameters | None = None) -> Sequence[Row]:
        """Return the rows of one statement, in autocommit: one round trip."""
        try:
            return await self._rows(statement, parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # A pooled connection had died, and took its like with it: the next one is new.
            return await self._rows(statement, parameters)

    async def change(self, actor: Actor, work: Work[T], events: int = 1, *, large: bool = False) -> T:
        """
        Make a change: `work` writes it within a transaction, which is committed unless it raises.

        `work` writes `events` audit rows and does nothing else, because it may be done again: others that are asked
        for meanwhile share the transaction, and when one of them raises, each is made by itself. One that is large
        shares nothing and is given more time.
        """
        wanted = Wanted(actor, work, events)
        if not large:
            return await self._together.make(wanted)
        try:
            done: Sequence[T] = await self._make((wanted,), large=True)
            return done[0]
        except RefusedError as error:
            refused = error.__cause__ or error
        raise refused

    async def position(self, connection: AsyncConnection, actor: Actor, events: int = 1) -> Change:
        """Take the next position within a transaction, which must then end soon."""
        (change,) = await self._positions(connection, [(actor, events)])
        return change

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _make(self, group: Sequence[Wanted[Any]], *, large: bool = False) -> Sequence[Any]:
        # The row lock on the position is held until the commit: positions are committed in their order, none missing.
        patience = REPORT_TIMEOUT if large else CHANGE_TIMEOUT
        async with self._writing(), self._begun(patience, generic_plan=not large) as connection:
            changes = await self._positions(connection, [(wanted.actor, wanted.events) for wanted in group])
            try:
                done = await carry_out(connection, [*zip((wanted.work for wanted in group), changes, strict=True)])
            except Exception as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise
                raise RefusedError from error
            await connection.commit()
            return done

    async def _positions(self, connection: AsyncConnection, wanted: Sequence[tuple[Actor, int]]) -> Sequence[Change]:
        values = {"changes": len(wanted), "events": sum(events for _, events in wanted)}
        (head,) = await self._position.rows(connection, values)
        trail = self._trail(head, values["events"])
        first = head["seq"] - len(wanted) + 1
        return [
            Change(connection, Revision(epoch=head["epoch"], seq=first + n), head["now"], actor, trail)
            for n, (actor, _) in enumerate(wanted)
        ]

    async def note(self, entries: Sequence[tuple[Actor, Event]], outcome: Outcome) -> None:
        """Write down what changed neither a key nor an organization: no position is taken, no cache hears of it."""
        async with self.transaction() as connection:
            counted = update(change_head).where(change_head.c.id == 1)
            counted = counted.values(audit_seq=change_head.c.audit_seq + len(entries))
            head = (await connection.execute(counted.returning(*self._head()))).mappings().one()
            trail = self._trail(head, len(entries))
            # One statement for each row, in one go: a statement of many rows would be compiled under the lock.
            await connection.execute(insert(audit_events), trail.chained(entries, head["now"], None, outcome))
            await connection.execute(records.END_OF_TRAIL, {"end": trail.end})

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction without a position, for what no cache hears of; commit it unless an exception leaves."""
        async with self._writing(), self._begun(CHANGE_TIMEOUT) as connection:
            yield connection
            await connection.commit()

    async def remember(self, actor: Actor, about: str, at: Revision) -> None:
        """
        Note under the actor's request id what found its wish fulfilled and changed nothing.

        Sent again later it would change something, when others have changed it back meanwhile.
        """
        if not (actor.request_id and actor.body):
            return
        async with self.transaction() as connection:
            now: Micros = (await connection.execute(select(self.now()))).scalar_one()
            found = await connection.execute(records.NOTE[self.postgresql], noted(actor, about, at, now))
            if not found.all():
                raise AlreadyExistsError(USED_ALREADY)

    async def report(self, statement: Executable) -> Sequence[Row]:
        """Return the rows of one statement that may look at many: it is given more time than others."""
        if not self.postgresql:
            return await self.rows(statement)
        async with self._begun(REPORT_TIMEOUT) as connection:
            return (await connection.execute(statement)).mappings().all()

    async def close(self) -> None:
        """Give running statements a moment, then close every connection."""
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_TIMEOUT)
        if self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=CLOSE_TIMEOUT)
        await self.engine.dispose()

    def _next_position(self) -> Prepared:
        position = (
            update(change_head)
            .where(change_head.c.id == 1)
            .values(seq=change_head.c.seq + _CHANGES, audit_seq=change_head.c.audit_seq + _EVENTS)
            .returning(*self._head())
        )
        if self.postgresql:
            # Delivered on commit; only a doorbell, the followers read the log.
            position = position.returning(func.pg_notify(CHANNEL, cast(change_head.c.seq, String)))
        return Prepared(position)

    def _head(self) -> tuple[ColumnElement[Any], ...]:
        return (*(change_head.c[name] for name in ("epoch", "seq", "audit_seq", "audit_mac")), self.now().label("now"))

    def _trail(self, head: Row, events: int) -> Trail:
        if self.audit_keys is None:
            raise StartupError("without a pepper nothing can be written down, and so nothing is changed")
        return Trail(self.audit_keys.current, head, events)

    async def _rows(self, statement: Executable | Prepared, parameters: Parameters | None) -> Sequence[Row]:
        async with self._connected() as connection:
            if isinstance(statement, Prepared):
                return await statement.rows(connection, parameters or {})
            return (await connection.execute(statement, parameters)).mappings().all()

    @asynccontextmanager
    async def _begun(self, patience: int, *, generic_plan: bool = False) -> AsyncIterator[AsyncConnection]:
        try:
            held, connection = await self._begin(patience, generic_plan=generic_plan)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            held, connection = await self._begin(patience, generic_plan=generic_plan)
        async with held:
            yield connection

    async def _begin(self, patience: int, *, generic_plan: bool) -> tuple[AsyncExitStack, AsyncConnection]:
        # In one round trip. What a connection has by itself is for loads, which nobody waits for that long.
        begin = f"BEGIN; SET LOCAL statement_timeout = {patience}; SET LOCAL lock_timeout = {patience}"
        if generic_plan:
            # To plan a change takes longer than to make it, and everyone else is waiting.
            begin += "; SET LOCAL plan_cache_mode = force_generic_plan"
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._connected())
            await connection.exec_driver_sql(begin if self.postgresql else "BEGIN IMMEDIATE")
            return stack.pop_all(), connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        connection = await self.engine.connect()
        watchdog = self._watch(connection)
        try:
            yield connection
        finally:
            try:
                await connection.close()  # rolls back what is not committed
            finally:
                watchdog.cancel()

    def _watch(self, connection: AsyncConnection) -> asyncio.Handle:
        # The server's own timeouts do not run in a process that is frozen, and its kernel keeps the
        # connection alive: without this, a few such waits would hold the whole pool for ever.
        return asyncio.get_running_loop().call_later(HANG_TIMEOUT, _cut, driver_of(connection))

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        # SQLite has one writer, and its busy handler is not fair: this process's own writers queue here.
        async with asyncio.timeout(WRITER_TIMEOUT):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()


def _cut(driver: object) -> None:
    if isinstance(driver, psycopg.AsyncConnection) and not driver.closed:
        # Whoever waits for the socket wakes up to its end.
        with suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


async def _only_our_faults(work: Coroutine[Any, Any, T]) -> T:
    with translated():
        return await work
