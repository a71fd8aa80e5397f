"""`authsvc key import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authsvc_client.v1.key_service_pb2 import (
        ImportHeader,
        ImportKeysRequest,
        ImportKeysResponse,
        ImportRecord,
        ImportRejection,
    )

    from authsvc.cli.client import Client

CALL = 10_000  # lines; the service tells every rejected record of so many
BATCH = 1000  # records
BATCH_BYTES = 900 * 1024
TIMEOUT = 300.0  # seconds, of one call

_OVERHEAD = 16  # bytes at most that a record takes in a batch besides its own


def import_(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines or CSV; - for standard input.")],
    api: Annotated[str, typer.Option("--api", help="An API of the configuration.")],
    source: Annotated[str, typer.Option("--source", help="A name for the system that the keys come from.")],
    organization: Annotated[
        str, typer.Option("--org", help="Id or name of the owner of keys that name none themselves.")
    ] = "",
    assurance: Annotated[
        str,
        typer.Option("--assurance", help="Of digests: declared (random, 128 bits or more) or unknown."),
    ] = "unknown",
    form: Annotated[str, typer.Option("--format", help="jsonl or csv. Default: by the file's name.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, and store nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """
    Import keys that another system made, as digests or as texts. Those that are there already stay as they are.

    Every rejected line is told with its cause; the exit status is 1 when there are any. What was imported stays:
    repair the rest and import the file again.

    Example: authsvc key import keys.jsonl --api shop --source legacy --dry-run
    """
    from authsvc_client.v1.key_service_pb2 import ImportHeader, ImportKeysResponse

    from authsvc.cli import import_files, output, values
    from authsvc.cli.client import Client
    from authsvc.cli.errors import REFUSED
    from authsvc.cli.progress import progress

    client, total = Client.from_environment(), ImportKeysResponse()
    owner = client.organization_id(organization)
    header = ImportHeader(source=source, api=api, dry_run=dry_run, assurance=values.assurance(assurance))
    with import_files.opened(file, form) as opened, progress(opened) as advance:
        lines = import_files.records(opened, owner)
        while part := _part(lines):
            answer = _call(client, header, part)
            _add(total, answer, keep=as_json)
            advance()
            if not as_json:
                for told in answer.rejected:
                    output.say(f"line {told.line}: {told.external_id or '(no id)'}: {told.cause}")
    if as_json:
        output.print_json(total)
    else:
        done = "would be imported" if dry_run else "imported"
        output.say(f"{total.imported} {done}, {total.already_present} there already, {total.rejected_count} rejected")
    return REFUSED if total.rejected_count else 0


def _part(lines: Iterator[ImportRecord | ImportRejection]) -> list[ImportRecord | ImportRejection]:
    from itertools import islice

    return list(islice(lines, CALL))


def _call(client: Client, header: ImportHeader, part: list[ImportRecord | ImportRejection]) -> ImportKeysResponse:
    from authsvc_client.v1.key_service_pb2 import ImportKeysRequest, ImportRecord, ImportRejection
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    unfit = [one for one in part if isinstance(one, ImportRejection)]
    sent = [one for one in part if isinstance(one, ImportRecord)]
    # A file without a line that can be sent is still answered by the service: who may not import is told so.
    requests = [ImportKeysRequest(header=header), *_batches(sent)]
    stub = client.stub(KeyServiceStub)
    answer: ImportKeysResponse = client.call(stub.ImportKeys, iter(requests), timeout=TIMEOUT)
    answer.rejected_count += len(unfit)
    told = sorted([*answer.rejected, *unfit], key=lambda rejection: rejection.line)
    del answer.rejected[:]
    answer.rejected.extend(told)
    return answer


def _batches(sent: list[ImportRecord]) -> Iterator[ImportKeysRequest]:
    from authsvc_client.v1.key_service_pb2 import ImportBatch, ImportKeysRequest

    batch, size = ImportBatch(), 0
    for record in sent:
        more = record.ByteSize() + _OVERHEAD
        if len(batch.records) == BATCH or (batch.records and size + more > BATCH_BYTES):
            yield ImportKeysRequest(batch=batch)
            batch, size = ImportBatch(), 0
        batch.records.append(record)
        size += more
    if batch.records:
        yield ImportKeysRequest(batch=batch)


def _add(total: ImportKeysResponse, answer: ImportKeysResponse, *, keep: bool) -> None:
    total.imported += answer.imported
    total.already_present += answer.already_present
    total.rejected_count += answer.rejected_count
    total.revision = answer.revision or total.revision
    if keep:
        total.rejected.extend(answer.rejected[: max(CALL - len(total.rejected), 0)])
