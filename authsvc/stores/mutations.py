"""
What changes keys and organizations.

Every change states in its own WHERE what it expects to find, so nothing is read between taking the
position and writing. A change that touches no row is rolled back, position and audit row included;
only then is it found out why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Table, Update, insert, update
from sqlalchemy.exc import IntegrityError

from authsvc.domain.administration import OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus
from authsvc.domain.errors import (
    AdministratorsChangedError,
    AlreadyExistsError,
    AuthsvcError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from authsvc.domain.keys import Revision
from authsvc.ports import NewKey, NewOrganization
from authsvc.stores import queries, rows
from authsvc.stores.change import Change, OneStatement, Target
from authsvc.stores.database import Database
from authsvc.stores.faults import is_orphan, is_taken
from authsvc.stores.prepared import Parameters, Prepared
from authsvc.stores.records import Effect, inserted, named
from authsvc.stores.rows import Row
from authsvc.stores.staying import GONE
from authsvc.stores.tables import keys, organizations
from authsvc.stores.trail import Event

NO_KEY = "there is no such key"
NO_ORGANIZATION = "there is no such organization"

ON_THIS_MACHINE = "cli"  # who made it, when no key did
ATTEMPTS = 5  # at a change that loses races against others

_CREATE_KEY = inserted("new", keys, keys.c.keys()).returning(*queries.WRITTEN_KEY)
_UNBORN: Parameters = dict.fromkeys(keys.c.keys())

_ACTIVE = OrganizationStatus.ACTIVE.value
_SUSPENDED = OrganizationStatus.SUSPENDED.value


class NothingTouchedError(Exception):
    """Rolls a transaction back; never leaves the store."""


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

    async def work(change: Change) -> Changed[Organization]:
        effect = insert(organizations).values(
            **stored,
            id=new.id,
            status=_ACTIVE,
            suspend_reason="",
            created_at=change.now,
            updated_at=change.now,
            version=1,
        )
        row = await write(change, effect.returning(*queries.ORGANIZATION), event, organization_target(new.id))
        return Changed(value=rows.organization(row), revision=change.revision)

    with conflicts("an organization with this name or id exists already"):
        return await database.change(actor, work)


async def suspend_organization(
    database: Database, id_: str, reason: str, actor: Actor, etag: str
) -> Changed[Organization]:
    """Suspend an organization; one that is suspended stays as it is."""
    found = await organization(database, id_, etag)
    if found["name"] == OPERATORS:
        raise FailedPreconditionError("the operators' organization cannot be suspended")
    effect = update(organizations).values(status=_SUSPENDED, suspend_reason=reason)
    try:
        if found["status"] == _ACTIVE:
            return await _switch(database, found, effect, reason, actor, etag)
    except NothingTouchedError:
        found = await organization(database, id_, etag)
    return await _standing(database, found, _SUSPENDED, actor)


async def reinstate_organization(
    database: Database, id_: str, reason: str, actor: Actor, etag: str
) -> Changed[Organization]:
    """End the suspension of an organization; one that is active stays as it is."""
    found = await organization(database, id_, etag)
    effect = update(organizations).values(status=_ACTIVE, suspend_reason="")
    try:
        if found["status"] == _SUSPENDED:
            return await _switch(database, found, effect, reason, actor, etag)
    except NothingTouchedError:
        found = await organization(database, id_, etag)
    return await _standing(database, found, _ACTIVE, actor)


async def create_key(database: Database, new: NewKey, actor: Actor, action: str, reason: str) -> Changed[Key]:
    """Store a key."""
    event = created(new, action, reason)

    def parameters(change: Change) -> Parameters:
        values = {**_UNBORN, **key_values(new), **key_birth(new, change, actor)}
        return named("new", values) | queries.written(new.id, new.organization_id)

    def result(change: Change, touched: Sequence[Row]) -> Changed[Key]:
        (row,) = touched
        if row["organization_status"] == OrganizationStatus.DELETED.value:
            raise FailedPreconditionError("the organization is deleted")
        return Changed(value=rows.key(row), revision=change.revision)

    target = Target(kind="key", key_id=new.id, organization_id=new.organization_id)
    with conflicts("a key with this id or text exists already", orphan=NO_ORGANIZATION):
        return await database.change(
            actor,
            OneStatement(
                effect=_CREATE_KEY, event=lambda _: event, target=target, parameters=parameters, result=result
            ),
        )


async def key(database: Database, key_id: str, *, deleted: bool = False) -> Row:
    """Return the row of a key that is not deleted, or may be."""
    statement = queries.KEY_OR_TOMBSTONE if deleted else queries.KEY_BY_ID
    return await one(database, statement, NO_KEY, {"key_id": key_id})


async def one(database: Database, statement: Prepared, absent: str, values: Parameters | None = None) -> Row:
    """Return the one row of a statement, or say that there is no such thing."""
    found = await database.rows(statement, values)
    if not found:
        raise NotFoundError(absent)
    return found[0]


async def organization(database: Database, id_: str, etag: str) -> Row:
    """Return the row of an organization of this version, if one is meant."""
    found = await one(database, queries.ORGANIZATION_BY_ID, NO_ORGANIZATION, {"organization": id_})
    check_etag(found, etag)
    return found


def check_etag(found: Row, etag: str) -> None:
    """Raise `ConflictError` unless the version is the one that is meant, or any is."""
    if etag not in ("", str(found["version"])):
        raise stale(found)


def lost(found: Row, etag: str, others: Sequence[Key] | None) -> AuthsvcError:
    """Say what a change of a key that is still there has lost to: another change of it, or of those who stay."""
    if others is not None and etag in ("", str(found["version"])):
        return AdministratorsChangedError(GONE)
    return stale(found)


def stale(found: Row) -> ConflictError:
    """Say that something is not what it was when it was read."""
    return ConflictError(f"it has changed since it was read: its etag is now {found['version']}")


async def write(
    change: Change,
    effect: Effect,
    event: Event,
    target: Target,
    parameters: Parameters | None = None,
) -> Row:
    """Write an effect on one row, with its records; raises `NothingTouchedError` where there is no such row."""
    touched = await change.write(effect, (event,), (target,), parameters=parameters)
    if not touched:
        raise NothingTouchedError
    return touched[0]


def same_version(table: Table, found: Row, etag: str) -> tuple[ColumnElement[bool], ...]:
    """Hold a change to the version that was read, where one is meant: others are not kept from it by any change."""
    return (table.c.version == found["version"],) if etag else ()


async def _switch(
    database: Database, found: Row, effect: Update, reason: str, actor: Actor, etag: str
) -> Changed[Organization]:
    # From active to suspended or back; the instant of the suspension tells one suspension from the next.
    suspends, since = found["status"] == _ACTIVE, found["suspended_at"]

    async def work(change: Change) -> Changed[Organization]:
        switched = effect.where(
            organizations.c.id == found["id"],
            organizations.c.status == found["status"],
            organizations.c.suspended_at.is_(None) if suspends else organizations.c.suspended_at == since,
            *same_version(organizations, found, etag),
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
        row = await write(change, switched.returning(*queries.ORGANIZATION), event, organization_target(found["id"]))
        return Changed(value=rows.organization(row), revision=change.revision)

    return await database.change(actor, work)


async def _standing(database: Database, found: Row, wanted: str, actor: Actor) -> Changed[Organization]:
    if found["status"] == OrganizationStatus.DELETED.value:
        raise FailedPreconditionError("the organization is deleted")
    if found["status"] != wanted:
        raise UnavailableError("the organization could not be changed; try again")
    return await unchanged(database, found, actor)


async def unchanged(database: Database, found: Row, actor: Actor) -> Changed[Organization]:
    """Return an organization that is as it was to be."""
    await database.remember(actor, found["id"], position(found))
    return Changed(value=rows.organization(found), revision=position(found))


def position(row: Row) -> Revision:
    """Return the position at which a row was read."""
    return Revision(epoch=row["epoch"], seq=row["seq"])


def key_event(action: str, row: Row, *, before: dict[str, Any], after: dict[str, Any], reason: str = "") -> Event:
    """Return what the trail says of a change of a key."""
    return Event(
        action=action,
        target_kind="key",
        target_id=row["id"],
        organization_id=row["organization_id"],
        before=before,
        after=after,
        reason=reason,
    )


def key_target(row: Row) -> Target:
    """Return a key for caches to drop."""
    return Target(kind="key", key_id=row["id"], organization_id=row["organization_id"])


def organization_target(id_: str) -> Target:
    """Return an organization, with all its keys, for caches to drop."""
    return Target(kind="organization", key_id=None, organization_id=id_)


def created(new: NewKey, action: str = "key.create", reason: str = "") -> Event:
    """Return what the trail says of a new key."""
    instants = {name: rows.instant_text(getattr(new, name)) for name in ("not_before", "expires_at")}
    return Event(
        action=action,
        target_kind="key",
        target_id=new.id,
        organization_id=new.organization_id,
        before=None,
        after=key_values(new) | instants,
        reason=reason,
    )


def key_birth(new: NewKey, change: Change, actor: Actor) -> dict[str, Any]:
    """Return the columns of a new key that its trail tells otherwise, or not at all."""
    return {
        "id": new.id,
        "digest": new.digest,
        "pepper_id": new.pepper_id,
        "algorithm": new.algorithm,
        "revoke_reason": "",
        "created_at": change.now,
        "created_by": actor.key_id or ON_THIS_MACHINE,
        "updated_at": change.now,
        "version": 1,
    }


def key_values(new: NewKey) -> dict[str, Any]:
    """Return the columns of a new key that its trail tells too."""
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
def conflicts(taken: str, orphan: str = "") -> Iterator[None]:
    """Say in our own words what the database's constraints refuse."""
    try:
        yield
    except IntegrityError as error:
        if is_taken(error):
            raise AlreadyExistsError(taken) from error
        if orphan and is_orphan(error):
            raise NotFoundError(orphan) from error
        raise
