"""`SqlStore`: keys, organizations and their changes, in PostgreSQL or SQLite."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache

from authsvc.domain.administration import Actor, Changed, Key, Organization, Page, Rotated
from authsvc.domain.audit import AuditEvent, AuditKeys
from authsvc.domain.audit_check import Anchor, Report
from authsvc.domain.errors import NotFoundError, UnavailableError
from authsvc.domain.hashing import Digest, PepperSet
from authsvc.domain.keys import Micros, Revision
from authsvc.domain.updating import Update
from authsvc.domain.usage import Batch, UsageQuery, UsageSum
from authsvc.ports import (
    AuditFilter,
    Head,
    ImportBatch,
    ImportedBatch,
    KeyFilter,
    Loaded,
    NewKey,
    NewOrganization,
    OrganizationUpdate,
    Recalled,
    Refusal,
    StoredForm,
)
from authsvc.stores import (
    audit,
    bulk,
    changes,
    expired,
    forms,
    imports,
    mutations,
    peppers,
    queries,
    revocations,
    rows,
    usage,
)
from authsvc.stores.database import Database, system_micros
from authsvc.stores.engine import open_engine
from authsvc.stores.mutations import NO_KEY, NO_ORGANIZATION, one
from authsvc.stores.rows import Row


class SqlStore:
    """
    The store of `ports.KeyStore`, `ports.Registry`, `ports.AuditStore` and `ports.UsageStore`.

    `now` is the time on SQLite, which runs in this process; PostgreSQL has its own.
    """

    def __init__(self, database: Database, bulk: Database | None = None) -> None:
        self.database = database
        self._bulk = bulk or database  # for what must not take the connections of others
        self._head = queries.head_statement(database.now(), postgresql=database.postgresql)
        self._noted = queries.recall_statement(database.now())

    @classmethod
    def open(cls, url: str, accepted: PepperSet, now: Callable[[], Micros] = system_micros) -> SqlStore:
        """Build the store of a database URL and its peppers; nothing is connected until it is asked."""
        keys = AuditKeys(accepted)
        database = Database(open_engine(url), now, keys)
        return cls(database, Database(open_engine(url, bulk=True), now, keys) if database.postgresql else None)

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()
        if self._bulk is not self.database:
            await self._bulk.close()

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return the record stored under any of the digests; the first of them that matches wins."""
        return await self.database.run(self._loaded(digests))

    async def replace_form(self, key_id: str, old: Digest, new: StoredForm) -> bool:
        """Store a key under another digest of the same text; False, and nothing, where the old one is not there."""
        return await self.database.run(forms.replace_form(self.database, key_id, old, new))

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
        wanted = {"organization": id_or_name}
        return rows.organization(
            await self.database.run(one(self.database, queries.ORGANIZATION_BY_ANY, NO_ORGANIZATION, wanted))
        )

    async def list_organizations(self, limit: int, after: str | None) -> Page[Organization]:
        """Return organizations that are not deleted in the order of their ids, those behind `after`."""
        found = await self.database.run(self.database.rows(queries.organization_page(limit + 1, after)))
        items = tuple(rows.organization(row) for row in found[:limit])
        return Page(items=items, next_token=items[-1].id if len(found) > limit else "")

    async def update_organization(
        self, organization_id: str, etag: str, update: OrganizationUpdate, actor: Actor
    ) -> Changed[Organization]:
        """Change an organization that is not deleted; its name stays unique."""
        return await self.database.run(changes.update_organization(self.database, organization_id, etag, update, actor))

    async def suspend_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Suspend an organization; suspending it again keeps the first instant and reason."""
        return await self.database.run(
            mutations.suspend_organization(self.database, organization_id, reason, actor, etag)
        )

    async def reinstate_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """End a suspension; reinstating an active organization changes nothing."""
        return await self.database.run(
            mutations.reinstate_organization(self.database, organization_id, reason, actor, etag)
        )

    async def delete_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Delete an organization without a key that lives or will; deleting it again changes nothing."""
        return await self.database.run(changes.delete_organization(self.database, organization_id, reason, actor, etag))

    async def create_key(
        self, new: NewKey, actor: Actor, *, action: str = "key.create", reason: str = ""
    ) -> Changed[Key]:
        """Store a key of an existing organization that is not deleted; the trail calls it `action`."""
        return await self.database.run(mutations.create_key(self.database, new, actor, action, reason))

    async def get_key(self, key_id: str) -> Key:
        """Return one key, revoked ones included, deleted ones not."""
        return rows.key(await self.database.run(mutations.key(self.database, key_id)))

    async def get_tombstone(self, key_id: str) -> Key:
        """Return one key, whatever its status."""
        return rows.key(await self.database.run(mutations.key(self.database, key_id, deleted=True)))

    async def find_key(self, digests: Sequence[Digest]) -> Key:
        """Return the key stored under any of the digests, whatever its status."""
        found = await self.database.run(self.database.rows(queries.key_by_digest(list(digests))))
        matches = _matches(found, digests)
        if not matches:
            raise NotFoundError(NO_KEY)
        return rows.key(_that_counts(matches))

    async def list_keys(self, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return keys in the order of their ids, those behind `after`; deleted ones where they are asked for."""
        statement = queries.key_page(where, limit + 1, after, self.database.now())
        found = await self.database.run(self.database.rows(statement))
        items = tuple(rows.key(row) for row in found[:limit])
        return Page(items=items, next_token=items[-1].record.id if len(found) > limit else "")

    async def revoke_key(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        """Revoke a key; revoking it again keeps the first instant and reason and changes nothing."""
        changed = await self.revoke_keys([key_id], reason, actor)
        return Changed(value=changed.value[0], revision=changed.revision)

    async def revoke_keys(
        self,
        key_ids: Sequence[str],
        reason: str,
        actor: Actor,
        *,
        etag: str = "",
        others: Sequence[Key] | None = None,
        as_read: Key | None = None,
        same_successor: bool = False,
    ) -> Changed[tuple[Key, ...]]:
        """Revoke several keys at one position, those that are revoked left as they are. See the port."""
        held_to = revocations.HeldTo(etag, others, as_read, same_successor)
        return await self.database.run(revocations.revoke_keys(self.database, key_ids, reason, actor, held_to))

    async def get_keys(self, key_ids: Sequence[str]) -> tuple[Key, ...]:
        """Return those of the keys that are there and not deleted."""
        return await self.database.run(bulk.found(self.database, key_ids))

    async def count_keys(self, where: KeyFilter) -> int:
        """Return how many keys a filter selects."""
        return await self.database.run(bulk.count(self.database, where))

    async def bulk_revoke_keys(
        self, ending: Sequence[Key], reason: str, actor: Actor, *, others: Sequence[Key] | None = None
    ) -> Changed[int]:
        """Revoke keys at one position, with one event; `ConflictError` when any is revoked or deleted meanwhile."""
        return await self.database.run(bulk.revoke(self.database, ending, reason, actor, others))

    async def get_bulk_revoked(self, about: str) -> tuple[str, ...]:
        """Return the ids of keys that such a revocation ended, by the target that it is recalled with."""
        return await self.database.run(bulk.revoked(self.database, about))

    async def unchanged(self, actor: Actor) -> Revision:
        """Note that what the actor asked for ended no key, and return the end of the change log."""
        revision = (await self.head()).revision
        await self.database.run(self.database.remember(actor, "", revision))
        return revision

    async def update_key(
        self, key_id: str, etag: str, update: Update, actor: Actor, *, others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Change a key that is neither revoked nor deleted."""
        return await self.database.run(changes.update_key(self.database, key_id, etag, update, actor, others))

    async def rotate_key(self, key_id: str, etag: str, new: NewKey, grace: Micros, actor: Actor) -> Changed[Rotated]:
        """Store a successor and let the key work for the grace, which never lengthens an earlier one."""
        return await self.database.run(changes.rotate_key(self.database, key_id, etag, new, grace, actor))

    async def delete_key(
        self, key_id: str, reason: str, actor: Actor, *, etag: str = "", others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Hide a key, which then works no longer; the record remains."""
        return await self.database.run(changes.delete_key(self.database, key_id, reason, actor, etag, others))

    async def recall(self, actor: Actor) -> Recalled | None:
        """Return what the actor did under this request id in the last 24 hours."""
        return await self.database.run(changes.recall(self.database, self._noted, actor))

    async def list_audit_events(self, where: AuditFilter, limit: int, after: int | None) -> Page[AuditEvent]:
        """Return events in the order of their positions, or against it, those behind the position `after`."""
        return await self.database.run(audit.events(self.database, where, limit, after))

    async def write_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Write down what was refused, in a transaction of its own."""
        await self.database.run(audit.write_refusals(self.database, refusals))

    async def verify_audit(self, accepted: PepperSet, anchor: Anchor | None) -> Report:
        """Look at every event of the trail."""
        return await self.database.run(audit.verify(self.database, accepted, anchor))

    async def prune_audit(self, kept: Micros) -> int:
        """Remove the events that are older than so many microseconds; return how many."""
        return await self.database.run(audit.prune(self.database, kept))

    async def examine_import(self, batch: ImportBatch) -> Sequence[str | None]:
        """Tell what storing the batch would make of each key, and store nothing."""
        return await self._bulk.run(imports.examine(self._bulk, batch))

    async def import_keys(self, batch: ImportBatch, actor: Actor) -> ImportedBatch:
        """Store those keys of a batch that can be, all or none, with one audit row."""
        return await self._bulk.run(imports.store(self._bulk, batch, actor))

    async def write_usage(self, batch: Batch) -> None:
        """Add the counts of a batch and set last uses, once."""
        await self.database.run(usage.write(self.database, batch))

    async def query_usage(self, query: UsageQuery, limit: int, after: str | None) -> Page[UsageSum]:
        """Return sums in the order of their time and dimensions, those behind the position `after`."""
        return await self.database.run(usage.query(self.database, query, limit, after))

    async def remove_expired(self, now: Micros, most: int) -> int:
        """Remove up to so many rows of each kind that were kept long enough; return how many of one kind at most."""
        return await self.database.run(expired.remove(self.database, now, most))

    async def _loaded(self, digests: Sequence[Digest]) -> Loaded:
        statement = queries.load_statement(len(digests), postgresql=self.database.postgresql)
        found = await self.database.rows(statement, queries.looked_for(digests))
        as_of = _primary(found)
        matches = _matches(found, digests)
        if not matches:
            return Loaded(record=None, as_of=as_of)
        row = _that_counts(matches)
        form = StoredForm(digest=Digest(row["digest"]), pepper_id=row["pepper_id"], algorithm=row["algorithm"])
        others = (other for other in matches if other["id"] != row["id"])
        also = tuple(other[name] for other in others for name in ("id", "organization_id"))
        return Loaded(record=rows.key_record(row), as_of=as_of, form=form, also=also)

    async def _read_head(self) -> Head:
        found = await self.database.rows(self._head)
        return Head(revision=_primary(found), now=found[0]["now"])


def _primary(found: Sequence[Row]) -> Revision:
    if not found:
        raise UnavailableError("the database is not initialized")
    if found[0]["standby"]:
        # It may lag behind a revoke that was acknowledged.
        raise UnavailableError("the database is a standby")
    return _position(found[0]["epoch"], found[0]["seq"])


@lru_cache(maxsize=16)
def _position(epoch: str, seq: int) -> Revision:
    # Every cached key holds the position it was loaded at, and nearly all were loaded at one of few.
    return Revision(epoch=epoch, seq=seq)


def _matches(found: Sequence[Row], digests: Sequence[Digest]) -> Sequence[Row]:
    # The database found them by equality; what it calls equal is its own affair, this is ours.
    return [
        row
        for digest in digests
        for row in found
        if row["digest"] is not None and hmac.compare_digest(row["digest"], digest)
    ]


def _that_counts(matches: Sequence[Row]) -> Row:
    """Return the record that a text is judged by. It has two where two of its digests were imported."""
    if len(matches) == 1:
        return matches[0]
    # Who ended one of them, or replaced it, meant the text.
    for row in matches:
        if row["revoked_at"] is not None or row["deleted_at"] is not None:
            return row
    graces = [row["grace_ends_at"] for row in matches if row["grace_ends_at"] is not None]
    return {**matches[0], "grace_ends_at": min(graces, default=None)}
