"""Revocations of a few keys, with an event for each; `bulk` has those of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import ColumnElement, RowMapping, bindparam, or_, update

from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.errors import AdministratorsChangedError, UnavailableError
from authsvc.domain.keys import Micros
from authsvc.stores import queries, rows
from authsvc.stores.change import Change
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
from authsvc.stores.records import Parameters
from authsvc.stores.staying import GONE, one_stays
from authsvc.stores.tables import keys

_ENDED_AT = bindparam("ended_at", type_=Instant)
REVOKE = (  # with `revoking`
    update(keys)
    .where(keys.c.id.in_(bindparam("revoked_ids", expanding=True)), keys.c.revoked_at.is_(None))
    .where(keys.c.deleted_at.is_(None))
    .values(
        revoked_at=_ENDED_AT,
        revoke_reason=bindparam("ended_why", type_=Text),
        updated_at=_ENDED_AT,
        version=keys.c.version + 1,
    )
)
_REVOKE_ANY = REVOKE.returning(*queries.KEY)


@dataclass(frozen=True, slots=True)
class HeldTo:
    """What a revocation expects: the first key's version, who stays, and the first key's successor as it was read."""

    etag: str
    others: Sequence[Key] | None
    as_read: Key | None

    def check(self, first: RowMapping) -> None:
        """Raise `ConflictError` where the first key is another by now."""
        check_etag(first, self.etag)
        if self.as_read is not None and first["successor_id"] != self.as_read.successor_id:
            raise stale(first)

    def conditions(self, first: RowMapping) -> Iterator[ColumnElement[bool]]:
        """Hold the change to it: a rotation that comes in between makes a key that was meant to end too."""
        same = list(same_version(keys, first, self.etag))
        if self.as_read is not None:
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
    for _ in range(ATTEMPTS):
        found = [await key(database, key_id) for key_id in key_ids]
        held_to.check(found[0])
        if all(row["revoked_at"] is not None for row in found):
            await database.remember(actor, key_ids[0], position(found[-1]))
            return Changed(value=tuple(rows.key(row) for row in found), revision=position(found[-1]))
        with suppress(NothingTouchedError):  # somebody else revoked or deleted one of them meanwhile
            return await _revoke(database, found, reason, actor, held_to)
        if held_to.others is not None:  # or of those who were to stay; who they are now is not for us to say
            raise AdministratorsChangedError(GONE)
    # A live key is never reported as revoked.
    raise UnavailableError("the key could not be revoked; try again")


def revoking(key_ids: Sequence[str], now: Micros, reason: str) -> Parameters:
    """Return the parameters of `REVOKE`."""
    return {"revoked_ids": key_ids, "ended_at": now, "ended_why": reason}


async def _revoke(
    database: Database,
    found: Sequence[RowMapping],
    reason: str,
    actor: Actor,
    held_to: HeldTo,
) -> Changed[tuple[Key, ...]]:
    living = {row["id"]: row for row in found if row["revoked_at"] is None}
    conditions = tuple(held_to.conditions(found[0]))
    effect = REVOKE.where(*conditions).returning(*queries.KEY) if conditions else _REVOKE_ANY

    async def work(change: Change) -> Changed[tuple[Key, ...]]:
        before, after = {"revoked_at": None}, {"revoked_at": rows.instant_text(change.now)}
        events = [key_event("key.revoke", row, before=before, after=after, reason=reason) for row in living.values()]
        touched = await change.write(
            effect,
            events,
            [key_target(row) for row in living.values()],
            parameters=revoking(list(living), change.now, reason),
            once_built=not conditions and len(living) == 1,
        )
        if len(touched) != len(living):
            raise NothingTouchedError
        # What a statement for several keys cannot tell, their organizations' part, is as it was read.
        revoked = {row["id"]: {**living[row["id"]], **row} for row in touched}
        value = tuple(rows.key(revoked.get(row["id"], row)) for row in found)
        return Changed(value=value, revision=change.revision)

    return await database.change(actor, work, events=len(living))
