"""Which keys a filter selects, as conditions of a statement."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, exists, or_

from authsvc.domain.keys import Micros
from authsvc.domain.lifecycle import KeyStatus
from authsvc.ports import KeyFilter
from authsvc.stores.tables import key_uses, keys

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)  # no characters of their own


def conditions(where: KeyFilter, now: ColumnElement[Micros] | None) -> Iterator[ColumnElement[bool]]:
    """Yield what must hold of a key; `now` is the database's time, for filters by status."""
    yield from _statuses(where.statuses, now)
    for name in ("api", "organization_id", "kind", "environment"):
        if (wanted := getattr(where, name)) is not None:
            yield keys.c[name] == wanted
    if where.name_prefix is not None:
        yield from _begins(where.name_prefix)
    if where.created_after is not None:
        yield keys.c.created_at >= where.created_after
    if where.created_before is not None:
        yield keys.c.created_at < where.created_before
    if where.expires_before is not None:
        yield keys.c.expires_at < where.expires_before
    use = exists().where(key_uses.c.key_id == keys.c.id)
    if where.last_used_before is not None:
        yield use.where(key_uses.c.last_used_at < where.last_used_before)
    if where.unused:
        yield ~use


def _statuses(
    statuses: frozenset[KeyStatus] | None, now: ColumnElement[Micros] | None
) -> Iterator[ColumnElement[bool]]:
    if statuses is None or KeyStatus.DELETED not in statuses:
        # Apart from the rest, and written like the indices of lists, so that they serve.
        yield keys.c.deleted_at.is_(None)
    if statuses is not None and now is not None:
        yield or_(*(_has(status, now) for status in sorted(statuses)))


def _has(status: KeyStatus, now: ColumnElement[Micros]) -> ColumnElement[bool]:
    """Return `lifecycle.status_of` as a condition."""
    here, alive = keys.c.deleted_at.is_(None), keys.c.revoked_at.is_(None)
    begun = or_(keys.c.not_before.is_(None), keys.c.not_before <= now)
    ended = or_(_reached(keys.c.expires_at, now), _reached(keys.c.grace_ends_at, now))
    works = and_(here, alive, begun, ~ended)
    return {
        KeyStatus.DELETED: keys.c.deleted_at.is_not(None),
        KeyStatus.REVOKED: and_(here, keys.c.revoked_at.is_not(None)),
        KeyStatus.NOT_YET_VALID: and_(here, alive, ~begun),
        KeyStatus.EXPIRED: and_(here, alive, begun, ended),
        KeyStatus.ACTIVE: and_(works, keys.c.grace_ends_at.is_(None)),
        KeyStatus.ROTATING: and_(works, keys.c.grace_ends_at.is_not(None)),
    }[status]


def _reached(instant: ColumnElement[Micros | None], now: ColumnElement[Micros]) -> ColumnElement[bool]:
    # Spelled out for NULL: an unknown could not be negated.
    return and_(instant.is_not(None), instant <= now)


def _begins(prefix: str) -> Iterator[ColumnElement[bool]]:
    # A range, which an index serves and which minds case in both databases; LIKE does neither in SQLite.
    yield keys.c.name >= prefix
    if (end := _behind(prefix)) is not None:
        yield keys.c.name < end


def _behind(prefix: str) -> str | None:
    """Return the first text, by code points, behind all that begin with the prefix."""
    while prefix:
        following = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= _LAST_CHARACTER:
            return prefix + chr(following)
    return None
