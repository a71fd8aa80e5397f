"""`authsvc org update|suspend|reinstate|delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from authsvc.cli.options import AnyNetwork, AsJson, Clear, Etag, Labels, Networks, Reason, Yes

_CLEARABLE = frozenset({"plan", "networks", "metadata"})

IdOrName = Annotated[str, typer.Argument(metavar="ORG", help="Id or name.", show_default=False)]


def update(  # noqa: PLR0913 - one parameter a flag
    *,
    organization: IdOrName,
    name: Annotated[str | None, typer.Option("--name", help="A new name that nobody else has.")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="A plan of the configuration.")] = None,
    network: Networks = None,
    allow_any_network: AnyNetwork = False,
    metadata: Labels = None,
    clear: Clear = None,
    etag: Etag = "",
    as_json: AsJson = False,
) -> None:
    """
    Change an organization. What is not named stays as it is.

    Example: authsvc org update "Acme GmbH" --plan pro --clear networks
    """
    from authsvc_client.v1.organization_pb2 import Organization
    from authsvc_client.v1.organization_service_pb2 import UpdateOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output, values
    from authsvc.cli.client import Client

    given = {
        "name": name,
        "plan": plan,
        "networks": values.networks(network, allow_any=allow_any_network),
        "metadata": values.labels(metadata) or None,
    }
    mask = values.mask(given, clear, _CLEARABLE)
    client = Client.from_environment()
    request = UpdateOrganizationRequest(
        id=client.organization_id(organization),
        organization=Organization(**values.given(given)),
        update_mask=mask,
        etag=etag,
    )
    response = client.call(client.stub(OrganizationServiceStub).UpdateOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.organization_record(response.organization))


def suspend(
    *, organization: IdOrName, reason: Reason = "", etag: Etag = "", yes: Yes = False, as_json: AsJson = False
) -> None:
    """
    Deny all keys of an organization, until it is reinstated.

    Example: authsvc org suspend "Acme GmbH" --reason "unpaid since May" --yes
    """
    from authsvc_client.v1.organization_service_pb2 import SuspendOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.cli.confirmation import confirm

    confirm(f"this denies every key of {organization}", yes=yes)
    client = Client.from_environment()
    request = SuspendOrganizationRequest(id=client.organization_id(organization), reason=reason, etag=etag)
    response = client.call(client.stub(OrganizationServiceStub).SuspendOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        since = output.instant(response.organization.suspended_at)
        output.say(f"{response.organization.id} ({response.organization.name}) is suspended since {since}")


def reinstate(*, organization: IdOrName, reason: Reason = "", etag: Etag = "", as_json: AsJson = False) -> None:
    """
    End a suspension. Keys that were revoked meanwhile stay revoked.

    Example: authsvc org reinstate "Acme GmbH" --reason paid
    """
    from authsvc_client.v1.organization_service_pb2 import ReinstateOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client

    client = Client.from_environment()
    request = ReinstateOrganizationRequest(id=client.organization_id(organization), reason=reason, etag=etag)
    response = client.call(client.stub(OrganizationServiceStub).ReinstateOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        output.say(f"{response.organization.id} ({response.organization.name}) is active")


def delete(
    *, organization: IdOrName, reason: Reason = "", etag: Etag = "", yes: Yes = False, as_json: AsJson = False
) -> None:
    """
    Delete an organization none of whose keys lives. The audit trail keeps it.

    Example: authsvc org delete "Acme GmbH" --reason "left us" --yes
    """
    from authsvc_client.v1.organization_service_pb2 import DeleteOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.cli.confirmation import confirm

    confirm(f"this deletes {organization} for good", yes=yes)
    client = Client.from_environment()
    request = DeleteOrganizationRequest(id=client.organization_id(organization), reason=reason, etag=etag)
    response = client.call(client.stub(OrganizationServiceStub).DeleteOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        output.say(f"{response.organization.id} ({response.organization.name}) is deleted")
