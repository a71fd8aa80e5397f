"""What `init` asks a database before it gives it anything of its own."""

from __future__ import annotations

from sqlalchemy import select

from authsvc.stores.database import Database
from authsvc.stores.tables import keys, pepper_checks


async def has_peppers(database: Database) -> bool:
    """Whether a process with some pepper has used this database."""
    return bool(await database.run(database.rows(select(pepper_checks.c.pepper_id).limit(1))))


async def has_keys(database: Database, api: str) -> bool:
    """Whether there ever was a key of the API, revoked and deleted ones included."""
    return bool(await database.run(database.rows(select(keys.c.id).where(keys.c.api == api).limit(1))))
