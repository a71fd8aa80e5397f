"""What `FakeStore` promises of imports and of stored forms: `ports.ImportStore` and `ports.FormStore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from authsvc.domain.administration import OPERATORS, Actor, Key, OrganizationStatus
from authsvc.domain.hashing import Digest
from authsvc.domain.importing import Import
from authsvc.domain.keys import KeyRecord
from authsvc.ports import PRESENT, ImportBatch, ImportedBatch, StoredForm
from tests.support.fake_changes import Event

if TYPE_CHECKING:
    from tests.support.fakes import FakeStore


class FakeImports:
    """A part of `FakeStore`."""

    async def examine_import(self: FakeStore, batch: ImportBatch) -> Sequence[str | None]:
        """Tell what storing the batch would make of each key."""
        self._reach()
        return [self._import_cause(batch, key) for key in batch.keys]

    async def import_keys(self: FakeStore, batch: ImportBatch, actor: Actor) -> ImportedBatch:
        """Store those keys of the batch that can be."""
        causes = await self.examine_import(batch)
        stored = [key for key, cause in zip(batch.keys, causes, strict=True) if cause is None]
        for key in stored:
            self.keys[key.id], self.digests[key.digest] = self._imported(batch, key, actor), key.id
            self.forms[key.digest] = (key.pepper_id, key.algorithm)
        if not stored:
            return ImportedBatch(causes=causes, revision=None)
        changed = self._changed(None, Event("key.import", batch.source, actor, str(len(stored))))
        return ImportedBatch(causes=causes, revision=changed.revision)

    async def replace_form(self: FakeStore, key_id: str, old: Digest, new: StoredForm) -> bool:
        """Store a key under another digest."""
        self._reach()
        if self.digests.get(old) != key_id or new.digest in self.digests:
            return False
        del self.digests[old]
        self.digests[new.digest] = key_id
        self.forms[new.digest] = (new.pepper_id, new.algorithm)
        return True

    def _import_cause(self: FakeStore, batch: ImportBatch, key: Import) -> str | None:
        pairs = {(known.import_source, known.external_id) for known in self.keys.values()}
        if (batch.source, key.external_id) in pairs:
            return PRESENT
        owner = self.organizations.get(key.organization_id)
        if owner is None or owner.status is OrganizationStatus.DELETED or owner.name == OPERATORS:
            return "organization_id: not for imports"
        taken = any(digest in self.digests for digest in key.digests)
        return "digest: this key exists already" if taken else None

    def _imported(self: FakeStore, batch: ImportBatch, key: Import, actor: Actor) -> Key:
        terms, owner, now = key.terms, self.organizations[key.organization_id], self.clock.now()
        record = KeyRecord(
            id=key.id,
            api=batch.api,
            organization_id=owner.id,
            organization_active=owner.status is OrganizationStatus.ACTIVE,
            organization_networks=owner.networks,
            plan=owner.plan,
            kind=terms.kind,
            environment=terms.environment,
            scopes=terms.scopes,
            full_access=terms.full_access,
            origins=terms.origins,
            networks=terms.networks,
            limits=terms.limits,
            not_before=terms.not_before,
            expires_at=terms.expires_at,
            revoked_at=None,
            deleted_at=None,
            grace_ends_at=None,
            metadata={},
            assurance=key.assurance,
        )
        return Key(
            record=record,
            name=key.name,
            hint=key.hint,
            created_at=now,
            created_by=actor.key_id or "cli",
            updated_at=now,
            last_used_at=None,
            revoke_reason="",
            successor_id=None,
            predecessor_id=None,
            etag="1",
            import_source=batch.source,
            external_id=key.external_id,
        )
