"""The audit trail: listed, verified, and removed when it was kept long enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, select
from sqlalchemy.exc import DBAPIError

from authsvc.domain.administration import Actor, Page
from authsvc.domain.audit import AUDIT, PRUNE, AuditEvent, Outcome
from authsvc.domain.audit_check import Anchor, Checkpoint, Report, TrailCheck, TrailHead
from authsvc.domain.errors import InvalidInputError, PermissionDeniedError, UnavailableError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.keys import Micros
from authsvc.ports import AuditFilter, Refusal
from authsvc.stores import audit_keys, rows
from authsvc.stores.database import Database
from authsvc.stores.faults import is_forbidden
from authsvc.stores.records import REMEMBERED
from authsvc.stores.rows import Row
from authsvc.stores.tables import audit_events, change_head
from authsvc.stores.trail import Event

BATCH = 1000  # events read, or removed, by one statement
ATTEMPTS = 3  # at verifying while retention removes events

LEAST_KEPT = REMEMBERED  # retries of what was done are answered from the trail
ON_THIS_MACHINE = Actor(key_id="", organization_id="", address="", request_id="")


async def events(database: Database, where: AuditFilter, limit: int, after: int | None) -> Page[AuditEvent]:
    """Return events in the order of their positions, or against it, those behind `after`."""
    seq = audit_events.c.seq
    page = select(audit_events).where(*_conditions(where)).limit(limit + 1)
    page = page.order_by(seq.asc() if where.oldest_first else seq.desc())
    if after is not None:
        page = page.where(seq > after if where.oldest_first else seq < after)
    found = await database.report(page)
    items = tuple(rows.audit_event(row) for row in found[:limit])
    return Page(items=items, next_token=str(items[-1].seq) if len(found) > limit else "")


async def event_at(database: Database, seq: int) -> AuditEvent | None:
    """Return one event."""
    found = await database.rows(select(audit_events).where(audit_events.c.seq == seq))
    return rows.audit_event(found[0]) if found else None


async def write_refusals(database: Database, refusals: Sequence[Refusal]) -> None:
    """Write refusals down in one transaction, which takes no position of the change log."""
    entries = [(refusal.actor, _event(refusal)) for refusal in refusals]
    if entries:
        await database.note(entries, Outcome.REFUSED)


async def verify(database: Database, accepted: PepperSet, anchor: Anchor | None) -> Report:
    """Look at every event, the oldest first, in statements that hold nobody up."""
    keys = await audit_keys.known(database, accepted)
    for _ in range(ATTEMPTS):
        head = await _head(database)
        checkpoint = await _checkpoint(database, head.seq)
        check = TrailCheck(keys, checkpoint, head, anchor)
        after = 0 if checkpoint is None else checkpoint.through
        while found := await database.rows(_behind(after, head.seq)):
            for row in found:
                check.see(dict(row))
            after = found[-1]["seq"]
        if checkpoint == await _checkpoint(database, (await _head(database)).seq):
            return check.finish()
    raise UnavailableError("events are being removed meanwhile: try again")


async def prune(database: Database, kept: Micros) -> int:
    """
    Remove the events that are older than so many microseconds, and return how many.

    The first thing written is an event that tells what is removed and where the chain goes on. From then
    on whatever lies before is as good as removed, so this may be interrupted and repeated.
    """
    if kept < LEAST_KEPT:
        raise InvalidInputError("the trail is kept for a day at least")
    await _require_right_to_remove(database)
    head = await _head(database)
    checkpoint = await _checkpoint(database, head.seq)
    begun = 0 if checkpoint is None else checkpoint.through
    through = await _end_of_the_old(database, kept, head.seq)
    if through > begun:
        await _write_checkpoint(database, begun, through)
    old = select(audit_events.c.seq).where(audit_events.c.seq <= max(begun, through)).order_by(audit_events.c.seq)
    removed = 0
    while True:
        async with database.transaction() as connection:
            done = await connection.execute(delete(audit_events).where(audit_events.c.seq.in_(old.limit(BATCH))))
        removed += done.rowcount
        if done.rowcount < BATCH:
            return removed


async def _require_right_to_remove(database: Database) -> None:
    # Before the trail says that anything is removed.
    try:
        async with database.transaction() as connection:
            await connection.execute(delete(audit_events).where(audit_events.c.seq < 0))
    except DBAPIError as error:
        if is_forbidden(error):
            raise PermissionDeniedError(
                "this database role may not remove events; use the one for maintenance"
            ) from None
        raise


async def _write_checkpoint(database: Database, begun: int, through: int) -> None:
    last = await database.rows(select(audit_events.c.mac).where(audit_events.c.seq == through))
    if not last:
        raise UnavailableError("events are missing where the trail is to begin: verify it")
    mac = last[0]["mac"]
    event = Event(
        action=PRUNE,
        target_kind=AUDIT,
        target_id="",
        organization_id="",
        before=None,
        after={"through": through, "mac": None if mac is None else mac.hex()},
        reason="",
        count=through - begun,
    )
    await database.note([(ON_THIS_MACHINE, event)], Outcome.DONE)


async def _end_of_the_old(database: Database, kept: Micros, last: int) -> int:
    at = audit_events.c.at
    now: Micros = (await database.rows(select(database.now().label("now"))))[0]["now"]
    first_kept = select(audit_events.c.seq).where(at >= now - kept).order_by(at, audit_events.c.seq).limit(1)
    found = await database.rows(first_kept)
    return found[0]["seq"] - 1 if found else last


async def _head(database: Database) -> TrailHead:
    found = await database.rows(select(change_head.c.audit_seq, change_head.c.audit_mac))
    if not found:
        raise UnavailableError("the database is not initialized")
    return TrailHead(seq=found[0]["audit_seq"], mac=found[0]["audit_mac"])


async def _checkpoint(database: Database, last: int) -> Checkpoint | None:
    done = audit_events.c.outcome == Outcome.DONE.value
    newest = select(audit_events.c.seq, audit_events.c.after).where(audit_events.c.action == PRUNE, done)
    found = await database.rows(newest.where(audit_events.c.seq <= last).order_by(audit_events.c.seq.desc()).limit(1))
    return _read(found[0]) if found else None


def _event(refusal: Refusal) -> Event:
    return Event(
        action=refusal.action,
        target_kind=refusal.target_kind,
        target_id=refusal.target_id,
        organization_id="",
        before=None,
        after=None,
        reason=refusal.reason,
        count=refusal.count,
    )


def _read(row: Row) -> Checkpoint:
    after = row["after"]
    with rows.readable():
        mac = after["mac"]
        return Checkpoint(
            seq=row["seq"], through=int(after["through"]), mac=None if mac is None else bytes.fromhex(mac)
        )


def _behind(after: int, last: int) -> Select[Any]:
    seq = audit_events.c.seq
    return select(audit_events).where(seq > after, seq <= last).order_by(seq).limit(BATCH)


def _conditions(where: AuditFilter) -> Iterable[ColumnElement[bool]]:
    for name in (
        "organization_id",
        "actor_key_id",
        "actor_organization_id",
        "action",
        "target_kind",
        "target_id",
        "request_id",
    ):
        if wanted := getattr(where, name):
            yield audit_events.c[name] == wanted
    if where.outcome is not None:
        yield audit_events.c.outcome == where.outcome.value
    if where.start is not None:
        yield audit_events.c.at >= where.start
    if where.end is not None:
        yield audit_events.c.at < where.end
