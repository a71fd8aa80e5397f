"""Take over keys of another system, a batch at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from authsvc.domain import importing, inputs
from authsvc.domain.administration import ADMIN_API, Actor
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Api, Apis
from authsvc.domain.candidates import Candidates
from authsvc.domain.errors import AuthsvcError, ConflictError, InvalidInputError, OverloadedError
from authsvc.domain.hashing import PepperSet
from authsvc.domain.importing import MAX_BATCH, ForeignKey, Import, Intake
from authsvc.domain.keys import Assurance, Revision
from authsvc.ports import PRESENT, Clock, ImportBatch, ImportStore, KeyCache
from authsvc.usecases.uninterrupted import uninterrupted

MAX_IMPORTS = 4  # at once
MAX_TOLD = 10_000  # rejected records

_MAX_CAUSE = 200  # characters of ASCII
_CONTEXT = b"authsvc/import-digest/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What holds for a whole import."""

    source: str
    api: str
    dry_run: bool
    assurance: Assurance  # of digests; texts need none
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One batch, with the SHA-256 digest of all that it says."""

    records: Sequence[ForeignKey]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a record was left out."""

    line: int
    external_id: str
    cause: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of the records so far. `digest` is hexadecimal and names what was received."""

    imported: int = 0
    present: int = 0
    rejected: int = 0
    told: list[Rejection] = field(default_factory=list)  # the first `MAX_TOLD`
    revision: Revision | None = None
    digest: str = ""

    def reject(self, record: ForeignKey, cause: str) -> None:
        """Count a record that is left out."""
        self.rejected += 1
        if len(self.told) < MAX_TOLD:
            told = Rejection(line=record.line, external_id=_shown(record.external_id), cause=cause[:_MAX_CAUSE])
            self.told.append(told)


class ImportKeys:
    """Imports one source at a time. What a call has stored stays, however it ends."""

    def __init__(
        self,
        store: ImportStore,
        keys: KeyCache,
        peppers: PepperSet,
        apis: Apis,
        new_id: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._store = store
        self._keys = keys
        self._pepper = peppers.current
        self._candidates = Candidates(peppers, apis.by_name.values())
        self._apis = apis
        self._new_id = new_id
        self._clock = clock
        self._running: set[str] = set()

    async def __call__(self, caller: Administrator, header: Header, batches: AsyncIterator[Received]) -> Report:
        """Store every batch in a transaction of its own, without the records that are rejected."""
        source, api = importing.source(header.source), self._api(header.api)
        actor = caller.actor(inputs.request_id(header.request_id))
        if source in self._running:
            raise ConflictError("another import of this source is running")
        if len(self._running) >= MAX_IMPORTS:
            raise OverloadedError("too many imports at once")
        self._running.add(source)
        try:
            intake = Intake(caller, api, self._candidates, self._clock.now(), self._new_id, header.assurance)
            return await self._import(actor, header, intake, batches)
        finally:
            self._running.discard(source)

    async def _import(self, actor: Actor, header: Header, intake: Intake, batches: AsyncIterator[Received]) -> Report:
        report, everything = Report(), hashlib.sha256()
        under_way: asyncio.Task[None] | None = None
        try:
            async for received in batches:
                if not 0 < len(received.records) <= MAX_BATCH:
                    raise InvalidInputError(f"batch.records: 1 to {MAX_BATCH}")
                everything.update(received.digest)
                admitted = _admitted(intake, received.records, report)
                # While the database takes one batch the next is looked at, and no more than that.
                if under_way is not None:
                    await under_way
                name = self._name(received.digest)
                work = self._settle(actor, header, admitted, name, report)
                under_way = asyncio.create_task(uninterrupted(work))
        finally:
            if under_way is not None:
                await under_way
        report.digest = self._name(everything.digest())
        return report

    async def _settle(
        self, actor: Actor, header: Header, admitted: Sequence[tuple[ForeignKey, Import]], name: str, report: Report
    ) -> None:
        batch = ImportBatch(
            source=header.source,
            api=header.api,
            assurance=header.assurance,
            keys=[key for _, key in admitted],
            digest=name,
        )
        causes = await self._stored(batch, actor, report, dry_run=header.dry_run) if admitted else ()
        for (record, _), cause in zip(admitted, causes, strict=True):
            _count(report, record, cause)

    async def _stored(self, batch: ImportBatch, actor: Actor, report: Report, *, dry_run: bool) -> Sequence[str | None]:
        if dry_run:
            return await self._store.examine_import(batch)
        stored = await self._store.import_keys(batch, actor)
        if stored.revision is not None:
            self._keys.invalidate_absent(stored.revision, (digest for key in batch.keys for digest in key.digests))
            report.revision = stored.revision
        return stored.causes

    def _api(self, name: str) -> Api:
        if name == ADMIN_API:
            raise InvalidInputError(f"header.api: keys of {ADMIN_API} are made here and never imported")
        api = self._apis.by_name.get(name)
        if api is None:
            names = sorted(self._apis.by_name.keys() - {ADMIN_API})
            raise InvalidInputError(f"header.api: one of {', '.join(names)}")
        return api

    def _name(self, digest: bytes) -> str:
        # Keyed: the bare digest of a batch with one weak key would be a way to test guesses at it.
        return self._pepper.mac(_CONTEXT, digest).hex()


def _admitted(intake: Intake, records: Sequence[ForeignKey], report: Report) -> list[tuple[ForeignKey, Import]]:
    admitted: list[tuple[ForeignKey, Import]] = []
    ids: set[str] = set()
    digests: set[bytes] = set()
    for record in records:
        try:
            found = intake.admit(record)
        except AuthsvcError as error:
            report.reject(record, str(error))
            continue
        if found.external_id in ids:
            report.reject(record, "external_id: another record of this batch has it")
        elif not digests.isdisjoint(found.digests):
            report.reject(record, "digest: another record of this batch is the same key")
        else:
            ids.add(found.external_id)
            digests.update(found.digests)
            admitted.append((record, found))
    return admitted


def _count(report: Report, record: ForeignKey, cause: str | None) -> None:
    if cause is None:
        report.imported += 1
    elif cause == PRESENT:
        report.present += 1
    else:
        report.reject(record, cause)


def _shown(external_id: str) -> str:
    # It may be anything; what is told goes to a terminal.
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in external_id[:128])
