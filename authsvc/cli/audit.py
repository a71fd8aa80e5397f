"""`authsvc audit …`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli.options import AsJson, Yes, chosen

if TYPE_CHECKING:
    from authsvc_client.v1.audit_service_pb2 import AuditEvent, ListAuditEventsRequest

    from authsvc.cli.client import Client

app = typer.Typer(no_args_is_help=True, help="Who did what to keys and organizations.", rich_markup_mode=None)

Since = Annotated[str | None, typer.Option("--since", help="Not longer ago than this, such as 7d.")]
Start = Annotated[str | None, typer.Option("--from", help="Not before this, as 2030-01-31T12:00:00Z.")]
End = Annotated[str | None, typer.Option("--until", help="Before this, likewise.")]


@app.command("list")
def list_(  # noqa: PLR0913 - one parameter a flag
    *,
    organization: Annotated[str, chosen("--org", "Done to this organization or its keys; id or name.")] = "",
    actor: Annotated[str, chosen("--actor", "Done with the key with this id.")] = "",
    actor_organization: Annotated[str, chosen("--actor-org", "Done with a key of this organization; id or name.")] = "",
    action: Annotated[str, chosen("--action", "This was done, such as key.create.")] = "",
    target: Annotated[str, chosen("--target", "Done to what has this id.")] = "",
    request_id: Annotated[str, chosen("--request-id", "Under this request id.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    since: Since = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="So many events at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """
    List the newest events, the newest first.

    Example: authsvc audit list --org "Acme GmbH" --action key.create --since 30d
    """
    import itertools

    from authsvc_client.v1.audit_service_pb2 import (
        AUDIT_OUTCOME_REFUSED,
        AUDIT_OUTCOME_UNSPECIFIED,
        ListAuditEventsRequest,
        ListAuditEventsResponse,
    )

    from authsvc.cli import audit_rows, output
    from authsvc.cli.client import Client

    request = ListAuditEventsRequest(
        actor_key_id=actor,
        action=action,
        target_id=target,
        request_id=request_id,
        outcome=AUDIT_OUTCOME_REFUSED if refused else AUDIT_OUTCOME_UNSPECIFIED,
        page_size=min(limit, 1000),
    )
    _set_period(request, since, start, end)
    client = Client.from_environment()
    request.organization_id = client.organization_id(organization)
    request.actor_organization_id = client.organization_id(actor_organization)
    found = itertools.islice(_events(client, request), limit)
    if as_json:
        output.print_json(ListAuditEventsResponse(events=found))
    else:
        output.print_table(audit_rows.COLUMNS, map(audit_rows.row, found))


@app.command()
def export(
    *,
    since: Since = None,
    start: Start = None,
    end: End = None,
    file: Annotated[Path | None, typer.Option("--output", help="A new file, mode 0600. Default: print it.")] = None,
) -> None:
    """
    Write events as JSON Lines, the oldest first.

    Example: authsvc audit export --from 2030-01-01T00:00:00Z --until 2030-02-01T00:00:00Z --output january.jsonl
    """
    from authsvc_client.v1.audit_service_pb2 import ListAuditEventsRequest

    from authsvc.cli import audit_rows, output
    from authsvc.cli.client import Client
    from authsvc.cli.secrets import write_lines

    request = ListAuditEventsRequest(oldest_first=True, page_size=1000)
    _set_period(request, since, start, end)
    lines = map(audit_rows.line, _events(Client.from_environment(), request))
    if file is not None:
        output.note(f"{write_lines(file, lines)} events are in {file}")
        return
    for line in lines:
        output.say(line)


@app.command()
def verify(
    *,
    anchor: Annotated[
        str | None, typer.Option("--anchor", help="What an earlier verify printed as such, or a file with it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """
    Find events that were edited, removed or moved. Runs on the database itself, with its peppers.

    It prints an anchor: kept where nobody can change it, it shows later whether the end was cut off. The
    exit status is 0 when nothing was found and 1 otherwise.

    Example: authsvc audit verify --anchor /mnt/worm/authsvc.anchor
    """
    import asyncio

    from authsvc.cli import audit_rows, output
    from authsvc.cli.errors import REFUSED
    from authsvc.cli.local import opened
    from authsvc.domain.audit_check import Report

    kept = None if anchor is None else audit_rows.anchor(anchor)

    async def work() -> Report:
        async with opened() as local:
            return await local.store.verify_audit(local.peppers, kept)

    report = asyncio.run(work())
    if as_json:
        output.say(audit_rows.report_json(report))
    else:
        for line in audit_rows.report_lines(report):
            output.say(line)
    return 0 if report.sound else REFUSED


@app.command()
def prune(
    *,
    older_than: Annotated[str, typer.Option("--older-than", help="How long events are kept, such as 730d.")],
    yes: Yes = False,
) -> None:
    """
    Remove events that were kept long enough, in small batches. Runs on the database itself, with its peppers.

    What is left can be verified as before. On PostgreSQL it takes a role that may delete events.

    Example: authsvc audit prune --older-than 730d --yes
    """
    import asyncio

    from authsvc.cli import output, values
    from authsvc.cli.confirmation import confirm
    from authsvc.cli.local import opened

    kept = values.duration(older_than, "--older-than")
    confirm(f"this removes events older than {older_than} for good", yes=yes)

    async def work() -> int:
        async with opened() as local:
            return await local.store.prune_audit(int(kept.total_seconds()) * 1_000_000)

    output.say(f"{asyncio.run(work())} events were removed")


def _set_period(request: ListAuditEventsRequest, since: str | None, start: str | None, end: str | None) -> None:
    from authsvc.cli import values
    from authsvc.cli.errors import USAGE, CommandError

    if since is not None and start is not None:
        raise CommandError("give either --since or --from", USAGE)
    if since is not None:
        request.start_time.CopyFrom(values.ago(since, "--since"))
    if start is not None:
        request.start_time.CopyFrom(values.instant(start, "--from"))
    if end is not None:
        request.end_time.CopyFrom(values.instant(end, "--until"))


def _events(client: Client, request: ListAuditEventsRequest) -> Iterator[AuditEvent]:
    from authsvc_client.v1.audit_service_pb2_grpc import AuditServiceStub

    stub = client.stub(AuditServiceStub)
    while True:
        page = client.call(stub.ListAuditEvents, request)
        yield from page.events
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
