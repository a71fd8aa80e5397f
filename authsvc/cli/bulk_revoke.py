"""`authsvc key bulk-revoke`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli import key_filters
from authsvc.cli.keys import Force
from authsvc.cli.options import AsJson, Yes

if TYPE_CHECKING:
    from authsvc_client.v1.key_service_pb2 import BulkRevokeKeysRequest, BulkRevokeKeysResponse

    from authsvc.cli.client import Client


def bulk_revoke(  # noqa: PLR0913 - one parameter a flag
    *,
    key_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The keys, or options that select them.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")],
    api: key_filters.Api = "",
    organization: key_filters.Organization = "",
    kind: key_filters.Kind = "",
    environment: key_filters.Environment = "",
    status: key_filters.Status = None,
    name_prefix: key_filters.NamePrefix = "",
    older_than: key_filters.OlderThan = None,
    expires_within: key_filters.ExpiresWithin = None,
    unused_for: key_filters.UnusedFor = None,
    unused: key_filters.Unused = False,
    expect: Annotated[int | None, typer.Option("--expect", min=0, help="Only if just so many keys match.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many keys it would be, and change nothing.")
    ] = False,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Revoke all keys that are named, or that the options select, at once and for good.

    They are counted first; then they are revoked in batches of 1000, each of them whole or not at all.

    Example: authsvc key bulk-revoke --org "Acme GmbH" --unused-for 90d --reason "quarterly review" --dry-run
    """
    from authsvc_client.v1.key_service_pb2 import BulkRevokeKeysRequest

    from authsvc.cli.client import Client

    client = Client.from_environment()
    where = key_filters.key_filter(
        client,
        api=api,
        organization=organization,
        kind=kind,
        environment=environment,
        status=status,
        name_prefix=name_prefix,
        older_than=older_than,
        expires_within=expires_within,
        unused_for=unused_for,
        unused=unused,
    )
    request = BulkRevokeKeysRequest(ids=key_ids or (), reason=reason, force=force, expected_count=expect, dry_run=True)
    if where.ListFields():
        request.filter.CopyFrom(where)
    answer = _call(client, request) if dry_run else _carried_out(client, request, yes=yes)
    _tell(answer, dry_run=dry_run, as_json=as_json)


def _carried_out(client: Client, request: BulkRevokeKeysRequest, *, yes: bool) -> BulkRevokeKeysResponse:
    from authsvc.cli.confirmation import confirm

    planned = _call(client, request)
    total = planned.revoked + planned.remaining
    confirm(f"this revokes {total} keys for good", yes=yes)
    return _revoke(client, request, total)


def _tell(answer: BulkRevokeKeysResponse, *, dry_run: bool, as_json: bool) -> None:
    from authsvc.cli import output

    if as_json:
        output.print_json(answer)
        return
    if dry_run:
        output.say(f"{answer.revoked + answer.remaining} keys would be revoked")
    else:
        output.say(f"{answer.revoked} keys are revoked")
        if answer.remaining:
            output.say(f"{answer.remaining} that match were made meanwhile and live: run it again")
    if answer.already_dead:
        output.say(f"{answer.already_dead} of those named did not work any more")


def _revoke(client: Client, request: BulkRevokeKeysRequest, total: int) -> BulkRevokeKeysResponse:
    from authsvc_client.v1.key_service_pb2 import BulkRevokeKeysResponse

    request.dry_run = False
    # Not one more than was agreed to: keys that match since then are another decision.
    request.expected_count = total
    done = BulkRevokeKeysResponse()
    while True:
        answer = _call(client, request)
        done.revoked += answer.revoked
        done.key_ids.extend(answer.key_ids)
        done.already_dead, done.revision = answer.already_dead, answer.revision
        left = total - done.revoked
        if left <= 0 or not answer.remaining:
            done.remaining = answer.remaining
            return done
        request.expected_count = min(left, answer.remaining)


def _call(client: Client, request: BulkRevokeKeysRequest) -> BulkRevokeKeysResponse:
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    return client.call(client.stub(KeyServiceStub).BulkRevokeKeys, request)
