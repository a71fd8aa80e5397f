"""`SqlStore`: keys, organizations and their changes, in PostgreSQL or SQLite."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence

from sqlalchemy import RowMapping

from authsvc.domain.administration import Actor, Changed, Key, Organization, Page
from authsvc.domain.errors import NotFoundError, UnavailableError
from authsvc.domain.hashing import Digest, PepperSet
from authsvc.domain.keys import Micros, Revision
from authsvc.ports import Head, KeyFilter, Loaded, NewKey, NewOrganization
from authsvc.stores import mutations, peppers, queries, rows
from authsvc.stores.database import Database
from authsvc.stores.engine import open_engine
from authsvc.stores.mutations import NO_KEY, NO_ORGANIZATION, one


def system_micros() -> Micros:
    """Return this machine's time of day."""
    return time.time_ns() // 1000


class SqlStore:
    """
    The store of `ports.KeyStore` and `ports.Registry`.

    `now` is the time on SQLite, which runs in this process; PostgreSQL has its own.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._load = queries.load_statement(postgresql=database.postgresql)

    @classmethod
    def open(cls, url: str, now: Callable[[], Micros] = system_micros) -> SqlStore:
        """Build the store of a database URL; nothing is connected until it is asked."""
        return cls(Database(open_engine(url), now))

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return the record stored under any of the digests; the first of them that matches wins."""
        return await self.database.run(self._loaded(digests))

    async def head(self) -> Head:
        """Return the end of the change log and the database's time."""
        return await self.database.run(self._read_head())

    async def verify_peppers(self, accepted: PepperSet) -> None:
        """Refuse to start with a pepper that is not this database's; remember peppers seen first."""
        await self.database.run(peppers.verify(self.database, accepted))

    async def create_organization(self, new: NewOrganization, actor: Actor) -> Changed[Organization]:
        """Store an organization; its name is unique among those not deleted."""
        return await self.database.run(mutations.create_organization(self.database, new, actor))

    async def get_organization(self, id_or_name: str) -> Organization:
        """Return one organization; a deleted one by its id only."""
        return rows.organization(
            await self.database.run(one(self.database, queries.organization_by(id_or_name), NO_ORGANIZATION))
        )

    async def list_organizations(self, limit: int, after: str | None) -> Page[Organization]:
        """Return organizations that are not deleted in the order of their ids, those behind `after`."""
        found = await self.database.run(self.database.rows(queries.organization_page(limit + 1, after)))
        items = tuple(rows.organization(row) for row in found[:limit])
        return Page(items=items, next_token=items[-1].id if len(found) > limit else "")

    async def suspend_organization(self, organization_id: str, reason: str, actor: Actor) -> Changed[Organization]:
        """Suspend an organization; suspending it again keeps the first instant and reason."""
        return await self.database.run(mutations.suspend_organization(self.database, organization_id, reason, actor))

    async def reinstate_organization(self, organization_id: str, reason: str, actor: Actor) -> Changed[Organization]:
        """End a suspension; reinstating an active organization changes nothing."""
        return await self.database.run(mutations.reinstate_organization(self.database, organization_id, reason, actor))

    async def create_key(self, new: NewKey, actor: Actor) -> Changed[Key]:
        """Store a key of an existing organization that is not deleted."""
        return await self.database.run(mutations.create_key(self.database, new, actor))

    async def get_key(self, key_id: str) -> Key:
        """Return one key, revoked ones included, deleted ones not."""
        return rows.key(await self.database.run(one(self.database, queries.key_by_id(key_id), NO_KEY)))

    async def find_key(self, digests: Sequence[Digest]) -> Key:
        """Return the key stored under any of the digests, whatever its status."""
        found = await self.database.run(self.database.rows(queries.key_by_digest(list(digests))))
        row = _first_match(found, digests)
        if row is None:
            raise NotFoundError(NO_KEY)
        return rows.key(row)

    async def list_keys(self, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return keys that are not deleted in the order of their ids, those behind `after`."""
        found = await self.database.run(self.database.rows(queries.key_page(where, limit + 1, after)))
        items = tuple(rows.key(row) for row in found[:limit])
        return Page(items=items, next_token=items[-1].record.id if len(found) > limit else "")

    async def revoke_key(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        """Revoke a key; revoking it again keeps the first instant and reason and changes nothing."""
        return await self.database.run(mutations.revoke_key(self.database, key_id, reason, actor))

    async def _loaded(self, digests: Sequence[Digest]) -> Loaded:
        found = await self.database.rows(self._load, {"digests": list(digests)})
        as_of = _primary(found)
        row = _first_match(found, digests)
        return Loaded(record=None if row is None else rows.key_record(row), as_of=as_of)

    async def _read_head(self) -> Head:
        statement = queries.head_statement(self.database.now(), postgresql=self.database.postgresql)
        found = await self.database.rows(statement)
        return Head(revision=_primary(found), now=found[0]["now"])


def _primary(found: Sequence[RowMapping]) -> Revision:
    if not found:
        raise UnavailableError("the database is not initialized")
    if found[0]["standby"]:
        # It may lag behind a revoke that was acknowledged.
        raise UnavailableError("the database is a standby")
    return Revision(epoch=found[0]["epoch"], seq=found[0]["seq"])


def _first_match(found: Sequence[RowMapping], digests: Sequence[Digest]) -> RowMapping | None:
    # The database found them by equality; what it calls equal is its own affair, this is ours.
    for digest in digests:
        for row in found:
            if row["digest"] is not None and hmac.compare_digest(row["digest"], digest):
                return row
    return None
