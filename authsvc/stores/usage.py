"""Usage: added in batches, summed when asked for, removed when it was kept long enough. None of it takes a position."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Select,
    Table,
    case,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from authsvc.domain.administration import Page
from authsvc.domain.usage import (
    ALLOW,
    MICROS,
    Batch,
    Dimension,
    Tally,
    UsageQuery,
    UsageSum,
    Use,
    Width,
    coarser,
)
from authsvc.stores.columns import Instant
from authsvc.stores.database import Database
from authsvc.stores.given import given
from authsvc.stores.tables import key_uses, keys, usage_days, usage_flushes, usage_hours, usage_minutes

TABLES: Mapping[Width, Table] = {Width.MINUTE: usage_minutes, Width.HOUR: usage_hours, Width.DAY: usage_days}

DENY = "deny"  # beside ALLOW the other verdict


async def write(database: Database, batch: Batch) -> None:
    """
    Add a batch to all three tables and set last uses, unless it has been added before.

    Its id is stored in the same transaction, so whoever did not hear of a commit may try again. Rows
    are sorted: two instances that add to the same rows wait for each other and never in a circle.
    """
    async with database.transaction() as connection:
        if not await _is_new(database, connection, batch.id):
            return
        for width, table in TABLES.items():
            counts = batch.counts if width is Width.MINUTE else coarser(batch.counts, MICROS[width])
            if counts:
                await connection.execute(_add(database, table, counts))
        if batch.uses:
            await connection.execute(_use(database, batch.uses))


async def query(database: Database, asked: UsageQuery, limit: int, after: str | None) -> Page[UsageSum]:
    """Return sums in the order of their time and dimensions, those behind the position `after`."""
    found = await database.report(_sums(asked, limit + 1, after))
    sums = tuple(
        UsageSum(
            start=asked.start if asked.whole else row["start"],
            values={dimension: row[dimension] for dimension in asked.group_by},
            count=int(row["total"]),
        )
        for row in found[:limit]
        if row["total"]  # the sum of no rows is NULL
    )
    return Page(items=sums, next_token=_position(sums[-1]) if len(found) > limit else "")


def _sums(asked: UsageQuery, limit: int, after: str | None) -> Select[Any]:
    table = TABLES[asked.width]
    start: list[ColumnElement[Any]] = [] if asked.whole else [table.c.start]
    order = [*start, *(_dimension(table, dimension).label(dimension) for dimension in asked.group_by)]
    sums = select(*order, func.sum(table.c.count).label("total")).where(*_conditions(table, asked))
    if order:
        sums = sums.group_by(*order).order_by(*order).limit(limit)
    if after is not None and order:
        at, *values = json.loads(after)
        last = [*([] if asked.whole else [literal(at, Instant())]), *map(literal, values)]
        behind = [*start, *(_dimension(table, dimension) for dimension in asked.group_by)]
        sums = sums.where(tuple_(*behind) > tuple_(*last))
    return sums


def _conditions(table: Table, asked: UsageQuery) -> Iterable[ColumnElement[bool]]:
    yield table.c.start >= asked.start
    yield table.c.start < asked.end
    for name in ("api", "organization_id", "key_id", "route", "outcome"):
        if (wanted := getattr(asked, name)) is not None:
            yield table.c[name] == wanted
    if asked.allowed is not None:
        yield table.c.outcome == ALLOW if asked.allowed else table.c.outcome != ALLOW


def _dimension(table: Table, dimension: Dimension) -> ColumnElement[str]:
    if dimension is Dimension.VERDICT:
        return case((table.c.outcome == ALLOW, ALLOW), else_=DENY)
    named: Column[str] = table.c[dimension.value]
    return named


def _position(last: UsageSum) -> str:
    return json.dumps([last.start, *last.values.values()], separators=(",", ":"))


async def _is_new(database: Database, connection: AsyncConnection, id_: str) -> bool:
    note = _dialect(database).insert(usage_flushes).values(flush_id=id_, at=database.now())
    noted = await connection.execute(note.on_conflict_do_nothing().returning(usage_flushes.c.flush_id))
    return noted.first() is not None


def _add(database: Database, table: Table, counts: Mapping[Tally, int]) -> Insert:
    names = [each.name for each in table.c]
    rows = given(database.postgresql, table.c, [[*tally, count] for tally, count in counts.items()])
    ordered = select(rows).where(true()).order_by(*(rows.c[each.name] for each in table.primary_key.columns))
    adding = _dialect(database).insert(table).from_select(names, ordered)
    statement: Insert = adding.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={"count": table.c.count + adding.excluded.count}
    )
    return statement


def _use(database: Database, uses: Mapping[str, Use]) -> Insert:
    rows = given(database.postgresql, key_uses.c, [[key_id, *use] for key_id, use in uses.items()])
    # Joined, because a key may be known to a process and not to a database that was restored.
    known = select(rows).join(keys, keys.c.id == rows.c.key_id).where(true()).order_by(rows.c.key_id)
    names = [each.name for each in key_uses.c]
    setting = _dialect(database).insert(key_uses).from_select(names, known)
    statement: Insert = setting.on_conflict_do_update(
        index_elements=[key_uses.c.key_id],
        set_={name: setting.excluded[name] for name in names[1:]},
        where=key_uses.c.last_used_at < setting.excluded.last_used_at,
    )
    return statement


def _dialect(database: Database) -> Any:  # noqa: ANN401 - two modules with the same words
    return postgresql if database.postgresql else sqlite
