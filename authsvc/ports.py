"""What the use cases need from the outside. Each port has one real implementation and one fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from authsvc.domain.administration import Actor, Changed, Key, Organization, Page
from authsvc.domain.decision import Bearer
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.network import Network
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import Limit, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The answer to one load: the record, if there is one, as of a position of the change log."""

    record: KeyRecord | None
    as_of: Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the change log and the database's clock, read together."""

    revision: Revision
    now: Micros


class KeyStore(Protocol):
    """Where key records come from. Every failure is an `UnavailableError`, never an absent record."""

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return the record stored under any of the digests, in one statement with its position."""

    async def head(self) -> Head:
        """Return the end of the change log."""


class Absent:
    """Says of a digest that nothing is stored under it."""


ABSENT = Absent()


class KeyCache(Protocol):
    """Keys as they are known without waiting, and the way to wait for more. All faults are `UnavailableError`."""

    def get(self, digest: Digest) -> Bearer | Absent | None:
        """Return the bearer, or that there is none; None when only `fetch` can tell. Any thread may call it."""

    async def fetch(self, digests: Sequence[Digest], budget: float, at_least: Revision | None) -> Bearer | None:
        """Return the bearer within `budget` seconds; None when there is none."""

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Forget what is known of these key and organization ids from before the revision."""


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> Micros:
        """Return the time of day, as the database tells it where it has been asked."""

    def monotonic(self) -> float:
        """Return seconds that never step back."""


class Limiter(Protocol):
    """Counts requests against limits."""

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take one request from every limit of the bearer, or from none; the tightest verdict first."""

    def peek(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Say what `spend` would, and take nothing."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Which keys to list; None does not restrict."""

    api: str | None = None
    organization_id: str | None = None
    kind: str | None = None
    environment: str | None = None


class Registry(Protocol):
    """
    Organizations and keys, for administration.

    Every mutation is one transaction that first takes the next position of the change log and also
    writes its audit row and its change rows: no audit, no change. Names and ids that are taken raise
    `AlreadyExistsError`, absent ones `NotFoundError`, a lost database `UnavailableError`.
    """

    async def create_organization(self, new: NewOrganization, actor: Actor) -> Changed[Organization]:
        """Store an organization; its name is unique."""

    async def get_organization(self, id_or_name: str) -> Organization:
        """Return one organization."""

    async def list_organizations(self, limit: int, after: str | None) -> Page[Organization]:
        """Return organizations in the order of their ids, those behind `after`."""

    async def create_key(self, new: NewKey, actor: Actor) -> Changed[Key]:
        """Store a key of an existing organization that is not deleted."""

    async def get_key(self, key_id: str) -> Key:
        """Return one key, revoked ones included, deleted ones not."""

    async def find_key(self, digests: Sequence[Digest]) -> Key:
        """Return the key stored under any of the digests."""

    async def list_keys(self, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return keys in the order of their ids, those behind `after`."""

    async def revoke_key(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        """Revoke a key; revoking it again keeps the first instant and reason and changes nothing."""
