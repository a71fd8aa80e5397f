"""Connections, round trips and transactions. What is read or changed in them is in `queries` and `sql`."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Executable,
    Insert,
    RowMapping,
    String,
    bindparam,
    cast,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.dml import ReturningUpdate

from authsvc.domain.administration import Actor
from authsvc.domain.audit import AuditKeys, Outcome
from authsvc.domain.errors import AlreadyExistsError, StartupError, UnauthenticatedError, UnavailableError
from authsvc.domain.keys import Micros, Revision
from authsvc.stores import records
from authsvc.stores.columns import Instant
from authsvc.stores.faults import translated
from authsvc.stores.given import given
from authsvc.stores.records import REMEMBERED, Effect, Parameters, Record
from authsvc.stores.tables import audit_events, auth_change, change_head
from authsvc.stores.trail import Event, Trail, of_one

T = TypeVar("T")

CHANNEL = "authsvc"
# Changes under way at once in PostgreSQL. All of them queue for the position anyway, and one that waits there holds a
# connection that a key's load may need.
WRITERS = 4
WRITER_TIMEOUT = 1.0  # seconds to wait for a turn to write
CHANGE_TIMEOUT = 1000  # milliseconds for a statement of a change, its wait for the position included
HANG_TIMEOUT = 3.0  # seconds after which a server that neither answers nor closes is cut off
REPORT_TIMEOUT = 2500  # milliseconds for a report, or a large change; less than HANG_TIMEOUT
CLOSE_TIMEOUT = 1.0  # seconds that running statements get when the store is closed

USED_ALREADY = "request_id: it was used already"
DEAD_ACTOR = "the key that makes this change was ended meanwhile"
CHANGED_ACTOR = "the key that makes this change, or its organization, has changed meanwhile; try again"

_POSTGRESQL = "postgresql"

_EVENTS: BindParameter[int] = bindparam("events", type_=BigInteger)
_ACTOR = select(records.ACTOR_IS_DEAD, records.ACTOR_HAS_CHANGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing a change touched, for caches to drop: a key, or an organization with all its keys."""

    kind: str
    key_id: str | None
    organization_id: str | None


def system_micros() -> Micros:
    """Return this machine's time of day."""
    return time.time_ns() // 1000


class Change:
    """An open transaction that holds the next position of the change log."""

    def __init__(self, connection: AsyncConnection, head: RowMapping, actor: Actor, trail: Trail) -> None:
        self.revision = Revision(epoch=head["epoch"], seq=head["seq"])
        self.now: Micros = head["now"]
        self.audit_seq = trail.next_seq  # that of the first event
        self._trail = trail
        self._actor = actor
        self._connection = connection
        self._postgresql = connection.dialect.name == _POSTGRESQL

    async def write(
        self,
        effect: Effect,
        events: Sequence[Event],
        targets: Sequence[Target],
        also: Sequence[Insert] = (),
        *,
        about: str | None = None,
        parameters: Parameters | None = None,
        once_built: bool = False,
    ) -> Sequence[RowMapping]:
        """
        Write the effect, its audit rows and its change rows; return the rows the effect touched.

        Where there is none, who asked leaves the transaction: what became of the caller comes with a row.
        On PostgreSQL all of it is one statement. With the commit that makes two round trips while
        everyone else waits for the position. A retry of the request is answered with what the first
        event is about, or `about`. What is the same object each time is kept with its records, `once_built`.
        """
        told = self._trail.chained(of_one(self._actor, events), self.now, self.revision, Outcome.DONE)
        changed = self._changed(targets)
        noted = bool(self._actor.request_id and self._actor.body)
        values = self._values(told, changed, about or events[0].target_id, parameters or {})
        written: tuple[Record, ...] = (*also, _event_rows(told), records.END_OF_TRAIL, self._change_rows(changed))
        note = records.NOTE[self._postgresql] if noted else None
        if self._postgresql:
            combine = records.once_combined if once_built else records.combined
            touched = (await self._connection.execute(combine(effect, written, note), values)).mappings().all()
            for row in touched:
                _hold_actor(row)
            if noted and any(row["noted"] == 0 for row in touched):
                raise AlreadyExistsError(USED_ALREADY)
            return touched
        _hold_actor((await self._connection.execute(_ACTOR, values)).mappings().one())
        touched = (await self._connection.execute(effect, values)).mappings().all()
        for record in written:
            await self._connection.execute(record, values)
        if note is not None and not (await self._connection.execute(note, values)).all():
            raise AlreadyExistsError(USED_ALREADY)
        return touched

    def _values(
        self, told: Sequence[dict[str, Any]], changed: Sequence[Sequence[Any]], about: str, own: Parameters
    ) -> Parameters:
        """Return the values of all that is written, whether or not the statement takes them as parameters."""
        return {
            **own,
            **records.named("told", told[0]),
            **records.named("changed", dict(zip(auth_change.c.keys(), changed[0], strict=True))),
            **_noted(self._actor, about, self.revision, self.now),
            "acting_key": self._actor.key_id,
            "acting_at": self.now,
            "acting_as_of": self._actor.as_of,
            "acting_organization": self._actor.organization_id,
            "end": self._trail.end,
        }

    def _changed(self, targets: Sequence[Target]) -> Sequence[tuple[Any, ...]]:
        return [
            (self.revision.seq, ordinal, target.kind, target.key_id, target.organization_id, self.now)
            for ordinal, target in enumerate(targets)
        ]

    def _change_rows(self, changed: Sequence[Sequence[Any]]) -> Insert:
        if len(changed) == 1:
            return records.TARGET
        # SQLAlchemy compiles a statement of several rows anew each time, and everyone else is waiting.
        return insert(auth_change).from_select(
            auth_change.c.keys(), select(given(self._postgresql, auth_change.c, changed))
        )


def _hold_actor(found: RowMapping) -> None:
    """Refuse a change of a caller that is not any more what it was let in as."""
    if found["actor_is_dead"]:
        raise UnauthenticatedError(DEAD_ACTOR)
    if found["actor_has_changed"]:
        raise UnavailableError(CHANGED_ACTOR)


def _noted(actor: Actor, about: str, at: Revision, now: Micros) -> Parameters:
    return {
        "noted_actor": actor.key_id,
        "noted_request_id": actor.request_id,
        "noted_body_hash": actor.body,
        "noted_target_id": about,
        "noted_seq": at.seq,
        "noted_created_at": now,
        "forgotten": now - REMEMBERED,
    }


def _event_rows(told: Sequence[dict[str, Any]]) -> Insert:
    return records.EVENT if len(told) == 1 else insert(audit_events).values(list(told))


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
        self.postgresql = engine.dialect.name == _POSTGRESQL
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._position: ReturningUpdate[Any] | None = None  # PostgreSQL's, once it is built
        self._turn = asyncio.Semaphore(WRITERS if self.postgresql else 1)

    def now(self) -> ColumnElement[Micros]:
        """Return the database's time, as a column."""
        return func.clock_timestamp(type_=Instant()) if self.postgresql else literal(self._clock(), Instant())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Run a piece of work to its end, in a task of its own, and let only our faults out.

        A caller that gives up is released at once and the work goes on. A connection is thus never
        handed back in the middle of a statement, and a change is made as a whole or not at all.
        """
        task = asyncio.create_task(_only_our_faults(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def rows(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Sequence[RowMapping]:
        """Return the rows of one statement, in autocommit: one round trip."""
        try:
            return await self._rows(statement, parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # A pooled connection had died, and took its like with it: the next one is new.
            return await self._rows(statement, parameters)

    @asynccontextmanager
    async def change(self, actor: Actor, events: int = 1, *, large: bool = False) -> AsyncIterator[Change]:
        """
        Open a transaction that first takes the next position, and commit it unless an exception leaves.

        `events` is how many audit rows it will write; one that is large is given more time than others.

        The row lock on the position is held until the commit: positions are committed in their order,
        and none is missing.
        """
        async with self._writing(), self._begun(REPORT_TIMEOUT if large else CHANGE_TIMEOUT) as connection:
            yield await self.position(connection, actor, events)
            await connection.commit()

    async def position(self, connection: AsyncConnection, actor: Actor, events: int = 1) -> Change:
        """Take the next position within a transaction, which must then end soon: see `change`."""
        head = (await connection.execute(self._next_position(), {"events": events})).mappings().one()
        return Change(connection, head, actor, self._trail(head, events))

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
            noted = await connection.execute(records.NOTE[self.postgresql], _noted(actor, about, at, now))
            if not noted.all():
                raise AlreadyExistsError(USED_ALREADY)

    async def report(self, statement: Executable) -> Sequence[RowMapping]:
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

    def _next_position(self) -> ReturningUpdate[Any]:
        if self._position is not None:
            return self._position
        position = (
            update(change_head)
            .where(change_head.c.id == 1)
            .values(seq=change_head.c.seq + 1, audit_seq=change_head.c.audit_seq + _EVENTS)
            .returning(*self._head())
        )
        if self.postgresql:
            # Delivered on commit; only a doorbell, the followers read the log.
            self._position = position = position.returning(func.pg_notify(CHANNEL, cast(change_head.c.seq, String)))
        return position

    def _head(self) -> tuple[ColumnElement[Any], ...]:
        return (*(change_head.c[name] for name in ("epoch", "seq", "audit_seq", "audit_mac")), self.now().label("now"))

    def _trail(self, head: RowMapping, events: int) -> Trail:
        if self.audit_keys is None:
            raise StartupError("without a pepper nothing can be written down, and so nothing is changed")
        return Trail(self.audit_keys.current, head, events)

    async def _rows(self, statement: Executable, parameters: dict[str, Any] | None) -> Sequence[RowMapping]:
        async with self._connected() as connection:
            return (await connection.execute(statement, parameters)).mappings().all()

    @asynccontextmanager
    async def _begun(self, patience: int) -> AsyncIterator[AsyncConnection]:
        try:
            held, connection = await self._begin(patience)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            held, connection = await self._begin(patience)
        async with held:
            yield connection

    async def _begin(self, patience: int) -> tuple[AsyncExitStack, AsyncConnection]:
        # In one round trip. What a connection has by itself is for loads, which nobody waits for that long.
        begin = f"BEGIN; SET LOCAL statement_timeout = {patience}; SET LOCAL lock_timeout = {patience}"
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
        driver = connection.sync_connection and connection.sync_connection.connection.driver_connection
        return asyncio.get_running_loop().call_later(HANG_TIMEOUT, _cut, driver)

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
