"""What a change writes, within a transaction that `database` opens and commits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from sqlalchemy import Insert, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from authsvc.domain.administration import Actor
from authsvc.domain.audit import Outcome
from authsvc.domain.errors import AlreadyExistsError, UnauthenticatedError, UnavailableError
from authsvc.domain.keys import Micros, Revision
from authsvc.stores import records
from authsvc.stores.given import given
from authsvc.stores.prepared import Parameters, Prepared
from authsvc.stores.records import REMEMBERED, Effect, Record
from authsvc.stores.rows import Row
from authsvc.stores.tables import audit_events, auth_change
from authsvc.stores.trail import Event, Trail, of_one

T = TypeVar("T")

POSTGRESQL = "postgresql"

USED_ALREADY = "request_id: it was used already"
DEAD_ACTOR = "the key that makes this change was ended meanwhile"
CHANGED_ACTOR = "the key that makes this change, or its organization, has changed meanwhile; try again"

_ACTOR = select(records.ACTOR_IS_DEAD, records.ACTOR_HAS_CHANGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing a change touched, for caches to drop: a key, or an organization with all its keys."""

    kind: str
    key_id: str | None
    organization_id: str | None


class Change:
    """A position of the change log, held by an open transaction, with the end of the trail before it."""

    def __init__(
        self, connection: AsyncConnection, revision: Revision, now: Micros, actor: Actor, trail: Trail
    ) -> None:
        self.revision = revision
        self.now = now
        self._trail = trail
        self._actor = actor
        self._connection = connection
        self.postgresql = connection.dialect.name == POSTGRESQL
        self.noted = bool(actor.request_id and actor.body)  # a retry will be told what became of it

    @property
    def audit_seq(self) -> int:
        """That of the next event it writes."""
        return self._trail.next_seq

    async def write(
        self,
        effect: Effect,
        events: Sequence[Event],
        targets: Sequence[Target],
        also: Sequence[Insert] = (),
        *,
        about: str | None = None,
        parameters: Parameters | None = None,
    ) -> Sequence[Row]:
        """
        Write the effect, its audit rows and its change rows; return the rows the effect touched.

        Where there is none, who asked leaves the transaction: what became of the caller comes with a row.
        On PostgreSQL all of it is one statement, and so one round trip while everyone else waits for the position. A
        retry of the request is answered with what the first event is about, or `about`.
        """
        told = self._trail.chained(of_one(self._actor, events), self.now, self.revision, Outcome.DONE)
        changed = self._changed(targets)
        values = self._values(told, changed, about or events[0].target_id, parameters or {})
        written: tuple[Record, ...] = (*also, _event_rows(told), records.END_OF_TRAIL, self._change_rows(changed))
        note = records.NOTE[self.postgresql] if self.noted else None
        if self.postgresql:
            combined = records.combined(effect, written, note)
            return self.held((await self._connection.execute(combined, values)).mappings().all())
        _hold_actor((await self._connection.execute(_ACTOR, values)).mappings().one())
        touched = (await self._connection.execute(effect, values)).mappings().all()
        for record in written:
            await self._connection.execute(record, values)
        if note is not None and not (await self._connection.execute(note, values)).all():
            raise AlreadyExistsError(USED_ALREADY)
        return touched

    def values_of(self, work: OneStatement[Any]) -> Parameters:
        """Return what `records.once_combined` takes for such work, whose event is now the trail's next."""
        event = work.event(self)
        told = self._trail.chained(of_one(self._actor, (event,)), self.now, self.revision, Outcome.DONE)
        return self._values(told, self._changed((work.target,)), event.target_id, work.parameters(self))

    def held(self, touched: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of a statement of `records`, unless they tell that the caller may not make this change."""
        for row in touched:
            _hold_actor(row)
        if self.noted and any(row["noted"] == 0 for row in touched):
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
            **noted(self._actor, about, self.revision, self.now),
            "acting_key": self._actor.key_id,
            "acting_at": self.now,
            "acting_at_seq": self.revision.seq,
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
            auth_change.c.keys(), select(given(self.postgresql, auth_change.c, changed))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OneStatement(Generic[T]):
    """
    The work of a change that is one effect, the same object each time, with one event and one target.

    Such changes that follow each other are sent together. `parameters` are the effect's; `result` is told the rows that
    it touched, none where what it expects was not there.
    """

    effect: Effect
    event: Callable[[Change], Event]
    target: Target
    parameters: Callable[[Change], Parameters]
    result: Callable[[Change, Sequence[Row]], T]

    async def __call__(self, change: Change) -> T:
        """Do it by itself."""
        parameters = self.parameters(change)
        touched = await change.write(self.effect, (self.event(change),), (self.target,), parameters=parameters)
        return self.result(change, touched)


Work = Callable[[Change], Awaitable[T]]


async def carry_out(connection: AsyncConnection, changes: Sequence[tuple[Work[Any], Change]]) -> list[Any]:
    """
    Do the work of changes in their order and return what each returns.

    Each is asked what it writes when those before it have been sent, or go with it: the trail is chained in that order.
    """
    results: list[Any] = []
    for statement, alike in groupby(changes, lambda one: _statement(*one)):
        if statement is None:
            results += [await work(change) for work, change in alike]
            continue
        together = [(work, change) for work, change in alike if isinstance(work, OneStatement)]
        touched = await statement.each(connection, [change.values_of(work) for work, change in together])
        pairs = zip(together, touched, strict=True)
        results += [work.result(change, change.held(rows)) for (work, change), rows in pairs]
    return results


def _statement(work: Work[Any], change: Change) -> Prepared | None:
    """Return the one statement that such work is; None for others, and where there is no driver to send it."""
    if not isinstance(work, OneStatement) or not change.postgresql:
        return None
    written = (records.EVENT, records.END_OF_TRAIL, records.TARGET)
    return records.once_combined(work.effect, written, records.NOTE[True] if change.noted else None)


def _hold_actor(found: Row) -> None:
    """Refuse a change of a caller that is not any more what it was let in as."""
    if found["actor_is_dead"]:
        raise UnauthenticatedError(DEAD_ACTOR)
    if found["actor_has_changed"]:
        raise UnavailableError(CHANGED_ACTOR)


def noted(actor: Actor, about: str, at: Revision, now: Micros) -> Parameters:
    """Return the parameters of `records.NOTE`."""
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
