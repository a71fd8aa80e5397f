"""
Parts that keep their promises in memory: a store and registry, a clock, a limiter.

`FakeStore` keeps what `ports.Registry` and `ports.KeyStore` promise; `FakeStore.fail` makes every
further call fail as a lost database does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.domain.administration import OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus, Page
from authsvc.domain.api import Apis
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError, UnavailableError
from authsvc.domain.hashing import Digest, Pepper, PepperSet
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.quotas import Verdict
from authsvc.ports import Head, KeyFilter, Loaded, NewKey, NewOrganization, StoredForm
from authsvc.telemetry import CacheCounters
from tests.support.builders import NOW
from tests.support.fake_changes import Event, FakeChanges, check_etag, listed
from tests.support.fake_imports import FakeImports

EPOCH = "00000000-0000-0000-0000-000000000001"
PEPPERS = PepperSet(Pepper("p2", b"2" * 32), [Pepper("p1", b"1" * 32)])


@dataclass
class FakeClock:
    """Stands still until told otherwise; `now` is microseconds, `monotonic` seconds."""

    micros: Micros = NOW
    seconds: float = 1000.0

    def now(self) -> Micros:
        """Return the time of day."""
        return self.micros

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self.seconds


@dataclass
class FakeLimiter:
    """Says the same to everybody, and counts who asked for what."""

    verdicts: tuple[Verdict, ...] = ()
    spent: int = 0
    peeked: int = 0

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take one request."""
        self.spent += 1
        return self.verdicts

    def peek(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take nothing."""
        self.peeked += 1
        return self.verdicts


@dataclass
class FakeStore(FakeChanges, FakeImports):
    """Organizations and keys in dictionaries."""

    clock: FakeClock = field(default_factory=FakeClock)
    organizations: dict[str, Organization] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    digests: dict[Digest, str] = field(default_factory=dict)
    forms: dict[Digest, tuple[str, str]] = field(default_factory=dict)  # of keys that were imported
    events: list[Event] = field(default_factory=list)
    seq: int = 0
    loads: int = 0
    fail: bool = False

    # -- KeyStore

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return the record stored under the first digest that has one."""
        self._reach()
        self.loads += 1
        found = next((self.digests[digest] for digest in digests if digest in self.digests), None)
        if found is None:
            return Loaded(record=None, as_of=self._revision())
        digest = next(digest for digest in digests if digest in self.digests)
        pepper_id, algorithm = self.forms.get(digest, ("p2", "hmac"))
        form = StoredForm(digest=digest, pepper_id=pepper_id, algorithm=algorithm)
        return Loaded(record=self._current(self.keys[found]).record, as_of=self._revision(), form=form)

    async def head(self) -> Head:
        """Return the end of the change log."""
        self._reach()
        return Head(revision=self._revision(), now=self.clock.now())

    # -- Registry

    async def create_organization(self, new: NewOrganization, actor: Actor) -> Changed[Organization]:
        """Store an organization; its name is unique among those not deleted."""
        self._reach()
        if new.id in self.organizations or any(o.name == new.name for o in self._present()):
            raise AlreadyExistsError("an organization with this name or id exists already")
        now = self.clock.now()
        organization = Organization(
            id=new.id,
            name=new.name,
            status=OrganizationStatus.ACTIVE,
            plan=new.plan,
            networks=new.networks,
            metadata=new.metadata,
            created_at=now,
            updated_at=now,
            suspended_at=None,
            suspend_reason="",
            etag="1",
        )
        self.organizations[new.id] = organization
        return self._changed(organization, Event("organization.create", new.id, actor))

    async def get_organization(self, id_or_name: str) -> Organization:
        """Return one organization; a deleted one by its id only."""
        self._reach()
        if id_or_name in self.organizations:
            return self.organizations[id_or_name]
        found = next((o for o in self._present() if o.name == id_or_name), None)
        if found is None:
            raise NotFoundError("there is no such organization")
        return found

    async def list_organizations(self, limit: int, after: str | None) -> Page[Organization]:
        """Return organizations that are not deleted in the order of their ids."""
        self._reach()
        found = sorted((o for o in self._present() if o.id > (after or "")), key=lambda o: o.id)
        return Page(items=tuple(found[:limit]), next_token=found[limit - 1].id if len(found) > limit else "")

    async def suspend_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Suspend an organization."""
        return await self._switch(organization_id, OrganizationStatus.SUSPENDED, reason, actor, etag)

    async def reinstate_organization(
        self, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """End a suspension."""
        return await self._switch(organization_id, OrganizationStatus.ACTIVE, "", actor, etag)

    async def create_key(
        self, new: NewKey, actor: Actor, *, action: str = "key.create", reason: str = ""
    ) -> Changed[Key]:
        """Store a key of an organization that is not deleted."""
        self._reach()
        owner = await self.get_organization(new.organization_id)
        if owner.status is OrganizationStatus.DELETED:
            raise FailedPreconditionError("the organization is deleted")
        if new.id in self.keys or new.digest in self.digests:
            raise AlreadyExistsError("a key with this id or text exists already")
        now = self.clock.now()
        key = Key(
            record=_record(new, owner),
            name=new.name,
            hint=new.hint,
            created_at=now,
            created_by=actor.key_id or "cli",
            updated_at=now,
            last_used_at=None,
            revoke_reason="",
            successor_id=None,
            predecessor_id=None,
            etag="1",
        )
        self.keys[new.id], self.digests[new.digest] = key, new.id
        return self._changed(key, Event(action, new.id, actor, reason))

    async def get_key(self, key_id: str) -> Key:
        """Return one key, revoked ones included, deleted ones not."""
        self._reach()
        key = self.keys.get(key_id)
        if key is None or key.record.deleted_at is not None:
            raise NotFoundError("there is no such key")
        return self._current(key)

    async def find_key(self, digests: Sequence[Digest]) -> Key:
        """Return the key stored under any of the digests, whatever its status."""
        self._reach()
        found = next((self.digests[digest] for digest in digests if digest in self.digests), None)
        if found is None:
            raise NotFoundError("there is no such key")
        return self._current(self.keys[found])

    async def list_keys(self, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return keys that are not deleted in the order of their ids."""
        self._reach()
        now = self.clock.now()
        found = sorted((k for k in self.keys.values() if listed(k, where, after, now)), key=lambda k: k.record.id)
        items = tuple(self._current(key) for key in found[:limit])
        return Page(items=items, next_token=items[-1].record.id if len(found) > limit else "")

    async def revoke_key(self, key_id: str, reason: str, actor: Actor) -> Changed[Key]:
        """Revoke a key; revoking it again changes nothing."""
        key = await self.get_key(key_id)
        if key.record.revoked_at is not None:
            self._note(actor, key_id)
            return Changed(value=key, revision=self._revision())
        return self._revoke(key, reason, actor)

    # -- for tests

    def alter_key(self, key_id: str, **changes: Any) -> None:
        """Change a record behind everybody's back."""
        key = self.keys[key_id]
        self.keys[key_id] = replace(key, record=replace(key.record, **changes))

    def alter_organization(self, organization_id: str, **changes: Any) -> None:
        """Change an organization behind everybody's back."""
        self.organizations[organization_id] = replace(self.organizations[organization_id], **changes)

    def _reach(self) -> None:
        if self.fail:
            raise UnavailableError("the database is not available")

    def _revision(self) -> Revision:
        return Revision(epoch=EPOCH, seq=self.seq)

    def _present(self) -> list[Organization]:
        return [o for o in self.organizations.values() if o.status is not OrganizationStatus.DELETED]

    def _current(self, key: Key) -> Key:
        owner = self.organizations[key.record.organization_id]
        record = replace(
            key.record,
            organization_active=owner.status is OrganizationStatus.ACTIVE,
            organization_networks=owner.networks,
            plan=owner.plan,
        )
        return replace(key, record=record)

    async def _switch(
        self, id_: str, status: OrganizationStatus, reason: str, actor: Actor, etag: str
    ) -> Changed[Organization]:
        organization = await self.get_organization(id_)
        check_etag(organization.etag, etag)
        if organization.status is OrganizationStatus.DELETED:
            raise FailedPreconditionError("the organization is deleted")
        if organization.name == OPERATORS and status is OrganizationStatus.SUSPENDED:
            raise FailedPreconditionError("the operators' organization cannot be suspended")
        if organization.status is status:
            self._note(actor, id_)
            return Changed(value=organization, revision=self._revision())
        suspends = status is OrganizationStatus.SUSPENDED
        event = Event(f"organization.{'suspend' if suspends else 'reinstate'}", id_, actor, reason)
        since = self.clock.now() if suspends else None
        return self._alter(organization, event, {"status": status, "suspended_at": since, "suspend_reason": reason})


def cache_over(store: FakeStore, apis: Apis, clock: FakeClock, **bounds: Any) -> CachedKeyStore:
    """
    Return the real cache over a store, with the database heard from just now; `bounds` are of `CacheSettings`.

    It waits for loads in real time, which a machine busy with other tests must not make too short.
    """

    def bearer_for(record: KeyRecord, as_of: Revision) -> Bearer | None:
        api = apis.by_name.get(record.api)
        return None if api is None else bearer_of(record, api, as_of)

    settings = CacheSettings(**{"load_budget": 10.0, **bounds})
    cache = CachedKeyStore(store, bearer_for, clock, settings, CacheCounters())
    cache.confirm(Revision(epoch=EPOCH, seq=store.seq), clock.monotonic())
    return cache


def _record(new: NewKey, owner: Organization) -> KeyRecord:
    return KeyRecord(
        id=new.id,
        api=new.api,
        organization_id=new.organization_id,
        organization_active=owner.status is OrganizationStatus.ACTIVE,
        organization_networks=owner.networks,
        plan=owner.plan,
        kind=new.kind,
        environment=new.environment,
        scopes=new.scopes,
        full_access=new.full_access,
        origins=new.origins,
        networks=new.networks,
        limits=new.limits,
        not_before=new.not_before,
        expires_at=new.expires_at,
        revoked_at=None,
        deleted_at=None,
        grace_ends_at=None,
        metadata=new.metadata,
        assurance=None,
    )
