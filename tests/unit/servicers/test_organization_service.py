"""OrganizationService over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.organization_pb2 import ORGANIZATION_STATUS_ACTIVE
from authsvc_client.v1.organization_service_pb2 import (
    CreateOrganizationRequest,
    GetOrganizationRequest,
    ListOrganizationsRequest,
    OrganizationFilter,
)
from authsvc_client.v1.restrictions_pb2 import NetworkList

from tests.support.admin_server import AdminServer, running_administration
from tests.support.administration import NO_ORGANIZATION


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return what a call that must fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


async def test_an_organization_is_made_and_read(admin: AdminServer) -> None:
    """By its id and by its name."""
    request = CreateOrganizationRequest(
        name="Mu\u0308ller <b>", networks=NetworkList(cidrs=["10.0.0.0/8"]), metadata={"crm": "1"}
    )

    made = (await admin.call(admin.organizations.CreateOrganization, request)).organization

    get = admin.organizations.GetOrganization
    by_id = await admin.call(get, GetOrganizationRequest(id=made.id))
    by_name = await admin.call(get, GetOrganizationRequest(name="M\u00fcller <b>"))
    assert by_id.organization == by_name.organization == made
    assert (made.status, list(made.networks.cidrs)) == (ORGANIZATION_STATUS_ACTIVE, ["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"name": "acme"}, grpc.StatusCode.ALREADY_EXISTS, id="taken"),
        pytest.param({"name": "authsvc-operators"}, grpc.StatusCode.ALREADY_EXISTS, id="the-operators-own"),
        pytest.param({"name": "\x1b[31m"}, grpc.StatusCode.INVALID_ARGUMENT, id="escape"),
        pytest.param({"name": NO_ORGANIZATION}, grpc.StatusCode.INVALID_ARGUMENT, id="like-an-id"),
        pytest.param({"plan": "gold"}, grpc.StatusCode.INVALID_ARGUMENT, id="plan"),
        pytest.param({"networks": NetworkList()}, grpc.StatusCode.INVALID_ARGUMENT, id="empty-networks"),
        pytest.param({"request_id": "r 1"}, grpc.StatusCode.INVALID_ARGUMENT, id="request-id"),
    ],
)
async def test_what_cannot_be_made(admin: AdminServer, fields: dict[str, Any], code: grpc.StatusCode) -> None:
    """Taken, or not well-formed."""
    await admin.organization("acme")
    request = CreateOrganizationRequest(**{"name": "globex", **fields})

    told, _ = await refused(admin.call(admin.organizations.CreateOrganization, request))

    assert told is code


@pytest.mark.parametrize(
    ("lookup", "code"),
    [
        pytest.param({}, grpc.StatusCode.INVALID_ARGUMENT, id="nothing"),
        pytest.param({"id": "acme"}, grpc.StatusCode.INVALID_ARGUMENT, id="name-for-id"),
        pytest.param({"id": NO_ORGANIZATION}, grpc.StatusCode.NOT_FOUND, id="absent-id"),
        pytest.param({"name": "nobody"}, grpc.StatusCode.NOT_FOUND, id="absent-name"),
        pytest.param({"name": NO_ORGANIZATION}, grpc.StatusCode.INVALID_ARGUMENT, id="id-for-name"),
    ],
)
async def test_what_cannot_be_read(admin: AdminServer, lookup: dict[str, str], code: grpc.StatusCode) -> None:
    """Absent, or no way of naming one."""
    told, _ = await refused(admin.call(admin.organizations.GetOrganization, GetOrganizationRequest(**lookup)))

    assert told is code


async def test_pages_are_complete(admin: AdminServer) -> None:
    """With tokens that are this caller's own."""
    made = [await admin.organization(name) for name in "abc"]
    list_ = admin.organizations.ListOrganizations
    first = await admin.call(list_, ListOrganizationsRequest(page_size=2))
    rest = await admin.call(list_, ListOrganizationsRequest(page_size=2, page_token=first.next_page_token))
    found = [organization.id for organization in (*first.organizations, *rest.organizations)]
    other = await admin.operator_with("organizations:read")

    code, _ = await refused(admin.call(list_, ListOrganizationsRequest(page_token=first.next_page_token), other))

    assert (found, rest.next_page_token) == ([admin.operators_id, *sorted(made)], "")
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_filter_that_is_not_built_is_not_passed_over(admin: AdminServer) -> None:
    """It would list more than was asked for."""
    request = ListOrganizationsRequest(filter=OrganizationFilter(plan="pro"))

    told = await refused(admin.call(admin.organizations.ListOrganizations, request))

    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "filter.plan: not supported yet")
