"""
Who must stay for a change to be made that ends an administrator.

The change is held to it by its own WHERE, behind the lock on the position: every change of a key takes
that lock and raises the key's version, so of two changes that count on each other the later one finds
nothing. It costs no round trip, and what ends no administrator does not even carry the condition.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, false, or_, select

from authsvc.domain.administration import Key
from authsvc.stores.tables import keys

GONE = "the administrators have changed meanwhile; try again"


def one_stays(others: Sequence[Key] | None) -> tuple[ColumnElement[bool], ...]:
    """Hold a change to one of these keys being of the version that was read; None holds it to nothing."""
    if others is None:
        return ()
    staying = keys.alias("staying")
    # One alive that for a day ends by nothing but a change: its version tells all of it. None of none is there.
    as_read = (and_(staying.c.id == key.record.id, staying.c.version == int(key.etag)) for key in others)
    return (exists(select(staying.c.id).where(or_(false(), *as_read))),)
