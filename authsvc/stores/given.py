"""Rows of values as a table, for statements that take many of them at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Subquery,
    TableValuedAlias,
    Text,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from authsvc.stores.columns import Instant

_EPOCH: ColumnElement[Any] = literal_column("TIMESTAMPTZ 'epoch'")
_MICROSECOND: ColumnElement[Any] = literal_column("INTERVAL '1 microsecond'")


def given(
    postgresql: bool,  # noqa: FBT001 - the one there is
    columns: Iterable[Column[Any]],
    values: Sequence[Sequence[str | int | None]],
) -> Subquery:
    """
    Return rows of values as a table, as one parameter.

    A statement with a parameter for each value would be compiled anew for each batch, on the loop that
    decides.
    """
    read = _read_postgresql if postgresql else _read_sqlite
    source, fields = read(list(columns), values)
    return select(*fields).select_from(source).subquery("given")


_Read = tuple[TableValuedAlias, list[ColumnElement[Any]]]


def _read_postgresql(columns: Sequence[Column[Any]], values: Sequence[Sequence[str | int | None]]) -> _Read:
    each_row = func.jsonb_array_elements(literal(values, JSONB)).table_valued("value", name="each_row")
    fields: list[ColumnElement[Any]] = []
    for index, each in enumerate(columns):
        text = each_row.c.value.op("->>")(index)
        instant = isinstance(each.type, Instant)
        # Counted on from 1970 by the database: writing instants out takes as long as all the rest here.
        read = _EPOCH + text.cast(BigInteger) * _MICROSECOND if instant else text.cast(each.type)
        fields.append(read.label(each.name))
    return each_row, fields


def _read_sqlite(columns: Sequence[Column[Any]], values: Sequence[Sequence[str | int | None]]) -> _Read:
    each_row = func.json_each(literal(json.dumps(values), Text)).table_valued("value", name="each_row")
    fields = enumerate(columns)
    return each_row, [
        func.json_extract(each_row.c.value, f"$[{index}]", type_=each.type).label(each.name) for index, each in fields
    ]
