"""`authsvc org …`."""

from __future__ import annotations

from typing import Annotated

import typer

from authsvc.cli.options import AnyNetwork, AsJson, Labels, Networks

app = typer.Typer(no_args_is_help=True, help="Organizations: the customers that keys belong to.", rich_markup_mode=None)


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option("--name", help="A name nobody else has.")],
    plan: Annotated[str, typer.Option("--plan", help="A plan of the configuration.")] = "",
    network: Networks = None,
    allow_any_network: AnyNetwork = False,
    metadata: Labels = None,
    as_json: AsJson = False,
) -> None:
    """
    Create an organization.

    Example: authsvc org create --name "Acme GmbH" --plan pro --network 203.0.113.0/24
    """
    from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output, values
    from authsvc.cli.client import Client

    client = Client.from_environment()
    request = CreateOrganizationRequest(
        name=name,
        plan=plan,
        networks=values.networks(network, allow_any=allow_any_network),
        metadata=values.labels(metadata),
    )
    response = client.call(client.stub(OrganizationServiceStub).CreateOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.organization_record(response.organization))


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """
    List all organizations, oldest first.

    Example: authsvc org list --json
    """
    from authsvc_client.v1.organization_service_pb2 import ListOrganizationsRequest, ListOrganizationsResponse
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client

    client = Client.from_environment()
    stub, request = client.stub(OrganizationServiceStub), ListOrganizationsRequest(page_size=1000)
    everything = ListOrganizationsResponse()
    while True:
        page = client.call(stub.ListOrganizations, request)
        everything.organizations.extend(page.organizations)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    if as_json:
        output.print_json(everything)
    else:
        output.print_table(output.ORGANIZATION_COLUMNS, map(output.organization_row, everything.organizations))


@app.command()
def show(
    *,
    organization: Annotated[str, typer.Argument(metavar="ORG", help="Id or name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """
    Show one organization.

    Example: authsvc org show "Acme GmbH"
    """
    from authsvc_client.v1.organization_service_pb2 import GetOrganizationRequest
    from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

    from authsvc.cli import output
    from authsvc.cli.client import Client
    from authsvc.domain.inputs import is_organization_id

    client = Client.from_environment()
    by_id = is_organization_id(organization)
    request = GetOrganizationRequest(id=organization) if by_id else GetOrganizationRequest(name=organization)
    response = client.call(client.stub(OrganizationServiceStub).GetOrganization, request)
    if as_json:
        output.print_json(response)
    else:
        output.print_record(output.organization_record(response.organization))
