"""
Keys of the trail that outlive their peppers.

When a pepper is retired, the events that were written under it are still to be verified. So each key
of the chain is also stored, encrypted under whichever pepper is current: at every start, and a pepper
becomes current, and is retired, by a start with another file.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from authsvc.domain.audit import NONCE_SIZE, AuditKey, AuditKeys
from authsvc.domain.hashing import PepperSet
from authsvc.stores.database import Database
from authsvc.stores.faults import is_taken
from authsvc.stores.tables import audit_keys


async def known(database: Database, accepted: PepperSet) -> Mapping[str, AuditKey]:
    """Return every key that the accepted peppers lead to, by its id."""
    found = {key.id: key for key in AuditKeys(accepted).all}
    for row in await database.rows(select(audit_keys.c.wrapped)):
        for pepper in accepted.plain:
            key = AuditKey.unwrapped(pepper, row["wrapped"])
            if key is not None:
                found[key.id] = key
    return found


async def remember(database: Database, accepted: PepperSet) -> None:
    """Store what the current pepper does not lead to yet."""
    current = AuditKeys(accepted).current
    stored = select(audit_keys.c.key_id).where(audit_keys.c.wrapped_by == current.id)
    present = {current.id, *(row["key_id"] for row in await database.rows(stored))}
    for key in (await known(database, accepted)).values():
        if key.id in present:
            continue
        wrapped = key.wrapped(accepted.current, secrets.token_bytes(NONCE_SIZE))
        new = insert(audit_keys).values(key_id=key.id, wrapped_by=current.id, wrapped=wrapped)
        try:
            await database.rows(new.returning(audit_keys.c.key_id))
        except IntegrityError as error:  # another process that starts as well
            if not is_taken(error):
                raise
