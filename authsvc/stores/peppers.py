"""
Whether the process has this database's peppers.

A wrong pepper would answer every customer with "invalid key"; so a few bytes derived from each pepper
stand beside the keys, and a process that derives others does not start.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import AnyPepper, PepperSet
from authsvc.stores import audit_keys
from authsvc.stores.database import Database
from authsvc.stores.faults import is_taken
from authsvc.stores.tables import keys, pepper_checks


async def verify(database: Database, accepted: PepperSet) -> None:
    """Compare the accepted peppers with those this database knows, and remember the new ones."""
    known = await _known(database)
    _compare(accepted, known)
    await _refuse_missing(database, accepted, known)
    for pepper in accepted.all:
        if pepper.id not in known:
            await _remember(database, pepper)
    # Another process may have remembered its own meanwhile.
    _compare(accepted, await _known(database))
    await audit_keys.remember(database, accepted)


async def introduce(database: Database, accepted: PepperSet) -> None:
    """Compare and remember the accepted peppers, whether or not keys need others: for work on a stopped service."""
    known = await _known(database)
    _compare(accepted, known)
    for pepper in accepted.all:
        if pepper.id not in known:
            await _remember(database, pepper)
    await audit_keys.remember(database, accepted)


async def _known(database: Database) -> Mapping[str, bytes]:
    found = await database.rows(select(pepper_checks.c.pepper_id, pepper_checks.c.check_bytes))
    return {row["pepper_id"]: row["check_bytes"] for row in found}


def _compare(accepted: PepperSet, known: Mapping[str, bytes]) -> None:
    for pepper in accepted.all:
        if not hmac.compare_digest(known.get(pepper.id, pepper.check), pepper.check):
            raise StartupError(f"wrong pepper for this database: it knows {pepper.id!r} as another secret")


async def _refuse_missing(database: Database, accepted: PepperSet, known: Mapping[str, bytes]) -> None:
    for pepper_id in known.keys() - {pepper.id for pepper in accepted.all}:
        live = (keys.c.pepper_id == pepper_id) & keys.c.revoked_at.is_(None) & keys.c.deleted_at.is_(None)
        if await database.rows(select(keys.c.id).where(live).limit(1)):
            raise StartupError(f"wrong pepper for this database: some of its keys need {pepper_id!r}")


async def _remember(database: Database, pepper: AnyPepper) -> None:
    stored = insert(pepper_checks).values(pepper_id=pepper.id, check_bytes=pepper.check)
    try:
        await database.rows(stored.returning(pepper_checks.c.pepper_id))
    except IntegrityError as error:
        if not is_taken(error):
            raise
