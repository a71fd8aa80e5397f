"""What `FakeStore` does beside beginnings, revocations and suspensions; it keeps what `ports.Registry` promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from authsvc.domain.administration import OPERATORS, Actor, Changed, Key, Organization, OrganizationStatus, Rotated
from authsvc.domain.errors import AlreadyExistsError, ConflictError, FailedPreconditionError, NotFoundError
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.lifecycle import LIVE, KeyStatus, status_of
from authsvc.domain.updating import Update
from authsvc.ports import KeyFilter, NewKey, OrganizationUpdate, Recalled

DAY = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Event:
    """One change as the audit trail keeps it."""

    action: str
    target: str
    actor: Actor
    reason: str = ""


@dataclass(frozen=True)
class Note:
    """What was done under a request id."""

    body: bytes
    target: str
    seq: int
    at: Micros


@dataclass
class FakeChanges:
    """The part of `FakeStore` that changes what is there. Its clock and dictionaries are the store's."""

    notes: dict[tuple[str, str], Note] = field(default_factory=dict, kw_only=True)

    async def recall(self: Any, actor: Actor) -> Recalled | None:
        """Return what the actor did under this request id in the last 24 hours."""
        self._reach()
        note = self.notes.get((actor.key_id, actor.request_id))
        if note is None or self.clock.now() - note.at >= DAY:
            return None
        if note.body != actor.body:
            raise AlreadyExistsError("request_id: it was used for another request")
        return Recalled(target_id=note.target, revision=Revision(epoch=self._revision().epoch, seq=note.seq))

    async def get_tombstone(self: Any, key_id: str) -> Key:
        """Return one key, whatever its status."""
        self._reach()
        if key_id not in self.keys:
            raise NotFoundError("there is no such key")
        key: Key = self._current(self.keys[key_id])
        return key

    async def revoke_keys(
        self: Any,
        key_ids: Sequence[str],
        reason: str,
        actor: Actor,
        *,
        etag: str = "",
        others: Sequence[Key] | None = None,
        as_read: Key | None = None,
        same_successor: bool = False,
    ) -> Changed[tuple[Key, ...]]:
        """Revoke several keys at one position."""
        found = [await self.get_key(key_id) for key_id in key_ids]
        check_etag(found[0].etag, etag)
        if as_read is not None and same_successor and as_read.successor_id != found[0].successor_id:
            raise ConflictError(f"it has changed since it was read: its etag is now {found[0].etag}")
        living, seq = [key for key in found if key.record.revoked_at is None], self.seq
        for key in living:
            self._revoke(key, reason, actor)
        if living:
            self.seq = seq + 1
        self._note(actor, key_ids[0])
        value = tuple([await self.get_key(key_id) for key_id in key_ids])
        return Changed(value=value, revision=self._revision())

    async def update_key(
        self: Any, key_id: str, etag: str, update: Update, actor: Actor, *, others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Change a key."""
        key = await self.get_key(key_id)
        check_etag(key.etag, etag)
        terms = {name: getattr(update.terms, name) for name in ("scopes", "full_access", "origins", "networks")}
        times = {name: getattr(update.terms, name) for name in ("limits", "not_before", "expires_at")}
        changes = {"metadata": update.metadata, **terms, **times}
        return self._keep(key, Event("key.update", key_id, actor), changes, name=update.name)

    async def rotate_key(
        self: Any, key_id: str, etag: str, new: NewKey, grace: Micros, actor: Actor
    ) -> Changed[Rotated]:
        """Store a successor, and end the key after the grace."""
        key = await self.get_key(key_id)
        check_etag(key.etag, etag)
        now = self.clock.now()
        ends = min(now + grace, key.record.grace_ends_at or now + grace)
        made = await self.create_key(new, replace(actor, request_id=""))
        self.events.pop()
        self.seq -= 1
        successor = replace(made.value, predecessor_id=key_id)
        self.keys[new.id] = successor
        changed = self._keep(key, Event("key.rotate", key_id, actor), {"grace_ends_at": ends}, successor_id=new.id)
        self._note(actor, new.id)
        return Changed(value=Rotated(key=successor, predecessor=changed.value), revision=changed.revision)

    async def delete_key(
        self: Any, key_id: str, reason: str, actor: Actor, *, etag: str = "", others: Sequence[Key] | None = None
    ) -> Changed[Key]:
        """Hide a key."""
        key = await self.get_key(key_id)
        check_etag(key.etag, etag)
        return self._keep(key, Event("key.delete", key_id, actor, reason), {"deleted_at": self.clock.now()})

    async def update_organization(
        self: Any, organization_id: str, etag: str, update: OrganizationUpdate, actor: Actor
    ) -> Changed[Organization]:
        """Change an organization."""
        found = await self.get_organization(organization_id)
        check_etag(found.etag, etag)
        if any(o.name == update.name and o.id != found.id for o in self._present()):
            raise AlreadyExistsError("name: another organization has it")
        changes = {name: getattr(update, name) for name in ("name", "plan", "networks", "metadata")}
        return self._alter(found, Event("organization.update", found.id, actor), changes)

    async def delete_organization(
        self: Any, organization_id: str, reason: str, actor: Actor, *, etag: str = ""
    ) -> Changed[Organization]:
        """Delete an organization without a living key."""
        found = await self.get_organization(organization_id)
        check_etag(found.etag, etag)
        if found.name == OPERATORS:
            raise FailedPreconditionError("the operators' organization cannot be deleted")
        if found.status is OrganizationStatus.DELETED:
            self._note(actor, organization_id)
            return Changed(value=found, revision=self._revision())
        owned = [key.record for key in self.keys.values() if key.record.organization_id == organization_id]
        if any(status_of(record, self.clock.now()) in LIVE | {KeyStatus.NOT_YET_VALID} for record in owned):
            raise FailedPreconditionError("a key of the organization lives")
        changes = {"status": OrganizationStatus.DELETED}
        return self._alter(found, Event("organization.delete", found.id, actor, reason), changes)

    def _revoke(self: Any, key: Key, reason: str, actor: Actor) -> Changed[Key]:
        event = Event("key.revoke", key.record.id, actor, reason)
        return self._keep(key, event, {"revoked_at": self.clock.now()}, revoke_reason=reason)

    def _keep(self: Any, key: Key, event: Event, changes: dict[str, Any], **others: Any) -> Changed[Key]:
        now, etag = self.clock.now(), next_etag(key.etag)
        kept = replace(key, record=replace(key.record, **changes), updated_at=now, etag=etag, **others)
        self.keys[key.record.id] = kept
        return self._changed(kept, event)

    def _alter(self: Any, found: Organization, event: Event, changes: dict[str, Any]) -> Changed[Organization]:
        kept = replace(found, **changes, updated_at=self.clock.now(), etag=next_etag(found.etag))
        self.organizations[found.id] = kept
        return self._changed(kept, event)

    def _changed(self: Any, value: Any, event: Event) -> Changed[Any]:
        self.seq += 1
        self.events.append(event)
        self._note(event.actor, event.target)
        return Changed(value=value, revision=self._revision())

    def _note(self: Any, actor: Actor, target: str) -> None:
        if actor.request_id and actor.body:
            note = Note(actor.body, target, self.seq, self.clock.now())
            self.notes[actor.key_id, actor.request_id] = note


def check_etag(current: str, meant: str) -> None:
    """Raise unless the version is the one that is meant, or any is."""
    if meant not in ("", current):
        raise ConflictError(f"it has changed since it was read: its etag is now {current}")


def next_etag(etag: str) -> str:
    """Return the version after this one."""
    return str(int(etag) + 1)


def listed(key: Key, where: KeyFilter, after: str | None, now: Micros) -> bool:
    """Whether a filter selects a key behind another one."""
    record, used = key.record, key.last_used_at
    wanted = (where.api, where.organization_id, where.kind, where.environment)
    has = (record.api, record.organization_id, record.kind, record.environment)
    return all(
        (
            record.id > (after or ""),
            all(want in (None, value) for want, value in zip(wanted, has, strict=True)),
            _status(record, now) in (where.statuses or frozenset(KeyStatus) - {KeyStatus.DELETED}),
            key.name.startswith(where.name_prefix or ""),
            where.created_after is None or key.created_at >= where.created_after,
            _before(key.created_at, where.created_before),
            _before(record.expires_at, where.expires_before),
            _before(used, where.last_used_before),
            not where.unused or used is None,
        )
    )


def _status(record: KeyRecord, now: Micros) -> KeyStatus:
    return status_of(record, now)


def _before(instant: Micros | None, end: Micros | None) -> bool:
    return end is None or (instant is not None and instant < end)
