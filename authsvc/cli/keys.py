"""`authsvc key …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from authsvc.cli import key_filters
from authsvc.cli.options import AnyNetwork, AsJson, Etag, Labels, Networks, Reason, SecretFile, SecretOnly

if TYPE_CHECKING:
    from authsvc_client.v1.key_service_pb2 import CreateKeyResponse, RotateKeyResponse

app = typer.Typer(no_args_is_help=True, help="API keys.", rich_markup_mode=None)

Force = Annotated[bool, typer.Option("--force", help="Even the last administrator key.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_ and 26 characters.", show_default=False)]


@app.command()
def create(  # noqa: PLR0913 - one parameter a flag
    *,
    api: Annotated[str, typer.Option("--api", help="An API of the configuration.")],
    name: Annotated[str, typer.Option("--name", help="A name for people.")],
    organization: Annotated[
        str, typer.Option("--org", help="Id or name of the owner. Default: the caller's own.")
    ] = "",
    kind: Annotated[str, typer.Option("--kind", help="A kind of the API. Default: the API's own default.")] = "",
    environment: Annotated[str, typer.Option("--environment", help="Needed where the API has several.")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="A scope to grant; repeat it.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="A set of scopes that the API names, instead.")] = "",
    full_access: Annotated[bool, typer.Option("--full-access", help="Grant all that need not be named.")] = False,
    origin: Annotated[list[str] | None, typer.Option("--origin", help="An origin that may use it; repeat it.")] = None,
    network: Networks = None,
    allow_any_network: AnyNetwork = False,
    rate_limit: Annotated[
        list[str] | None, typer.Option("--rate-limit", help="A limit such as 10/minute; repeat it.")
    ] = None,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="How long it works, such as 90d.")] = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", help="Until when, as 2030-01-31T12:00:00Z.")] = None,
    not_before: Annotated[str | None, typer.Option("--not-before", help="From when on, likewise.")] = None,
    metadata: Labels = None,
    secret_only: SecretOnly = False,
    secret_file: SecretFile = None,
    as_json: AsJson = False,
) -> None:
    """
    Create a key. Its text is shown this once.

    Example: authsvc key create --api shop --org "Acme GmbH" --name ci --scope orders:read --expires-in 90d
    """
    from authsvc_client.v1.key_service_pb2 import CreateKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import values
    from authsvc.cli.client import Client

    check_secret_options(secret_file, secret_only=secret_only, as_json=as_json)
    client = Client.from_environment()
    request = CreateKeyRequest(
        api=api,
        organization_id=client.organization_id(organization),
        kind=kind,
        environment=environment,
        name=name,
        scopes=scope or (),
        preset=preset,
        full_access=full_access,
        origins=values.origins(origin),
        networks=values.networks(network, allow_any=allow_any_network),
        not_before=None if not_before is None else values.instant(not_before, "--not-before"),
        expires_at=values.expiry(expires_in, expires_at),
        metadata=values.labels(metadata),
        rate_limits=rate_limit or (),
    )
    response = client.call(client.stub(KeyServiceStub).CreateKey, request)
    show_secret(response, secret_file, secret_only=secret_only, as_json=as_json)


@app.command("list")
def list_(  # noqa: PLR0913 - one parameter a flag
    *,
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
    as_json: AsJson = False,
) -> None:
    """
    List keys, oldest first.

    Example: authsvc key list --api shop --org "Acme GmbH" --status active --expires-within 30d
    """
    from authsvc_client.v1.key_service_pb2 import ListKeysRequest, ListKeysResponse
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client

    client = Client.from_environment()
    stub = client.stub(KeyServiceStub)
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
    request, everything = ListKeysRequest(filter=where, page_size=1000), ListKeysResponse()
    while True:
        page = client.call(stub.ListKeys, request)
        everything.keys.extend(page.keys)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if as_json:
        output.print_json(everything)
    else:
        output.print_table(output.KEY_COLUMNS, map(output.key_row, everything.keys))


@app.command()
def show(*, key_id: KeyId, as_json: AsJson = False) -> None:
    """
    Show one key. Its text is nowhere to be shown.

    Example: authsvc key show key_01JZ8K3V5T7W9X1Y3Z5A7B9C1D
    """
    from authsvc_client.v1.key_service_pb2 import GetKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client

    client = Client.from_environment()
    response = client.call(client.stub(KeyServiceStub).GetKey, GetKeyRequest(id=key_id))
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.key_record(response.key))


@app.command()
def revoke(
    *,
    key_id: KeyId,
    reason: Reason = "",
    include_successor: Annotated[
        bool, typer.Option("--include-successor", help="Also the key that replaced it by rotation.")
    ] = False,
    etag: Etag = "",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """
    Revoke a key, at once and for good.

    Example: authsvc key revoke key_01JZ8K3V5T7W9X1Y3Z5A7B9C1D --reason "found in a repository"
    """
    from authsvc_client.v1.key_service_pb2 import RevokeKeyRequest
    from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client

    client = Client.from_environment()
    request = RevokeKeyRequest(id=key_id, reason=reason, include_successor=include_successor, etag=etag, force=force)
    response = client.call(client.stub(KeyServiceStub).RevokeKey, request)
    if as_json:
        output.print_json(response)
    else:
        output.say(
            f"{response.key.id} ({response.key.name}) is revoked since {output.instant(response.key.revoked_at)}"
        )
        if response.HasField("successor"):
            output.say(f"so is its successor {response.successor.id}")


@app.command()
def identify(*, as_json: AsJson = False) -> None:
    """
    Show which key a text belongs to. The text is read from standard input.

    Example: authsvc key identify < found.txt
    """
    from authsvc_client.v1.decision_service_pb2 import IdentifyKeyRequest
    from authsvc_client.v1.decision_service_pb2_grpc import DecisionServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.cli.secrets import STANDARD_INPUT, read_key

    client = Client.from_environment()
    request = IdentifyKeyRequest(secret=read_key(STANDARD_INPUT).reveal())
    response = client.call(client.stub(DecisionServiceStub).IdentifyKey, request)
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.key_record(response.key))


def check_secret_options(secret_file: Path | None, *, secret_only: bool, as_json: bool) -> None:
    """Find mistakes before a key is made, whose text could not be shown again."""
    from authsvc.cli.errors import USAGE, CommandError

    if secret_only and as_json:
        raise CommandError("give either --json or --secret-only", USAGE)
    if secret_file is not None and secret_file.exists():
        raise CommandError(f"{secret_file}: is already there; name a new file", USAGE)


def show_secret(
    response: CreateKeyResponse | RotateKeyResponse, secret_file: Path | None, *, secret_only: bool, as_json: bool
) -> None:
    """Print a new key, with its text this once."""
    from authsvc.cli import output
    from authsvc.cli.errors import CommandError
    from authsvc.cli.secrets import write_private
    from authsvc.domain.secret import Secret

    secret = response.secret
    if secret_file is not None:
        try:
            write_private(secret_file, Secret(secret))
        except CommandError as error:
            # The key exists, and nobody will ever know its text.
            raise CommandError(f"{error}; key {response.key.id} was made: revoke it", error.status) from None
        response.ClearField("secret")
    if as_json:
        output.print_json(response)
    elif secret_only:
        if secret_file is None:
            output.say(secret)
    else:
        output.print_record(output.key_record(response.key))
        output.say("")
        output.say(f"key text: {secret if secret_file is None else f'in {secret_file}'}")
        output.note("This is the only time the text is available. Keep it where you keep secrets.")
