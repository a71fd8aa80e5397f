"""Revocations of a few keys, with an event for each; `bulk` has those of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, or_, update

from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.errors import AdministratorsChangedError, UnavailableError
from authsvc.domain.keys import Micros
from authsvc.stores import queries, rows
from authsvc.stores.change import Change, OneStatement
from authsvc.stores.columns import Instant, Text
from authsvc.stores.database import Database
from authsvc.stores.mutations import (
    ATTEMPTS,
    NothingTouchedError,
    check_etag,
    key,
    key_event,
    key_target,
    position,
    same_version,
    stale,
)
from authsvc.stores.prepared import Parameters
from authsvc.stores.rows import Row
from authsvc.stores.staying import GONE, one_stays
from authsvc.stores.tables import keys
from authsvc.stores.trail import Event

_ENDED_AT = bindparam("ended_at", type_=Instant)
_ENDED = {
    keys.c.revoked_at: _ENDED_AT,
    keys.c.revoke_reason: bindparam("ended_why", type_=Text),
    keys.c.updated_at: _ENDED_AT,
    keys.c.version: keys.c.version + 1,
}
REVOKE = (  # with `revoking`
    update(keys)
    .where(keys.c.id.in_(bindparam("revoked_ids", expanding=True)), keys.c.revoked_at.is_(None))
    .where(keys.c.deleted_at.is_(None))
    .values(_ENDED)
)
_REVOKE_ONE = (  # the same, of the one key that `queries.written` names
    update(keys)
    .where(keys.c.id == bindparam("written_key", type_=Text), keys.c.revoked_at.is_(None), keys.c.deleted_at.is_(None))
    .values(_ENDED)
    .returning(*queries.WRITTEN_KEY)
)


@dataclass(frozen=True, slots=True)
class HeldTo:
    """What a revocation expects: the first key's version, who stays, the key as it was read, perhaps its successor."""

    etag: str
    others: Sequence[Key] | None
    as_read: Key | None
    same_successor: bool

    def first_look(self) -> Sequence[Row] | None:
        """Return the one key as it was read if that may be counted on, so that it need not be read again."""
        key = self.as_read
        # Where others must stay, what touches nothing is taken for a change of theirs.
        if key is None or key.record.revoked_at is not None or self.others is not None:
            return None
        record = key.record
        names = {"id": record.id, "organization_id": record.organization_id, "revoked_at": None}
        return [{**names, "version": int(key.etag), "successor_id": key.successor_id}]

    def check(self, first: Row) -> None:
        """Raise `ConflictError` where the first key is another by now."""
        check_etag(first, self.etag)
        if self.as_read is not None and self.same_successor and first["successor_id"] != self.as_read.successor_id:
            raise stale(first)

    def conditions(self, first: Row) -> Iterator[ColumnElement[bool]]:
        """Hold the change to it: a rotation that comes in between makes a key that was meant to end too."""
        same = list(same_version(keys, first, self.etag))
        if self.as_read is not None and self.same_successor:
            same.append(keys.c.successor_id.is_not_distinct_from(self.as_read.successor_id))
        yield from (or_(keys.c.id != first["id"], condition) for condition in same)
        yield from one_stays(self.others)


async def revoke_keys(
    database: Database,
    key_ids: Sequence[str],
    reason: str,
    actor: Actor,
    held_to: HeldTo,
) -> Changed[tuple[Key, ...]]:
    """Revoke keys at one position; those that are revoked stay as they are."""
    found = held_to.first_look() if len(key_ids) == 1 else None
    for _ in range(ATTEMPTS):
        found = found or [await key(database, key_id) for key_id in key_ids]
        held_to.check(found[0])
        if all(row["revoked_at"] is not None for row in found):
            await database.remember(actor, key_ids[0], position(found[-1]))
            return Changed(value=tuple(rows.key(row) for row in found), revision=position(found[-1]))
        with suppress(NothingTouchedError):  # somebody else revoked or deleted one of them meanwhile
            return await _revoke(database, found, reason, actor, held_to)
        found = None
        if held_to.others is not None:  # or of those who were to stay; who they are now is not for us to say
            raise AdministratorsChangedError(GONE)
    # A live key is never reported as revoked.
    raise UnavailableError("the key could not be revoked; try again")


def revoking(key_ids: Sequence[str], now: Micros, reason: str) -> Parameters:
    """Return the parameters of `REVOKE`."""
    return {"revoked_ids": key_ids, "ended_at": now, "ended_why": reason}


async def _revoke(
    database: Database,
    found: Sequence[Row],
    reason: str,
    actor: Actor,
    held_to: HeldTo,
) -> Changed[tuple[Key, ...]]:
    living = {row["id"]: row for row in found if row["revoked_at"] is None}
    conditions = tuple(held_to.conditions(found[0]))
    one = next(iter(living.values()))

    def parameters(change: Change) -> Parameters:
        written = queries.written(one["id"], one["organization_id"])
        return revoking(list(living), change.now, reason) | written

    def event(change: Change, row: Row) -> Event:
        after = {"revoked_at": rows.instant_text(change.now)}
        return key_event("key.revoke", row, before={"revoked_at": None}, after=after, reason=reason)

    def result(change: Change, touched: Sequence[Row]) -> Changed[tuple[Key, ...]]:
        if len(touched) != len(living):
            raise NothingTouchedError
        # What a statement for several keys cannot tell, their organizations' part, is as it was read.
        revoked = {row["id"]: {**living[row["id"]], **row} for row in touched}
        value = tuple(rows.key(revoked.get(row["id"], row)) for row in found)
        return Changed(value=value, revision=change.revision)

    async def work(change: Change) -> Changed[tuple[Key, ...]]:
        effect = _REVOKE_ONE if len(living) == 1 else REVOKE.returning(*queries.KEY)
        events, targets = [event(change, row) for row in living.values()], [key_target(row) for row in living.values()]
        return result(
            change, await change.write(effect.where(*conditions), events, targets, parameters=parameters(change))
        )

    if len(living) > 1 or conditions:
        return await database.change(actor, work, events=len(living))
    alone = OneStatement(
        effect=_REVOKE_ONE,
        event=lambda change: event(change, one),
        target=key_target(one),
        parameters=parameters,
        result=result,
    )
    return await database.change(actor, alone)
