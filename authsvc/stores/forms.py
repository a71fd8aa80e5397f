"""
How keys are stored: the digest, and what made it, replaced by another digest of the same text.

None of it takes a position: what is cached of a key is kept under the digest of its newest form,
whichever is stored, and everything that decides stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from authsvc.domain.hashing import Digest, Pepper
from authsvc.ports import StoredForm
from authsvc.stores.database import Database
from authsvc.stores.faults import is_taken
from authsvc.stores.tables import former_digests, keys, pepper_checks

WRAP_BATCH = 500  # keys
_OF_TEXT = ("hmac", "hmac(hmac)")  # the algorithms of keys whose text was seen: their digest is no import's

_LIVE: tuple[ColumnElement[bool], ...] = (keys.c.revoked_at.is_(None), keys.c.deleted_at.is_(None))


async def replace_form(database: Database, key_id: str, old: Digest, new: StoredForm) -> bool:
    """Replace the form of one key, if it is still stored under the old digest; one that it came with is remembered."""
    found = (keys.c.id == key_id, keys.c.digest == old)
    came_as = select(keys.c.digest, keys.c.id).where(
        *found, keys.c.import_source.is_not(None), keys.c.algorithm.not_in(_OF_TEXT)
    )
    remembered = (postgresql if database.postgresql else sqlite).insert(former_digests)
    effect = update(keys).where(*found)
    effect = effect.values(digest=new.digest, pepper_id=new.pepper_id, algorithm=new.algorithm)
    try:
        async with database.transaction() as connection:
            await connection.execute(remembered.from_select(["digest", "key_id"], came_as).on_conflict_do_nothing())
            return (await connection.execute(effect)).rowcount == 1
    except IntegrityError as error:
        # The text has a record of its own under the new digest, which is the one that counts.
        if not is_taken(error):
            raise
        return False


async def live_by_pepper(database: Database) -> Mapping[str, int]:
    """Return how many keys, neither revoked nor deleted, each pepper has that the database knows."""
    known = await database.report(select(pepper_checks.c.pepper_id))
    counts = dict.fromkeys((row["pepper_id"] for row in known), 0)
    statement = select(keys.c.pepper_id, func.count().label("live")).where(*_LIVE).group_by(keys.c.pepper_id)
    return counts | {row["pepper_id"]: row["live"] for row in await database.report(statement)}


async def some_live(database: Database, stored_under: Sequence[str], most: int) -> Sequence[str]:
    """Return the ids of up to so many live keys under any of these peppers."""
    statement = select(keys.c.id).where(keys.c.pepper_id.in_(stored_under), *_LIVE).limit(most)
    return [row["id"] for row in await database.rows(statement)]


def layers(pepper_id: str) -> tuple[str, ...]:
    """Return the ids of which a wrapped pepper's is made, the outermost first."""
    return tuple(pepper_id.rstrip(")").split("("))


async def wrap_all(database: Database, pepper_id: str, outer: Pepper) -> int:
    """
    Wrap every key of a pepper, live or not, in the outer one, in batches; return how many there were.

    What is remembered of former digests, of which nobody knows the pepper, is forgotten.
    """
    while await forget_some(database, WRAP_BATCH):
        pass
    known = [row["pepper_id"] for row in await database.rows(select(pepper_checks.c.pepper_id))]
    inner = [id_ for id_ in known if layers(id_)[0] == pepper_id]
    total = 0
    while (some := await wrap_some(database, inner, outer, WRAP_BATCH)) > 0:
        total += some
    return total


async def wrap_some(database: Database, inner: Sequence[str], outer: Pepper, most: int) -> int:
    """Wrap up to so many keys of the inner peppers in the outer one, in one transaction; return how many there were."""
    some = (
        select(keys.c.id, keys.c.digest, keys.c.pepper_id, keys.c.algorithm)
        .where(keys.c.pepper_id.in_(inner))
        .limit(most)
    )
    effect = update(keys).where(keys.c.id == bindparam("wrapped"), keys.c.digest == bindparam("old"))
    async with database.transaction() as connection:
        found = (await connection.execute(some)).mappings().all()
        if found:
            await connection.execute(effect, [_wrapped(row, outer) for row in found])
    return len(found)


async def forget_some(database: Database, most: int) -> int:
    """Forget up to so many former digests; return how many there were."""
    some = select(former_digests.c.digest).limit(most)
    async with database.transaction() as connection:
        return (await connection.execute(delete(former_digests).where(former_digests.c.digest.in_(some)))).rowcount


def _wrapped(row: RowMapping, outer: Pepper) -> dict[str, Any]:
    return {
        "wrapped": row["id"],
        "old": row["digest"],
        "digest": outer.wrap(Digest(row["digest"])),
        "pepper_id": f"{outer.id}({row['pepper_id']})",
        "algorithm": f"hmac({row['algorithm']})",
    }
