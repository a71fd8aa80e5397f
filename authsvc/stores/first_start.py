"""What `init` asks a database before it gives it anything of its own."""

from __future__ import annotations

from sqlalchemy import select

from authsvc.stores import schema
from authsvc.stores.database import Database, system_micros
from authsvc.stores.engine import open_engine
from authsvc.stores.tables import keys, pepper_checks


async def has_peppers(url: str) -> bool:
    """Whether a process with some pepper has used a database; one with a schema that we cannot use is refused."""
    database = Database(open_engine(url), system_micros, None)
    try:
        await schema.require(database)
        return bool(await database.run(database.rows(select(pepper_checks.c.pepper_id).limit(1))))
    finally:
        await database.close()


async def has_keys(database: Database, api: str) -> bool:
    """Whether there ever was a key of the API, revoked and deleted ones included."""
    return bool(await database.run(database.rows(select(keys.c.id).where(keys.c.api == api).limit(1))))
