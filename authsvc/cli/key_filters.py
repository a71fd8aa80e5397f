"""Options that select keys, the same for every command that does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli.options import chosen

if TYPE_CHECKING:
    from authsvc_client.v1.key_service_pb2 import KeyFilter

    from authsvc.cli.client import Client

Api = Annotated[str, chosen("--api", "Of this API only.")]
Organization = Annotated[str, chosen("--org", "Of this organization only; id or name.")]
Kind = Annotated[str, chosen("--kind", "Of this kind only.")]
Environment = Annotated[str, chosen("--environment", "Of this environment only.")]
Status = Annotated[
    list[str] | None, typer.Option("--status", help="Of this status, such as active or revoked; repeat it.")
]
NamePrefix = Annotated[str, chosen("--name-prefix", "Whose name begins like this.")]
OlderThan = Annotated[str | None, typer.Option("--older-than", help="Created longer ago, such as 365d.")]
ExpiresWithin = Annotated[
    str | None, typer.Option("--expires-within", help="That end within this time, or have, such as 30d.")
]
UnusedFor = Annotated[str | None, typer.Option("--unused-for", help="Used, but not for this long, such as 90d.")]
Unused = Annotated[bool, typer.Option("--unused", help="Never used.")]


def key_filter(  # noqa: PLR0913 - one parameter a flag
    client: Client,
    *,
    api: str,
    organization: str,
    kind: str,
    environment: str,
    status: list[str] | None,
    name_prefix: str,
    older_than: str | None,
    expires_within: str | None,
    unused_for: str | None,
    unused: bool,
) -> KeyFilter:
    """Return the filter that the options ask for."""
    from authsvc_client.v1.key_service_pb2 import KeyFilter

    from authsvc.cli import values

    return KeyFilter(
        api=api,
        organization_id=client.organization_id(organization),
        kind=kind,
        environment=environment,
        statuses=[values.key_status(name) for name in status or ()],
        name_prefix=name_prefix,
        created_before=None if older_than is None else values.ago(older_than, "--older-than"),
        expires_before=None if expires_within is None else values.ahead(expires_within, "--expires-within"),
        last_used_before=None if unused_for is None else values.ago(unused_for, "--unused-for"),
        unused=unused,
    )
