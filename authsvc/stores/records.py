"""
What is written beside every change, as statements that are built once and take values as parameters.

To build a statement takes longer than to run it, and while a change builds one everyone else waits for the position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Insert,
    LargeBinary,
    Select,
    Table,
    Update,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from authsvc.domain.administration import OPERATORS
from authsvc.domain.keys import Micros
from authsvc.stores.columns import Instant, Text
from authsvc.stores.prepared import Parameters, Prepared
from authsvc.stores.tables import audit_events, auth_change, change_head, idempotency, keys, organizations

REMEMBERED: Micros = 24 * 3600 * 1_000_000  # how long a request id stands for what was done under it

Effect = ReturningInsert[Any] | ReturningUpdate[Any] | Select[Any]
Record = Insert | Update


def parameter(prefix: str, column: Column[Any]) -> BindParameter[Any]:
    """Return what stands for a value of a column; its name is no column's, as SQLAlchemy wants it."""
    return bindparam(f"{prefix}_{column.name}", type_=column.type)


def named(prefix: str, values: Mapping[str, Any]) -> Parameters:
    """Return values by column as parameters."""
    return {f"{prefix}_{name}": value for name, value in values.items()}


def inserted(prefix: str, table: Table, names: Sequence[str]) -> Insert:
    """Return what writes one row of these columns."""
    return insert(table).values({name: parameter(prefix, table.c[name]) for name in names})


def combined(effect: Effect, records: Sequence[Record], note: ReturningInsert[Any] | None) -> Effect:
    """Return effect and records as one statement for PostgreSQL, which tells what became of the actor before."""
    effect = effect.add_cte(*(record.cte(f"record_{n}") for n, record in enumerate(records)))
    told: list[ColumnElement[Any]] = [ACTOR_IS_DEAD, ACTOR_HAS_CHANGED]
    if note is not None:
        told.append(select(func.count()).select_from(note.cte("noted")).scalar_subquery().label("noted"))
    return effect.add_columns(*told) if isinstance(effect, Select) else effect.returning(*told)


@lru_cache(maxsize=64)
def once_combined(effect: Effect, records: Sequence[Record], note: ReturningInsert[Any] | None) -> Prepared:
    """Return the same, for effects that are built once themselves, of which there are few."""
    return Prepared(combined(effect, records, note))


def _note(dialect: Any) -> ReturningInsert[Any]:  # noqa: ANN401 - two modules that have `insert` in common
    names = ("actor", "request_id", "body_hash", "target_id", "seq", "created_at")
    note = dialect.insert(idempotency).values({name: parameter("noted", idempotency.c[name]) for name in names})
    # One that is forgotten already is written over; one that is not stays, and no row comes back.
    remembered: ReturningInsert[Any] = note.on_conflict_do_update(
        index_elements=[idempotency.c.actor, idempotency.c.request_id],
        set_={name: note.excluded[name] for name in names[2:]},
        where=idempotency.c.created_at <= bindparam("forgotten", type_=idempotency.c.created_at.type),
    ).returning(idempotency.c.seq)
    return remembered


def _actor_is_dead() -> ColumnElement[bool]:
    """Say whether the key that makes the change had ended at an earlier position, in whichever way."""
    actor, now = keys.alias("actor"), bindparam("acting_at", type_=Instant)
    ended = or_(
        actor.c.revoked_at.is_not(None),
        actor.c.deleted_at.is_not(None),
        actor.c.expires_at <= now,
        actor.c.grace_ends_at <= now,
    )
    return exists().where(actor.c.id == bindparam("acting_key", type_=Text), ended).label("actor_is_dead")


def _actor_has_changed() -> ColumnElement[bool]:
    """Say whether the key that makes the change, or its organization, was changed since it was read."""
    since, log = bindparam("acting_as_of", type_=BigInteger), auth_change.alias("since")
    own = log.c.key_id == bindparam("acting_key", type_=Text)
    owner = bindparam("acting_organization", type_=Text)
    owners = log.c.key_id.is_(None) & (log.c.organization_id == owner)
    # Of the operators' own only labels can change, which give no rights. Who may write them, again and again, would
    # else keep every other operator from changing anything.
    operates = exists().where(organizations.c.id == owner, organizations.c.name == OPERATORS)
    # Up to this change, behind which there is nothing: a range that is open has PostgreSQL expect a third of the log,
    # and so plan anew each time.
    meanwhile = (log.c.seq > since) & (log.c.seq < bindparam("acting_at_seq", type_=BigInteger))
    return exists().where(meanwhile, or_(own, owners & ~operates)).label("actor_has_changed")


ACTOR_IS_DEAD, ACTOR_HAS_CHANGED = _actor_is_dead(), _actor_has_changed()
EVENT = inserted("told", audit_events, audit_events.c.keys())
END_OF_TRAIL = update(change_head).where(change_head.c.id == 1).values(audit_mac=bindparam("end", type_=LargeBinary))
TARGET = inserted("changed", auth_change, auth_change.c.keys())
NOTE = {True: _note(postgresql), False: _note(sqlite)}  # by whether it is PostgreSQL
