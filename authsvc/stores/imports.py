"""
Batches of imported keys. On PostgreSQL they arrive by COPY, on connections of their own.

The rows are written before the position is taken, so nobody waits for them: between the position and the
commit there are two round trips, as for any change.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, Executable, Table, any_, func, insert, select, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from authsvc.domain.administration import OPERATORS, Actor, OrganizationStatus
from authsvc.domain.errors import ConflictError, UnavailableError
from authsvc.domain.importing import Import
from authsvc.domain.keys import Micros
from authsvc.ports import PRESENT, ImportBatch, ImportedBatch
from authsvc.stores.change import Target
from authsvc.stores.columns import timestamp
from authsvc.stores.database import Database
from authsvc.stores.faults import is_taken
from authsvc.stores.mutations import ATTEMPTS, ON_THIS_MACHINE
from authsvc.stores.prepared import driver_of
from authsvc.stores.tables import former_digests, keys, organizations
from authsvc.stores.trail import Event

NO_ORGANIZATION = "organization_id: no such organization"
DELETED = "organization_id: the organization is deleted"
OPERATORS_ONLY = f"organization_id: {OPERATORS} holds no keys of other APIs"
TAKEN = "digest: this key exists already, under another id or source"

_LOCK = 0x696D70  # any number, the same for all: tells these locks from others
_FORMS = (keys.c.digest, former_digests.c.digest)
_NEGATIVES = Target(kind="negatives", key_id=None, organization_id=None)

Execute = Callable[[Executable], Awaitable[Sequence[Any]]]


class _OvertakenError(Exception):
    """Something that was looked at has changed: the transaction is rolled back and begun anew."""


async def examine(database: Database, batch: ImportBatch) -> Sequence[str | None]:
    """Return what storing the batch would make of each key."""
    return await _causes(database, database.rows, batch)


async def store(database: Database, batch: ImportBatch, actor: Actor) -> ImportedBatch:
    """Store those keys of the batch that can be."""
    for _ in range(ATTEMPTS):
        try:
            return await _store(database, batch, actor)
        except _OvertakenError:
            continue
        except psycopg.errors.UniqueViolation:
            continue  # another import, or a new key, came in between
        except IntegrityError as error:
            if not is_taken(error):
                raise
    raise UnavailableError("the keys could not be imported; try again")


async def _store(database: Database, batch: ImportBatch, actor: Actor) -> ImportedBatch:
    async with database.transaction() as connection:
        await _claim(database, connection, batch.source)

        async def execute(statement: Executable) -> Sequence[Any]:
            return (await connection.execute(statement)).mappings().all()

        causes = await _causes(database, execute, batch)
        stored = [key for key, cause in zip(batch.keys, causes, strict=True) if cause is None]
        if not stored:
            return ImportedBatch(causes=causes, revision=None)
        now = (await execute(select(database.now().label("now"))))[0]["now"]
        write = _copy if database.postgresql else _insert
        await write(connection, batch, stored, actor, now)
        change = await database.position(connection, actor)
        owners = {key.organization_id for key in stored}
        deleted = _number_of(
            organizations,
            _among(database, organizations.c.id, owners),
            organizations.c.status == OrganizationStatus.DELETED.value,
        )
        # Another import's, that left the table of keys since this one looked: see `forms.replace_form`.
        digests = [key.digest for key in stored]
        former = _number_of(former_digests, _digests_among(database, former_digests.c.digest, digests))
        overtaken = select((deleted + former).label("overtaken"))
        (found,) = await change.write(overtaken, (_event(batch, len(stored)),), (_NEGATIVES,))
        if found["overtaken"]:
            raise _OvertakenError
        return ImportedBatch(causes=causes, revision=change.revision)


def _number_of(table: Table, *where: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count()).select_from(table).where(*where).scalar_subquery()


async def _claim(database: Database, connection: AsyncConnection, source: str) -> None:
    """Keep other processes from the source until the end of the transaction; SQLite has one writer anyway."""
    if not database.postgresql:
        return
    name = func.hashtext(source)
    if not (await connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK, name)))).scalar_one():
        raise ConflictError("another import of this source is running")


async def _causes(database: Database, execute: Execute, batch: ImportBatch) -> Sequence[str | None]:
    ids = [key.external_id for key in batch.keys]
    digests = [digest for key in batch.keys for digest in key.digests]
    owners = {key.organization_id for key in batch.keys}
    known = select(keys.c.external_id).where(
        keys.c.import_source == batch.source, _among(database, keys.c.external_id, ids)
    )
    present = {row["external_id"] for row in await execute(known)}
    # Under which a key is stored, or was until its text was seen.
    found = await execute(
        union_all(
            *(select(column.label("digest")).where(_digests_among(database, column, digests)) for column in _FORMS)
        )
    )
    taken = {bytes(row["digest"]) for row in found}
    found = await execute(
        select(organizations.c.id, organizations.c.name, organizations.c.status).where(
            _among(database, organizations.c.id, owners)
        )
    )
    unfit = {row["id"]: _unfit(row["name"], row["status"]) for row in found}
    return [_cause(key, present, taken, unfit) for key in batch.keys]


def _cause(key: Import, present: set[str], taken: set[bytes], unfit: dict[str, str | None]) -> str | None:
    if key.external_id in present:
        return PRESENT
    if (owner := unfit.get(key.organization_id, NO_ORGANIZATION)) is not None:
        return owner
    return None if taken.isdisjoint(key.digests) else TAKEN


def _unfit(name: str, status: str) -> str | None:
    if status == OrganizationStatus.DELETED.value:
        return DELETED
    return OPERATORS_ONLY if name == OPERATORS else None


def _among(database: Database, column: ColumnElement[Any], texts: Collection[str]) -> ColumnElement[bool]:
    """Hold a column to texts without blanks."""
    if not database.postgresql:
        return column.in_(list(texts))
    # One parameter, which is cheap to write: with one for each text the statement would be compiled anew each time.
    return column == any_(func.string_to_array(" ".join(texts), " "))


def _digests_among(database: Database, column: ColumnElement[bytes], digests: Sequence[bytes]) -> ColumnElement[bool]:
    if not database.postgresql:
        return column.in_(digests)
    listed = func.unnest(func.string_to_array(" ".join(digest.hex() for digest in digests), " "))
    return column == any_(func.array(select(func.decode(listed, "hex")).scalar_subquery()))


def _event(batch: ImportBatch, count: int) -> Event:
    return Event(
        action="key.import",
        target_kind="import",
        target_id=batch.source,
        organization_id="",
        before=None,
        after={
            "source": batch.source,
            "api": batch.api,
            "assurance": batch.assurance.value,
            "count": count,
            "digest": batch.digest,
        },
        reason="",
    )


async def _insert(
    connection: AsyncConnection, batch: ImportBatch, stored: Sequence[Import], actor: Actor, now: Micros
) -> None:
    await connection.execute(insert(keys), [_row(batch, key, actor, now) for key in stored])


async def _copy(
    connection: AsyncConnection, batch: ImportBatch, stored: Sequence[Import], actor: Actor, now: Micros
) -> None:
    driver = driver_of(connection)
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError("not a connection of psycopg")
    before = "\t".join(map(_copied, (batch.api, batch.source, _maker(actor), "", 1, [], {})))
    at = _copied(timestamp(now))
    columns = "api, import_source, created_by, revoke_reason, version, limits, metadata, created_at, updated_at"
    lines = "".join(f"{before}\t{at}\t{at}\t{_line(key)}\n" for key in stored)
    async with driver.cursor() as cursor, cursor.copy(f"COPY keys ({columns}, {_OWN_COLUMNS}) FROM STDIN") as copy:
        await copy.write(lines)


_OWN_COLUMNS = (
    "id, digest, pepper_id, algorithm, organization_id, kind, environment, scopes, full_access, expires_at, name, "
    "hint, external_id, assurance"
)


def _line(key: Import) -> str:
    terms = key.terms
    # Ids, digests and algorithms have a form of their own, in which there is nothing to escape.
    return "\t".join(
        (
            key.id,
            "\\\\x" + key.digest.hex(),
            key.pepper_id,
            key.algorithm,
            key.organization_id,
            terms.kind,
            _copied(terms.environment),
            _copied(list(terms.scopes)),
            "t" if terms.full_access else "f",
            _copied(timestamp(terms.expires_at)),
            _copied(key.name),
            _copied(key.hint),
            _copied(key.external_id),
            _copied(key.assurance),
        )
    )


def _copied(value: object) -> str:
    """Write a value as COPY reads it."""
    if value is None:
        return "\\N"
    text = json.dumps(value) if isinstance(value, (list, dict)) else str(value)
    return text.translate(_ESCAPES) if "\\" in text or not text.isprintable() else text


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _maker(actor: Actor) -> str:
    return actor.key_id or ON_THIS_MACHINE


def _row(batch: ImportBatch, key: Import, actor: Actor, now: Micros) -> dict[str, Any]:
    terms = key.terms
    return {
        "id": key.id,
        "digest": key.digest,
        "pepper_id": key.pepper_id,
        "algorithm": key.algorithm,
        "api": batch.api,
        "organization_id": key.organization_id,
        "kind": terms.kind,
        "environment": terms.environment,
        "scopes": list(terms.scopes),
        "full_access": terms.full_access,
        "limits": [],
        "metadata": {},
        "expires_at": terms.expires_at,
        "revoke_reason": "",
        "name": key.name,
        "hint": key.hint,
        "import_source": batch.source,
        "external_id": key.external_id,
        "assurance": key.assurance,
        "created_at": now,
        "created_by": _maker(actor),
        "updated_at": now,
        "version": 1,
    }
