"""What changes of keys and organizations beside their beginnings, revocations and suspensions: see `mutations`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, insert, or_, select, update

from authsvc.domain.administration import OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus, Rotated
from authsvc.domain.errors import AlreadyExistsError, FailedPreconditionError
from authsvc.domain.keys import Micros, Revision
from authsvc.domain.updating import Update
from authsvc.ports import NewKey, OrganizationUpdate, Recalled
from authsvc.stores import queries, rows
from authsvc.stores.change import Change
from authsvc.stores.database import Database
from authsvc.stores.mutations import (
    NothingTouchedError,
    check_etag,
    conflicts,
    created,
    key,
    key_birth,
    key_event,
    key_target,
    key_values,
    lost,
    organization,
    organization_target,
    same_version,
    stale,
    unchanged,
    write,
)
from authsvc.stores.prepared import Parameters, Prepared
from authsvc.stores.records import REMEMBERED
from authsvc.stores.rows import Row
from authsvc.stores.staying import one_stays
from authsvc.stores.tables import keys, organizations
from authsvc.stores.trail import Event

_DELETED = OrganizationStatus.DELETED.value
_INSTANTS = ("not_before", "expires_at")
# What a key has that was made in this instant.
_NEVER: Mapping[str, None] = dict.fromkeys(
    (
        "last_used_at",
        "last_used_address",
        "last_used_agent",
        "successor_id",
        "grace_ends_at",
        "revoked_at",
        "deleted_at",
        "import_source",
        "external_id",
        "assurance",
    )
)


async def recall(database: Database, noted: Prepared, actor: Actor) -> Recalled | None:
    """Return what is noted under the actor's request id; `noted` is `queries.recall_statement`."""
    asked = {"noted_actor": actor.key_id, "noted_request_id": actor.request_id}
    for row in await database.rows(noted, asked):
        if row["now"] - row["created_at"] >= REMEMBERED:
            return None
        if row["body_hash"] != actor.body:
            raise AlreadyExistsError("request_id: it was used for another request")
        return Recalled(target_id=row["target_id"], revision=Revision(epoch=row["epoch"], seq=row["seq"]))
    return None


async def update_key(
    database: Database, key_id: str, etag: str, new: Update, actor: Actor, others: Sequence[Key] | None
) -> Changed[Key]:
    """Change a key of the version that is meant; the trail tells the columns that differ."""
    found = await _key(database, key_id, etag)
    if found["revoked_at"] is not None:
        raise FailedPreconditionError("the key is revoked")
    values = _updated(new)
    instants = {name: rows.instant_text(found[name]) for name in _INSTANTS}
    told = values | {name: rows.instant_text(values[name]) for name in _INSTANTS}
    before, after = _difference({**found, **instants}, told)
    event = key_event("key.update", found, before=before, after=after)

    async def work(change: Change) -> Changed[Key]:
        effect = (
            update(keys)
            .where(keys.c.id == key_id, keys.c.version == found["version"], keys.c.deleted_at.is_(None))
            .where(*one_stays(others))
            .values(**values, updated_at=change.now, version=keys.c.version + 1)
            .returning(*queries.WRITTEN_KEY)
        )
        row = await write(change, effect, event, key_target(found), _written(found))
        # An organization is deleted only when none of its keys lives, and none comes to life again.
        if row["organization_status"] == _DELETED:
            raise FailedPreconditionError("the organization is deleted")
        return Changed(value=rows.key(row), revision=change.revision)

    try:
        return await database.change(actor, work)
    except NothingTouchedError:
        raise lost(await _key(database, key_id), str(found["version"]), others) from None


async def rotate_key(
    database: Database, key_id: str, etag: str, new: NewKey, grace: Micros, actor: Actor
) -> Changed[Rotated]:
    """Store the successor, and end the key of the version that is meant after the grace."""
    found = await _key(database, key_id, etag)
    try:
        with conflicts("a key with this id or text exists already"):
            return await _rotate(database, found, new, grace, actor)
    except NothingTouchedError:
        raise stale(await _key(database, key_id)) from None


async def delete_key(
    database: Database, key_id: str, reason: str, actor: Actor, etag: str, others: Sequence[Key] | None
) -> Changed[Key]:
    """Hide a key and end it."""
    found = await _key(database, key_id, etag)

    async def work(change: Change) -> Changed[Key]:
        effect = (
            update(keys)
            .where(keys.c.id == key_id, keys.c.deleted_at.is_(None), *same_version(keys, found, etag))
            .where(*one_stays(others))
            .values(deleted_at=change.now, updated_at=change.now, version=keys.c.version + 1)
            .returning(*queries.WRITTEN_KEY)
        )
        after = {"deleted_at": rows.instant_text(change.now)}
        event = key_event("key.delete", found, before={"deleted_at": None}, after=after, reason=reason)
        row = await write(change, effect, event, key_target(found), _written(found))
        return Changed(value=rows.key(row), revision=change.revision)

    try:
        return await database.change(actor, work)
    except NothingTouchedError:
        raise lost(await _key(database, key_id), etag, others) from None


async def update_organization(
    database: Database, id_: str, etag: str, new: OrganizationUpdate, actor: Actor
) -> Changed[Organization]:
    """Change an organization of the version that is meant; the trail tells the columns that differ."""
    found = await organization(database, id_, etag)
    if found["status"] == _DELETED:
        raise FailedPreconditionError("the organization is deleted")
    values = {
        "name": new.name,
        "plan": new.plan,
        "networks": rows.networks_document(new.networks),
        "metadata": dict(new.metadata),
    }
    before, after = _difference(found, values)
    try:
        with conflicts("name: another organization has it"):
            event = _organization_event("update", found, before, after)
            return await _change(
                database, found, values, event, actor, lambda _: (organizations.c.version == found["version"],)
            )
    except NothingTouchedError:
        raise stale(await organization(database, id_, "")) from None


async def delete_organization(
    database: Database, id_: str, reason: str, actor: Actor, etag: str
) -> Changed[Organization]:
    """Delete an organization none of whose keys lives; one that is deleted stays as it is."""
    found = await organization(database, id_, etag)
    if found["name"] == OPERATORS:
        raise FailedPreconditionError("the operators' organization cannot be deleted")
    if found["status"] == _DELETED:
        return await unchanged(database, found, actor)
    await _refuse_living(database, id_)
    event = _organization_event("delete", found, {"status": found["status"]}, {"status": _DELETED}, reason)

    def expected(now: Micros) -> tuple[ColumnElement[bool], ...]:
        return (
            organizations.c.status == found["status"],
            ~exists().where(*_living(id_, now)),
            *same_version(organizations, found, etag),
        )

    try:
        return await _change(database, found, {"status": _DELETED}, event, actor, expected)
    except NothingTouchedError:
        await _refuse_living(database, id_)
        found = await organization(database, id_, etag)
        if found["status"] == _DELETED:
            return await unchanged(database, found, actor)
        raise stale(found) from None


async def _change(
    database: Database,
    found: Row,
    values: dict[str, Any],
    event: Event,
    actor: Actor,
    expected: Callable[[Micros], Iterable[ColumnElement[bool]]],
) -> Changed[Organization]:
    async def work(change: Change) -> Changed[Organization]:
        effect = (
            update(organizations)
            .where(organizations.c.id == found["id"], *expected(change.now))
            .values(**values, updated_at=change.now, version=organizations.c.version + 1)
        )
        row = await write(change, effect.returning(*queries.ORGANIZATION), event, organization_target(found["id"]))
        return Changed(value=rows.organization(row), revision=change.revision)

    return await database.change(actor, work)


def _written(found: Row) -> Parameters:
    return queries.written(found["id"], found["organization_id"])


async def _rotate(database: Database, found: Row, new: NewKey, grace: Micros, actor: Actor) -> Changed[Rotated]:
    async def work(change: Change) -> Changed[Rotated]:
        # A grace that runs is never lengthened: at its end the key is dead for good.
        ends = min(change.now + grace, found["grace_ends_at"] or change.now + grace)
        effect = (
            update(keys)
            .where(keys.c.id == found["id"], keys.c.version == found["version"])
            .where(keys.c.revoked_at.is_(None), keys.c.deleted_at.is_(None))
            .values(successor_id=new.id, grace_ends_at=ends, updated_at=change.now, version=keys.c.version + 1)
            .returning(*queries.WRITTEN_KEY)
        )
        successor = {**key_values(new), **key_birth(new, change, actor), "predecessor_id": found["id"]}
        event = key_event(
            "key.rotate",
            found,
            before={
                "successor_id": found["successor_id"],
                "grace_ends_at": rows.instant_text(found["grace_ends_at"]),
            },
            after={"successor_id": new.id, "grace_ends_at": rows.instant_text(ends)},
        )
        targets = [key_target({"id": id_, "organization_id": new.organization_id}) for id_ in (found["id"], new.id)]
        also = (insert(keys).values(**successor),)
        touched = await change.write(effect, (created(new), event), targets, also, parameters=_written(found))
        if not touched:
            raise NothingTouchedError
        if touched[0]["organization_status"] == _DELETED:
            raise FailedPreconditionError("the organization is deleted")
        return Changed(
            value=Rotated(key=rows.key({**touched[0], **_NEVER, **successor}), predecessor=rows.key(touched[0])),
            revision=change.revision,
        )

    return await database.change(actor, work, events=2)


async def _key(database: Database, key_id: str, etag: str = "") -> Row:
    found = await key(database, key_id)
    check_etag(found, etag)
    return found


async def _refuse_living(database: Database, organization_id: str) -> None:
    living = select(keys.c.id).where(*_living(organization_id, database.now())).limit(1)
    for row in await database.rows(living):
        raise FailedPreconditionError(f"a key of the organization lives: {row['id']}")


def _living(organization_id: str, now: Micros | ColumnElement[Micros]) -> tuple[ColumnElement[bool], ...]:
    # Keys that do not work yet will.
    return (
        keys.c.organization_id == organization_id,
        keys.c.deleted_at.is_(None),
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > now),
        or_(keys.c.grace_ends_at.is_(None), keys.c.grace_ends_at > now),
    )


def _organization_event(
    verb: str, found: Row, before: dict[str, Any], after: dict[str, Any], reason: str = ""
) -> Event:
    return Event(
        action=f"organization.{verb}",
        target_kind="organization",
        target_id=found["id"],
        organization_id=found["id"],
        before=before,
        after=after,
        reason=reason,
    )


def _updated(new: Update) -> dict[str, Any]:
    terms = new.terms
    return {
        "name": new.name,
        "metadata": dict(new.metadata),
        "scopes": list(terms.scopes),
        "full_access": terms.full_access,
        "origins": rows.origins_document(terms.origins),
        "networks": rows.networks_document(terms.networks),
        "limits": rows.limits_document(terms.limits),
        "not_before": terms.not_before,
        "expires_at": terms.expires_at,
    }


def _difference(before: Mapping[Any, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name, value in after.items() if before[name] != value]
    return {name: before[name] for name in names}, {name: after[name] for name in names}
