"""`authsvc key update|rotate|delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from authsvc.cli.keys import Force, KeyId
from authsvc.cli.options import AnyNetwork, AsJson, Clear, Etag, Labels, Networks, Reason, SecretFile, SecretOnly, Yes

_CLEARABLE = frozenset({"scopes", "origins", "networks", "not_before", "expires_at", "metadata", "rate_limits"})


def update(  # noqa: PLR0913 - one parameter a flag
    *,
    key_id: KeyId,
    name: Annotated[str | None, typer.Option("--name", help="A new name for people.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="A scope to hold, in place of all; repeat it.")
    ] = None,
    full_access: Annotated[
        bool | None, typer.Option("--full-access/--no-full-access", help="Grant all that need not be named, or not.")
    ] = None,
    origin: Annotated[list[str] | None, typer.Option("--origin", help="An origin, in place of all; repeat it.")] = None,
    network: Networks = None,
    allow_any_network: AnyNetwork = False,
    rate_limit: Annotated[
        list[str] | None, typer.Option("--rate-limit", help="A limit such as 10/minute, in place of all; repeat it.")
    ] = None,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="How long it works, such as 90d.")] = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", help="Until when, as 2030-01-31T12:00:00Z.")] = None,
    not_before: Annotated[str | None, typer.Option("--not-before", help="From when on, likewise.")] = None,
    metadata: Labels = None,
    clear: Clear = None,
    etag: Etag = "",
    as_json: AsJson = False,
) -> None:
    """
    Change a key. What is not named stays as it is.

    Example: authsvc key update key_01JZ8K3V5T7W9X1Y3Z5A7B9C1D --scope orders:read --clear networks
    """
    from authsvc_client.v1.key_pb2 import Key
    from authsvc_client.v1.key_service_pb2 import UpdateKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output, values
    from authsvc.cli.client import Client

    given = {
        "name": name,
        "scopes": scope,
        "full_access": full_access,
        "origins": values.origins(origin),
        "networks": values.networks(network, allow_any=allow_any_network),
        "not_before": None if not_before is None else values.instant(not_before, "--not-before"),
        "expires_at": values.expiry(expires_in, expires_at),
        "metadata": values.labels(metadata) or None,
        "rate_limits": rate_limit,
    }
    mask = values.mask(given, clear, _CLEARABLE)
    client = Client.from_environment()
    request = UpdateKeyRequest(id=key_id, key=Key(**values.given(given)), update_mask=mask, etag=etag)
    response = client.call(client.stub(KeyServiceStub).UpdateKey, request)
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.key_record(response.key))


def rotate(
    *,
    key_id: KeyId,
    grace: Annotated[
        str | None, typer.Option("--grace", help="How long the old key still works, such as 15m or 0s.")
    ] = None,
    etag: Etag = "",
    secret_only: SecretOnly = False,
    secret_file: SecretFile = None,
    as_json: AsJson = False,
) -> None:
    """
    Replace a key by one that can do the same. The new key's text is shown this once.

    Example: authsvc key rotate key_01JZ8K3V5T7W9X1Y3Z5A7B9C1D --grace 1h
    """
    from authsvc_client.v1.key_service_pb2 import RotateKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output, values
    from authsvc.cli.client import Client
    from authsvc.cli.keys import check_secret_options, show_secret

    check_secret_options(secret_file, secret_only=secret_only, as_json=as_json)
    request = RotateKeyRequest(id=key_id, grace=None if grace is None else values.lasting(grace, "--grace"), etag=etag)
    client = Client.from_environment()
    response = client.call(client.stub(KeyServiceStub).RotateKey, request)
    show_secret(response, secret_file, secret_only=secret_only, as_json=as_json)
    if not as_json:
        output.note(f"{key_id} works until {output.instant(response.predecessor.grace_ends_at)}.")


def delete(
    *,
    key_id: KeyId,
    reason: Reason = "",
    etag: Etag = "",
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Delete a key: it works no longer and is not listed. The audit trail keeps it.

    Example: authsvc key delete key_01JZ8K3V5T7W9X1Y3Z5A7B9C1D --reason "never used" --yes
    """
    from authsvc_client.v1.key_service_pb2 import DeleteKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.cli.confirmation import confirm

    confirm(f"this deletes {key_id} for good", yes=yes)
    client = Client.from_environment()
    request = DeleteKeyRequest(id=key_id, reason=reason, etag=etag, force=force)
    response = client.call(client.stub(KeyServiceStub).DeleteKey, request)
    if as_json:
        output.print_json(response)
    else:
        output.say(f"{response.key.id} ({response.key.name}) is deleted")
