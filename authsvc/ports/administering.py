"""What administration needs: a registry of keys and organizations, the audit trail, imports, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from authsvc.domain.administration import Actor, Changed, Key, Organization, Page, Rotated
from authsvc.domain.audit import AuditEvent, Outcome
from authsvc.domain.hashing import Digest
from authsvc.domain.importing import Import
from authsvc.domain.keys import Assurance, Micros, Revision
from authsvc.domain.lifecycle import KeyStatus
from authsvc.domain.network import Network
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import Limit
from authsvc.domain.updating import Update
from authsvc.domain.usage import Batch, UsageQuery, UsageSum


class UsageStore(Protocol):
    """Where usage is kept. Every failure is an `UnavailableError`."""

    async def write_usage(self, batch: Batch) -> None:
        """Add the counts of a batch and set last uses, which never go back; a batch that is there is not added."""

    async def query_usage(self, query: UsageQuery, limit: int, after: str | None) -> Page[UsageSum]:
        """Return sums in their order, those behind the position `after`."""


class ExpiringStore(Protocol):
    """What is kept for a time only. Every failure is an `UnavailableError`."""

    async def remove_expired(self, now: Micros, most: int) -> int:
        """Remove up to so many of each kind of row that were kept long enough; return how many of one kind at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrganization:
    """What creating an organization needs; the store adds times, status and etag."""

    id: str
    name: str
    plan: str | None
    networks: tuple[Network, ...] | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What creating a key needs; the store adds times and etag."""

    id: str
    digest: Digest
    pepper_id: str
    algorithm: str  # how the digest was made: "hmac" for keys made here
    api: str
    organization_id: str
    kind: str
    environment: str | None
    scopes: tuple[str, ...]
    full_access: bool
    origins: tuple[OriginPattern, ...] | None
    networks: tuple[Network, ...] | None
    limits: tuple[Limit, ...]
    not_before: Micros | None
    expires_at: Micros | None
    name: str
    hint: str
    metadata: Mapping[str, str]


PRESENT: Final = "present"  # in place of a cause: an earlier import has brought the record


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportBatch:
    """Keys to store in one transaction, all of one API; `digest` names for the trail what was received."""

    source: str
    api: str
    assurance: Assurance  # of those that came as digests
    keys: Sequence[Import]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedBatch:
    """What became of each key of a batch: None for stored, `PRESENT`, or why not; and where, if any was stored."""

    causes: Sequence[str | None]
    revision: Revision | None


class ImportStore(Protocol):
    """Where imported keys go. Every failure is an `UnavailableError`."""

    async def examine_import(self, batch: ImportBatch) -> Sequence[str | None]:
        """Tell what storing the batch would make of each key, and store nothing."""

    async def import_keys(self, batch: ImportBatch, actor: Actor) -> ImportedBatch:
        """
        Store those keys of a batch that can be, all or none, with one audit row.

        Raises `ConflictError` while another process imports from the same source.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationUpdate:
    """All of an organization that can change, as it is to stand afterwards."""

    name: str
    plan: str | None
    networks: tuple[Network, ...] | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What an earlier call under the same request id was about, and its position in the change log."""

    target_id: str
    revision: Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Which keys to list; None does not restrict. Beginnings of periods belong to them, ends do not."""

    api: str | None = None
    organization_id: str | None = None
    kind: str | None = None
    environment: str | None = None
    statuses: frozenset[KeyStatus] | None = None  # None: all but deleted
    name_prefix: str | None = None
    created_after: Micros | None = None
    created_before: Micros | None = None
    expires_before: Micros | None = None
    last_used_before: Micros | None = None  # has been used, and not since
    unused: bool = False  # has never been used


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events to list, and which way; empty text and None do not restrict."""

    organization_id: str = ""
    actor_key_id: str = ""
    actor_organization_id: str = ""
    action: str = ""
    target_kind: str = ""
    target_id: str = ""
    request_id: str = ""
    outcome: Outcome | None = None
    start: Micros | None = None  # included
    end: Micros | None = None  # excluded
    oldest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What an authenticated caller was not let do, and why."""

    actor: Actor
    action: str
    target_kind: str
    target_id: str  # as the caller wrote it, where that is an id at all; else empty
    reason: str
    count: int = 1  # how many alike it stands for


def unnoted(_: Refusal) -> None:
    """Take refusals where nobody writes them down."""


class AuditStore(Protocol):
    """The audit trail. Every failure is an `UnavailableError`."""

    async def list_audit_events(self, where: AuditFilter, limit: int, after: int | None) -> Page[AuditEvent]:
        """Return events in the order of their positions, or against it, those behind the position `after`."""

    async def write_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Write down what was refused, in a transaction of its own."""


class Registry(Protocol):
    """
    Organizations and keys, for administration.

    Every mutation is one transaction that first takes the next position of the change log and also
    writes its audit row and its change rows: no audit, no change. Names and ids that are taken raise
    `AlreadyExistsError`, absent ones `NotFoundError`, a lost database `UnavailableError`.

    An etag is the version that a change is meant for: another one raises `ConflictError` and names the
    current one, and an empty one is whichever is current. A change whose actor has a request id is noted
    under it, in its transaction; one that is noted already raises `AlreadyExistsError`. What finds nothing to
    change is noted too: repeated after a change by others it would undo that.

    What may end an administrator is told which `others` stay: at least one of them must still be of the
    version that was read, else nothing is changed and `AdministratorsChangedError` is raised. None asks
    for nobody.
    """

    async def recall(self, actor: Actor) -> Recalled | None:
        """
        Return what the actor did under this request id in the last 24 hours.

        An id that was used for something else raises `AlreadyExistsError`.
        """

    async def create_organization(self, new: NewOrganization, actor: Actor) -> Changed[Organization]:
        """Store an organization; its name is unique."""

    async def get_organization(self, id_or_name: str) -> Organization:
        """Return one organization."""

    async def list_organizations(self, limit: int, after: str | None) -> Page[Organization]:
        """Return organizations in the order of their ids, those behind `after`."""

    async def update_organization(
        self, organization_id: str, etag: str, update: OrganizationUpdate, actor: Actor
    ) -> Changed[Organization]:
        """Change an organization that is not deleted; its name stays unique."""

    async def suspend_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Suspend an organization; suspending it again keeps the first instant and reason and changes nothing."""

    async def reinstate_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """End a suspension; reinstating an active organization changes nothing."""

    async def delete_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Delete an organization without a key that lives or will, else `FailedPreconditionError`."""

    async def create_key(
        self, new: NewKey, actor: Actor, *, action: str = "key.create", reason: str = ""
    ) -> Changed[Key]:
        """Store a key of an existing organization that is not deleted; the trail calls it `action`."""

    async def get_key(self, key_id: str) -> Key:
        """Return one key, revoked ones included, deleted ones not."""

    async def get_tombstone(self, key_id: str) -> Key:
        """Return one key, whatever its status."""

    async def find_key(self, digests: Sequence[Digest]) -> Key:
        """Return the key stored under any of the digests."""

    async def list_keys(self, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return keys in the order of their ids, those behind `after`."""

    async def revoke_key(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        """Revoke a key; revoking it again keeps the first instant and reason and changes nothing."""

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
        """
        Revoke several keys at one position, those that are revoked left as they are.

        `etag` and `as_read` are of the first key: its version, and the key as the caller has read it, which saves
        reading it again. With `same_successor` it must still have the successor that was read, else `ConflictError`.
        """

    async def get_keys(self, key_ids: Sequence[str]) -> tuple[Key, ...]:
        """Return those of the keys that are there and not deleted."""

    async def count_keys(self, where: KeyFilter) -> int:
        """Return how many keys a filter selects."""

    async def bulk_revoke_keys(
        self, ending: Sequence[Key], reason: str, actor: Actor, *, others: Sequence[Key] | None = None
    ) -> Changed[int]:
        """Revoke keys at one position, with one event; `ConflictError` when any is revoked or deleted meanwhile."""

    async def get_bulk_revoked(self, about: str) -> tuple[str, ...]:
        """Return the ids of keys that such a revocation ended, by the target that it is recalled with."""

    async def unchanged(self, actor: Actor) -> Revision:
        """Note that such a revocation, asked for by the actor, had no key to end; return the end of the change log."""

    async def update_key(
        self, key_id: str, etag: str, update: Update, actor: Actor, *, others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Change a key that is neither revoked nor deleted."""

    async def rotate_key(self, key_id: str, etag: str, new: NewKey, grace: Micros, actor: Actor) -> Changed[Rotated]:
        """Store a successor and let the key work for the grace, which never lengthens an earlier one."""

    async def delete_key(
        self, key_id: str, reason: str, actor: Actor, *, etag: str = "", others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Hide a key, which then works no longer; the record remains."""
