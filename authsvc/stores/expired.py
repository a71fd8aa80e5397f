"""What was kept long enough: removed a few rows at a time, in nobody's way. None of it takes a position."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Table, delete, select, tuple_

from authsvc.domain.keys import Micros
from authsvc.domain.usage import DAY, HOUR, KEPT
from authsvc.stores.database import Database
from authsvc.stores.records import REMEMBERED
from authsvc.stores.tables import auth_change, idempotency, usage_flushes
from authsvc.stores.usage import TABLES

FLUSHES_KEPT = 7 * DAY  # a batch is not tried again after a week without its database
CHANGES_KEPT = 24 * HOUR  # for who follows the log; whoever was away for longer begins anew


async def remove(database: Database, now: Micros, most: int) -> int:
    """Remove up to `most` rows of each table that are past their time; return how many of one table at most."""
    removed = 0
    for instant, kept in _kept():
        table: Table = instant.table
        own = tuple(table.primary_key.columns)
        past = select(*own).where(instant < now - kept).order_by(instant).limit(most)
        if table is not auth_change:  # which the service has no right to lock
            past = past.with_for_update(skip_locked=True)  # rows that another instance is removing are its own
        async with database.transaction() as connection:
            done = await connection.execute(delete(table).where(tuple_(*own).in_(past)))
        removed = max(removed, done.rowcount)
    return removed


def _kept() -> Iterator[tuple[Column[Micros], Micros]]:
    """Tell of each table since when a row is kept, and for how long."""
    yield from ((table.c.start, KEPT[width]) for width, table in TABLES.items())
    yield usage_flushes.c.at, FLUSHES_KEPT
    yield idempotency.c.created_at, REMEMBERED
    yield auth_change.c.at, CHANGES_KEPT
