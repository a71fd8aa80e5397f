"""
What changes keys and organizations.

Every change states in its own WHERE what it expects to find, so nothing is read between taking the
position and writing. A change that touches no row is rolled back, position and audit row included;
only then is it found out why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import RowMapping, Select, Update, insert, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.administration import OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus
from authsvc.domain.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from authsvc.domain.keys import Revision
from authsvc.ports import NewKey, NewOrganization
from authsvc.stores import queries, rows
from authsvc.stores.database import Change, Database, Effect, Event, Target
from authsvc.stores.faults import is_orphan, is_taken
from authsvc.stores.tables import keys, organizations

NO_KEY = "there is no such key"
NO_ORGANIZATION = "there is no such organization"

_ON_THIS_MACHINE = "cli"  # who made it, when no key did


_ACTIVE = OrganizationStatus.ACTIVE.value
_SUSPENDED = OrganizationStatus.SUSPENDED.value


class _NothingTouchedError(Exception):
    """Rolls a transaction back; never leaves this module."""


async def create_organization(database: Database, new: NewOrganization, actor: Actor) -> Changed[Organization]:
    """Store an organization."""
    stored: dict[str, Any] = {
        "name": new.name,
        "plan": new.plan,
        "networks": rows.networks_document(new.networks),
        "metadata": dict(new.metadata),
    }
    event = Event(
        action="organization.create",
        target_kind="organization",
        target_id=new.id,
        organization_id=new.id,
        before=None,
        after=stored,
        reason="",
    )
    with _conflicts("an organization with this name or id exists already"):
        async with database.change(actor) as change:
            effect = insert(organizations).values(
                **stored,
                id=new.id,
                status=_ACTIVE,
                suspend_reason="",
                created_at=change.now,
                updated_at=change.now,
                version=1,
            )
            row = await _write(change, effect.returning(*queries.ORGANIZATION), event, _organization_target(new.id))
            return Changed(value=rows.organization(row), revision=change.revision)


async def suspend_organization(database: Database, id_: str, reason: str, actor: Actor) -> Changed[Organization]:
    """Suspend an organization; one that is suspended stays as it is."""
    found = await _organization(database, id_)
    if found["name"] == OPERATORS:
        raise FailedPreconditionError("the operators' organization cannot be suspended")
    effect = update(organizations).values(status=_SUSPENDED, suspend_reason=reason)
    try:
        if found["status"] == _ACTIVE:
            return await _switch(database, found, effect, reason, actor)
    except _NothingTouchedError:
        found = await _organization(database, id_)
    return _standing(found, _SUSPENDED)


async def reinstate_organization(database: Database, id_: str, reason: str, actor: Actor) -> Changed[Organization]:
    """End the suspension of an organization; one that is active stays as it is."""
    found = await _organization(database, id_)
    effect = update(organizations).values(status=_ACTIVE, suspend_reason="")
    try:
        if found["status"] == _SUSPENDED:
            return await _switch(database, found, effect, reason, actor)
    except _NothingTouchedError:
        found = await _organization(database, id_)
    return _standing(found, _ACTIVE)


async def create_key(database: Database, new: NewKey, actor: Actor) -> Changed[Key]:
    """Store a key."""
    stored = _key_values(new)
    after = stored | {
        "not_before": rows.instant_text(new.not_before),
        "expires_at": rows.instant_text(new.expires_at),
    }
    event = Event(
        action="key.create",
        target_kind="key",
        target_id=new.id,
        organization_id=new.organization_id,
        before=None,
        after=after,
        reason="",
    )
    with _conflicts("a key with this id or text exists already", orphan=NO_ORGANIZATION):
        async with database.change(actor) as change:
            effect = insert(keys).values(
                **stored,
                id=new.id,
                digest=new.digest,
                pepper_id=new.pepper_id,
                algorithm=new.algorithm,
                revoke_reason="",
                created_at=change.now,
                created_by=actor.key_id or _ON_THIS_MACHINE,
                updated_at=change.now,
                version=1,
            )
            target = Target(kind="key", key_id=new.id, organization_id=new.organization_id)
            row = await _write(
                change, effect.returning(*queries.written_key(new.id, new.organization_id)), event, target
            )
            if row["organization_status"] == OrganizationStatus.DELETED.value:
                raise FailedPreconditionError("the organization is deleted")
            return Changed(value=rows.key(row), revision=change.revision)


async def revoke_key(database: Database, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
    """Revoke a key; one that is revoked stays as it is."""
    found = await one(database, queries.key_by_id(key_id), NO_KEY)
    if found["revoked_at"] is None:
        try:
            return await _revoke(database, found, reason, actor)
        except _NothingTouchedError:  # somebody else revoked or deleted it meanwhile
            found = await one(database, queries.key_by_id(key_id), NO_KEY)
    if found["revoked_at"] is None:
        # A live key is never reported as revoked.
        raise UnavailableError("the key could not be revoked; try again")
    return Changed(value=rows.key(found), revision=_position(found))


async def one(database: Database, statement: Select[Any], absent: str) -> RowMapping:
    """Return the one row of a statement, or say that there is no such thing."""
    found = await database.rows(statement)
    if not found:
        raise NotFoundError(absent)
    return found[0]


async def _revoke(database: Database, found: RowMapping, reason: str, actor: Actor) -> Changed[Key]:
    async with database.change(actor) as change:
        effect = (
            update(keys)
            .where(keys.c.id == found["id"], keys.c.revoked_at.is_(None), keys.c.deleted_at.is_(None))
            .values(revoked_at=change.now, revoke_reason=reason, updated_at=change.now, version=keys.c.version + 1)
            .returning(*queries.written_key(found["id"], found["organization_id"]))
        )
        event = Event(
            action="key.revoke",
            target_kind="key",
            target_id=found["id"],
            organization_id=found["organization_id"],
            before={"revoked_at": None},
            after={"revoked_at": rows.instant_text(change.now)},
            reason=reason,
        )
        target = Target(kind="key", key_id=found["id"], organization_id=found["organization_id"])
        row = await _write(change, effect, event, target)
        return Changed(value=rows.key(row), revision=change.revision)


async def _switch(
    database: Database, found: RowMapping, effect: Update, reason: str, actor: Actor
) -> Changed[Organization]:
    # From active to suspended or back; the instant of the suspension tells one suspension from the next.
    suspends, since = found["status"] == _ACTIVE, found["suspended_at"]
    async with database.change(actor) as change:
        effect = effect.where(
            organizations.c.id == found["id"],
            organizations.c.status == found["status"],
            organizations.c.suspended_at.is_(None) if suspends else organizations.c.suspended_at == since,
        ).values(
            suspended_at=change.now if suspends else None,
            updated_at=change.now,
            version=organizations.c.version + 1,
        )
        event = Event(
            action="organization.suspend" if suspends else "organization.reinstate",
            target_kind="organization",
            target_id=found["id"],
            organization_id=found["id"],
            before={"status": found["status"], "suspended_at": rows.instant_text(since)},
            after={
                "status": _SUSPENDED if suspends else _ACTIVE,
                "suspended_at": rows.instant_text(change.now) if suspends else None,
            },
            reason=reason,
        )
        row = await _write(change, effect.returning(*queries.ORGANIZATION), event, _organization_target(found["id"]))
        return Changed(value=rows.organization(row), revision=change.revision)


async def _write(change: Change, effect: Effect, event: Event, target: Target) -> RowMapping:
    row = await change.write(effect, event, (target,))
    if row is None:
        raise _NothingTouchedError
    return row


async def _organization(database: Database, id_: str) -> RowMapping:
    return await one(database, queries.organization_by_id(id_), NO_ORGANIZATION)


def _standing(found: RowMapping, wanted: str) -> Changed[Organization]:
    if found["status"] == OrganizationStatus.DELETED.value:
        raise FailedPreconditionError("the organization is deleted")
    if found["status"] != wanted:
        raise UnavailableError("the organization could not be changed; try again")
    return Changed(value=rows.organization(found), revision=_position(found))


def _position(row: RowMapping) -> Revision:
    return Revision(epoch=row["epoch"], seq=row["seq"])


def _organization_target(id_: str) -> Target:
    return Target(kind="organization", key_id=None, organization_id=id_)


def _key_values(new: NewKey) -> dict[str, Any]:
    return {
        "api": new.api,
        "organization_id": new.organization_id,
        "kind": new.kind,
        "environment": new.environment,
        "scopes": list(new.scopes),
        "full_access": new.full_access,
        "origins": rows.origins_document(new.origins),
        "networks": rows.networks_document(new.networks),
        "limits": rows.limits_document(new.limits),
        "metadata": dict(new.metadata),
        "not_before": new.not_before,
        "expires_at": new.expires_at,
        "name": new.name,
        "hint": new.hint,
    }


@contextmanager
def _conflicts(taken: str, orphan: str = "") -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if is_taken(error):
            raise AlreadyExistsError(taken) from error
        if orphan and is_orphan(error):
            raise NotFoundError(orphan) from error
        raise
