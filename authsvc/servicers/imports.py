"""ImportKeys: a stream of messages ⇄ batches of records."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from authsvc_client.v1 import key_pb2
from authsvc_client.v1 import key_service_pb2 as pb

from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.importing import MAX_BATCH, ForeignKey
from authsvc.domain.keys import Assurance
from authsvc.servicers import wire
from authsvc.telemetry import ImportCounters
from authsvc.usecases.import_keys import Header, ImportKeys, Received, Report

SILENCE = 30.0  # seconds without a message, after which a call is ended
MAX_BATCH_BYTES = 1024 * 1024

# What is not said is not known.
_ASSURANCE = {
    key_pb2.KEY_ASSURANCE_UNSPECIFIED: Assurance.UNKNOWN,
    key_pb2.KEY_ASSURANCE_UNKNOWN: Assurance.UNKNOWN,
    key_pb2.KEY_ASSURANCE_DECLARED: Assurance.DECLARED,
}
_HEADER_FIRST = "header: is the first message, and only that"


async def import_keys(
    use: ImportKeys, caller: Administrator, requests: AsyncIterator[pb.ImportKeysRequest], counters: ImportCounters
) -> pb.ImportKeysResponse:
    """Serve one call: see key_service.proto."""
    header = await _header(requests)
    report = await use(caller, header, _batches(requests))
    if not header.dry_run:
        counters.imported += report.imported
        counters.present += report.present
        counters.rejected += report.rejected
    return _response(report)


async def _header(requests: AsyncIterator[pb.ImportKeysRequest]) -> Header:
    first = await _next(requests)
    if first is None or not first.HasField("header"):
        raise InvalidInputError(_HEADER_FIRST)
    assurance = _ASSURANCE.get(first.header.assurance)
    if assurance is None:
        raise InvalidInputError("header.assurance: UNKNOWN or DECLARED")
    return Header(
        source=first.header.source,
        api=wire.word(first.header.api, "header.api"),
        dry_run=first.header.dry_run,
        assurance=assurance,
        request_id=first.header.request_id,
    )


async def _batches(requests: AsyncIterator[pb.ImportKeysRequest]) -> AsyncIterator[Received]:
    while (request := await _next(requests)) is not None:
        if not request.HasField("batch"):
            raise InvalidInputError(_HEADER_FIRST)
        if len(request.batch.records) > MAX_BATCH or request.ByteSize() > MAX_BATCH_BYTES:
            raise InvalidInputError(f"batch.records: 1 to {MAX_BATCH}, at most {MAX_BATCH_BYTES} bytes in all")
        yield _received(request.batch)


async def _next(requests: AsyncIterator[pb.ImportKeysRequest]) -> pb.ImportKeysRequest | None:
    async with asyncio.timeout(SILENCE):
        return await anext(requests, None)


def _received(batch: pb.ImportBatch) -> Received:
    digest = hashlib.sha256()
    records = []
    for record in batch.records:
        # Length first, so that no two lists of records read alike.
        said = record.SerializeToString(deterministic=True)
        digest.update(len(said).to_bytes(4, "big") + said)
        records.append(_record(record))
    return Received(records=records, digest=digest.digest())


def _record(record: pb.ImportRecord) -> ForeignKey:
    return ForeignKey(
        line=record.line,
        external_id=record.external_id,
        algorithm=record.alg,
        encoding=record.encoding,
        digest=record.digest,
        text=record.secret,
        prefix=record.prefix_class,
        organization_id=record.organization_id,
        kind=record.kind,
        environment=record.environment,
        scopes=tuple(record.scopes),
        full_access=record.full_access,
        expires_at=_instant(record) if record.HasField("expires_at") else None,
        name=record.name,
    )


def _instant(record: pb.ImportRecord) -> int:
    try:
        return wire.instant(record.expires_at, "expires_at")
    except InvalidInputError:
        return -1  # an end that never lay ahead: the record is rejected, and not the batch


def _response(report: Report) -> pb.ImportKeysResponse:
    return pb.ImportKeysResponse(
        imported=report.imported,
        already_present=report.present,
        rejected_count=report.rejected,
        rejected=[
            pb.ImportRejection(line=told.line, external_id=told.external_id, cause=told.cause)
            for told in sorted(report.told, key=lambda told: told.line)
        ],
        revision="" if report.revision is None else str(report.revision),
        digest=report.digest,
    )
