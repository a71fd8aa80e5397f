"""`authsvc usage …`."""

from __future__ import annotations

from typing import Annotated

import typer

from authsvc.cli.options import AsJson, chosen

app = typer.Typer(no_args_is_help=True, help="How often keys were used.", rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Make `show` a command of its own, although it is the only one."""


@app.command()
def show(  # noqa: PLR0913 - one parameter a flag
    *,
    since: Annotated[str, typer.Option("--since", help="How long ago the period begins, such as 7d.")] = "24h",
    start: Annotated[str | None, typer.Option("--from", help="Its beginning instead, as 2030-01-31T12:00:00Z.")] = None,
    end: Annotated[str | None, typer.Option("--until", help="Its end, likewise. Default: now.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Tell apart by key, org, api, route, verdict or reason; repeat it."),
    ] = None,
    bucket: Annotated[str, typer.Option("--bucket", help="A row for each minute, hour or day.")] = "",
    api: Annotated[str, chosen("--api", "Of this API only.")] = "",
    organization: Annotated[str, chosen("--org", "Of this organization only; id or name.")] = "",
    key_id: Annotated[str, chosen("--key", "Of the key with this id only.")] = "",
    route: Annotated[str, chosen("--route", 'Of this route only, such as "GET /v1/orders".')] = "",
    verdict: Annotated[str, chosen("--verdict", "Only what was answered allow, or deny.")] = "",
    reason: Annotated[str, chosen("--reason", "Only refusals for this reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """
    Sum decisions, those of the last seconds excepted.

    Example: authsvc usage show --since 7d --bucket day --by key --by reason --org "Acme GmbH"
    """
    from authsvc_client.v1.usage_service_pb2 import QueryUsageRequest, QueryUsageResponse
    from authsvc_client.v1.usage_service_pb2_grpc import UsageServiceStub

    from authsvc.cli import output, usage_rows, values
    from authsvc.cli.client import Client

    request = QueryUsageRequest(
        start_time=values.ago(since, "--since") if start is None else values.instant(start, "--from"),
        end_time=None if end is None else values.instant(end, "--until"),
        bucket=usage_rows.bucket(bucket),
        group_by=usage_rows.dimensions(by or ()),
        api=api,
        key_id=key_id,
        route=route,
        verdict=usage_rows.verdict(verdict),
        reason=reason,
        page_size=1000,
    )
    client = Client.from_environment()
    request.organization_id = client.organization_id(organization)
    stub, everything = client.stub(UsageServiceStub), QueryUsageResponse()
    while True:
        page = client.call(stub.QueryUsage, request)
        everything.rows.extend(page.rows)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if as_json:
        output.print_json(everything)
    else:
        columns = usage_rows.columns(by or (), in_time=bool(bucket))
        output.print_table(columns, (usage_rows.row(found, columns) for found in everything.rows))
