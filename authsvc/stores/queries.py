"""What is read: the columns of each kind of row, and the statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Label, LargeBinary, Select, bindparam, false, func, or_, select

from authsvc.domain.administration import OrganizationStatus
from authsvc.domain.keys import KeyRecord, Micros
from authsvc.ports import KeyFilter
from authsvc.stores.columns import Text
from authsvc.stores.filters import conditions
from authsvc.stores.prepared import Parameters, Prepared
from authsvc.stores.records import parameter
from authsvc.stores.tables import change_head, idempotency, key_uses, keys, organizations

# Everything but the secret-derived columns, which only a load compares.
KEY: tuple[Column[Any], ...] = tuple(
    column for column in keys.c if column.name not in ("digest", "pepper_id", "algorithm")
)
# What a load asks for: all that policy reads, and nothing else.
_RECORD: tuple[Column[Any], ...] = tuple(keys.c[field.name] for field in fields(KeyRecord) if field.name in keys.c)
_FORM: tuple[Column[Any], ...] = (keys.c.digest, keys.c.pepper_id, keys.c.algorithm)
ORGANIZATION: tuple[Column[Any], ...] = tuple(organizations.c)

_OWNER_LABELS = {name: f"organization_{name}" for name in ("status", "networks", "plan")}
_OWNER: tuple[ColumnElement[Any], ...] = tuple(
    organizations.c[name].label(label) for name, label in _OWNER_LABELS.items()
)
_USE: tuple[Label[Any], ...] = (
    key_uses.c.last_used_at.label("last_used_at"),
    key_uses.c.address.label("last_used_address"),
    key_uses.c.agent.label("last_used_agent"),
)
_HEAD: tuple[Column[Any], ...] = (change_head.c.epoch, change_head.c.seq)


def _written_key() -> tuple[ColumnElement[Any], ...]:
    owner = (
        select(organizations.c[name])
        .where(organizations.c.id == bindparam("written_owner", type_=Text))
        .scalar_subquery()
        .label(label)
        for name, label in _OWNER_LABELS.items()
    )
    use = (
        select(each.element)
        .where(key_uses.c.key_id == bindparam("written_key", type_=Text))
        .scalar_subquery()
        .label(each.name)
        for each in _USE
    )
    return (*KEY, *owner, *use)


# What RETURNING tells of one key: its own columns, and the rest from where it stands; `written` names the key.
WRITTEN_KEY = _written_key()


def written(key_id: str, organization_id: str) -> Parameters:
    """Return the parameters of `WRITTEN_KEY`."""
    return {"written_key": key_id, "written_owner": organization_id}


@lru_cache(maxsize=32)
def load_statement(digests: int, *, postgresql: bool) -> Prepared:
    """
    Return position and records in one statement, so that they are of one instant; `looked_for` has its parameters.

    For each number of digests it is another one. With an array of them PostgreSQL, which does not know how many are in
    it, would plan each load anew, for longer than it runs.

    A row always comes back, with NULLs for a key when none matches. A standby may be behind its
    primary without knowing how far, so it is told apart here.
    """
    standby: ColumnElement[bool] = func.pg_is_in_recovery() if postgresql else false()
    return Prepared(
        select(*_HEAD, standby.label("standby"), *_FORM, *_RECORD, *_OWNER)
        .select_from(change_head)
        .outerjoin(
            keys,
            or_(false(), *(keys.c.digest == bindparam(name, type_=LargeBinary) for name in _digest_names(digests))),
        )
        .outerjoin(organizations, organizations.c.id == keys.c.organization_id)
        .where(change_head.c.id == 1)
    )


def looked_for(digests: Sequence[bytes]) -> Parameters:
    """Return the parameters of `load_statement`."""
    return dict(zip(_digest_names(len(digests)), digests, strict=True))


def _digest_names(count: int) -> Sequence[str]:
    return [f"digest_{number}" for number in range(count)]


def head_statement(now: ColumnElement[Micros], *, postgresql: bool) -> Prepared:
    """Return the end of the change log and the database's time."""
    standby: ColumnElement[bool] = func.pg_is_in_recovery() if postgresql else false()
    return Prepared(select(*_HEAD, standby.label("standby"), now.label("now")).where(change_head.c.id == 1))


def recall_statement(now: ColumnElement[Micros]) -> Prepared:
    """Return what is noted under an actor's request id, by the parameters that `records.NOTE` has for them."""
    return Prepared(
        select(change_head.c.epoch, *idempotency.c, now.label("now"))
        .join(change_head, change_head.c.id == 1)
        .where(*(idempotency.c[name] == parameter("noted", idempotency.c[name]) for name in ("actor", "request_id")))
    )


def keys_by_id(key_ids: Sequence[str]) -> Select[Any]:
    """Return the keys that are not deleted, in the order of their ids."""
    return _keys().where(keys.c.id.in_(key_ids), keys.c.deleted_at.is_(None)).order_by(keys.c.id)


def key_by_digest(digests: list[bytes]) -> Select[Any]:
    """Return the keys stored under any of the digests, whatever their status."""
    return _keys().add_columns(keys.c.digest).where(keys.c.digest.in_(digests))


def key_page(where: KeyFilter, limit: int, after: str | None, now: ColumnElement[Micros] | None = None) -> Select[Any]:
    """
    Return keys in the order of their ids; `now` is the database's time, for filters by status.

    The page is cut before anything is joined to it: however a planner goes about the joins, they are
    for the rows of one page.
    """
    cut = select(*KEY).where(*conditions(where, now)).order_by(keys.c.id).limit(limit)
    if after is not None:
        cut = cut.where(keys.c.id > after)
    page = cut.subquery("page")
    return (
        select(*page.c, *_OWNER, *_USE)
        .join(organizations, organizations.c.id == page.c.organization_id)
        .outerjoin(key_uses, key_uses.c.key_id == page.c.id)
        .order_by(page.c.id)
    )


def organization_page(limit: int, after: str | None) -> Select[Any]:
    """Return organizations that are not deleted, in the order of their ids."""
    page = _organizations().where(_not_deleted()).order_by(organizations.c.id).limit(limit)
    return page if after is None else page.where(organizations.c.id > after)


def _keys() -> Select[Any]:
    return (
        select(*_HEAD, *KEY, *_OWNER, *_USE)
        .select_from(change_head)
        .join(keys, change_head.c.id == 1)
        .join(organizations, organizations.c.id == keys.c.organization_id)
        .outerjoin(key_uses, key_uses.c.key_id == keys.c.id)
    )


# A key by the parameter `key_id`, with the position it was read at; the second one may be deleted.
_KEY_OR_TOMBSTONE = _keys().where(keys.c.id == bindparam("key_id", type_=Text))
KEY_OR_TOMBSTONE = Prepared(_KEY_OR_TOMBSTONE)
KEY_BY_ID = Prepared(_KEY_OR_TOMBSTONE.where(keys.c.deleted_at.is_(None)))


def _organizations() -> Select[Any]:
    return select(*_HEAD, *ORGANIZATION).select_from(change_head).join(organizations, change_head.c.id == 1)


def _not_deleted() -> ColumnElement[bool]:
    # Written like the unique index on names, so that it serves.
    return organizations.c.status != OrganizationStatus.DELETED.value


def _organization_by_any() -> Select[Any]:
    wanted = bindparam("organization", type_=Text)
    by_id, by_name = organizations.c.id == wanted, (organizations.c.name == wanted) & _not_deleted()
    # An id is an id, even when somebody named another organization like it.
    return _organizations().where(or_(by_id, by_name)).order_by(by_id.desc()).limit(1)


# An organization by the parameter `organization`, with the position it was read at: by its id, deleted or not; or by
# its id, else the one that is not deleted by its name.
ORGANIZATION_BY_ID = Prepared(_organizations().where(organizations.c.id == bindparam("organization", type_=Text)))
ORGANIZATION_BY_ANY = Prepared(_organization_by_any())
