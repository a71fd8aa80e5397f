"""OrganizationService over the wire: updated, suspended, reinstated, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.key_service_pb2 import ListKeysRequest, RevokeKeyRequest
from authsvc_client.v1.organization_pb2 import (
    ORGANIZATION_STATUS_ACTIVE,
    ORGANIZATION_STATUS_DELETED,
    ORGANIZATION_STATUS_SUSPENDED,
    Organization,
)
from authsvc_client.v1.organization_service_pb2 import (
    DESCRIPTOR,
    CreateOrganizationRequest,
    DeleteOrganizationRequest,
    GetOrganizationRequest,
    ReinstateOrganizationRequest,
    SuspendOrganizationRequest,
    UpdateOrganizationRequest,
)
from authsvc_client.v1.restrictions_pb2 import NetworkList
from google.protobuf.field_mask_pb2 import FieldMask

from tests.support.admin_server import AdminServer, running_administration
from tests.support.administration import NO_ORGANIZATION
from tests.support.databases import run_sql

NAME = FieldMask(paths=["name"])
# No id of another is asked for by these.
WITHOUT_ID = {"CreateOrganization", "ListOrganizations"}


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


def requests_for(id_: str, **fields: Any) -> dict[str, Any]:
    """Return a request for every RPC that takes an organization."""
    changes = {
        "UpdateOrganization": UpdateOrganizationRequest(
            id=id_, organization=Organization(name="new"), update_mask=NAME, **fields
        ),
        "SuspendOrganization": SuspendOrganizationRequest(id=id_, **fields),
        "ReinstateOrganization": ReinstateOrganizationRequest(id=id_, **fields),
        "DeleteOrganization": DeleteOrganizationRequest(id=id_, **fields),
    }
    return changes if fields else {"GetOrganization": GetOrganizationRequest(id=id_), **changes}


def snapshot(url: str) -> list[Any]:
    """Return all that a change could have touched."""
    return [run_sql(url, f"SELECT * FROM {table}") for table in ("organizations", "audit_events", "idempotency")]


async def test_a_suspension_stops_every_key_and_ends(admin: AdminServer) -> None:
    """At once for this instance, in both directions."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read")
    list_ = admin.keys.ListKeys
    assert await admin.call(list_, ListKeysRequest(), made.secret)

    suspended = await admin.call(
        admin.organizations.SuspendOrganization, SuspendOrganizationRequest(id=acme, reason="unpaid")
    )
    during = await refused(admin.call(list_, ListKeysRequest(), made.secret))
    reinstated = await admin.call(
        admin.organizations.ReinstateOrganization, ReinstateOrganizationRequest(id=acme, reason="paid")
    )

    assert await admin.call(list_, ListKeysRequest(), made.secret)
    assert during == (grpc.StatusCode.PERMISSION_DENIED, "The organization is suspended.")
    assert suspended.organization.status == ORGANIZATION_STATUS_SUSPENDED
    assert (suspended.organization.suspend_reason, suspended.organization.HasField("suspended_at")) == ("unpaid", True)
    assert (reinstated.organization.status, reinstated.organization.suspend_reason) == (ORGANIZATION_STATUS_ACTIVE, "")


async def test_an_organization_is_updated_by_its_mask(admin: AdminServer) -> None:
    """What is named changes or is cleared, what is not named stays, whatever the message holds."""
    request = CreateOrganizationRequest(name="acme", networks=NetworkList(cidrs=["10.0.0.0/8"]), metadata={"a": "1"})
    made = (await admin.call(admin.organizations.CreateOrganization, request)).organization
    asked = UpdateOrganizationRequest(
        id=made.id,
        organization=Organization(name="new", metadata={"b": "2"}),
        update_mask=FieldMask(paths=["name", "networks"]),
    )

    changed = (await admin.call(admin.organizations.UpdateOrganization, asked)).organization

    assert (changed.name, changed.HasField("networks"), dict(changed.metadata)) == ("new", False, {"a": "1"})
    read = await admin.call(admin.organizations.GetOrganization, GetOrganizationRequest(name="new"))
    assert read.organization == changed


@pytest.mark.parametrize("path", ["id", "status", "created_at", "etag", "suspended_at", "*", "version"])
async def test_no_other_field_changes(admin: AdminServer, path: str) -> None:
    """Status is switched by RPCs of its own."""
    acme = await admin.organization("acme")
    asked = UpdateOrganizationRequest(id=acme, update_mask=FieldMask(paths=[path]))

    code, text = await refused(admin.call(admin.organizations.UpdateOrganization, asked))

    assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "update_mask")


async def test_an_organization_goes_after_its_keys(admin: AdminServer) -> None:
    """Its name is free then."""
    acme = await admin.organization("acme")
    made = await admin.key(acme)
    delete, request = admin.organizations.DeleteOrganization, DeleteOrganizationRequest(id=acme, reason="left")

    told = await refused(admin.call(delete, request))
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))
    deleted = await admin.call(delete, request)

    assert told == (grpc.StatusCode.FAILED_PRECONDITION, f"a key of the organization lives: {made.key.id}")
    assert deleted.organization.status == ORGANIZATION_STATUS_DELETED
    assert await admin.organization("acme") != acme


def test_every_rpc_that_takes_an_organization_has_a_request_here() -> None:
    """A new one cannot ship without the tests below."""
    methods = {method.name for method in DESCRIPTOR.services_by_name["OrganizationService"].methods}

    assert set(requests_for("")) == methods - WITHOUT_ID


@pytest.mark.parametrize("name", sorted(requests_for("")))
async def test_what_is_not_there_is_not_found(admin: AdminServer, sqlite_url: str, name: str) -> None:
    """One answer, and no row."""
    before = snapshot(sqlite_url)

    code, text = await refused(admin.call(getattr(admin.organizations, name), requests_for(NO_ORGANIZATION)[name]))

    assert (code, text.endswith("no such organization")) == (grpc.StatusCode.NOT_FOUND, True)
    assert before == snapshot(sqlite_url)


@pytest.mark.parametrize("name", sorted(requests_for("")))
async def test_a_products_key_reaches_none(admin: AdminServer, sqlite_url: str, name: str) -> None:
    """Its own, another one and none get one answer, and nothing changes."""
    acme, globex = await admin.organization("acme"), await admin.organization("globex")
    caller = (await admin.key(acme, "keys:read", "keys:write")).secret
    before = snapshot(sqlite_url)

    told = {
        await refused(admin.call(getattr(admin.organizations, name), requests_for(id_)[name], caller))
        for id_ in (acme, globex, NO_ORGANIZATION)
    }

    assert [code for code, _ in told] == [grpc.StatusCode.PERMISSION_DENIED]
    assert before == snapshot(sqlite_url)


@pytest.mark.parametrize("name", ["UpdateOrganization", "SuspendOrganization", "DeleteOrganization"])
async def test_the_operators_own_is_not_touched(admin: AdminServer, sqlite_url: str, name: str) -> None:
    """Nobody locks the administrators out."""
    before = snapshot(sqlite_url)

    code, _ = await refused(admin.call(getattr(admin.organizations, name), requests_for(admin.operators_id)[name]))

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert before == snapshot(sqlite_url)


@pytest.mark.parametrize("name", sorted(requests_for("", etag="9")))
async def test_another_etag_is_aborted_with_the_current_one(admin: AdminServer, name: str) -> None:
    """Every change takes one."""
    acme = await admin.organization("acme")

    told = await refused(admin.call(getattr(admin.organizations, name), requests_for(acme, etag="9")[name]))

    assert told == (grpc.StatusCode.ABORTED, "it has changed since it was read: its etag is now 1")


@pytest.mark.parametrize("name", sorted(requests_for("", request_id="r1")))
async def test_a_repeated_call_changes_nothing_more(admin: AdminServer, sqlite_url: str, name: str) -> None:
    """It answers the same; with another body its id is refused."""
    acme = await admin.organization("acme")
    if name == "ReinstateOrganization":
        await admin.call(admin.organizations.SuspendOrganization, SuspendOrganizationRequest(id=acme))
    method, request = getattr(admin.organizations, name), requests_for(acme, request_id="r1")[name]
    first = await admin.call(method, request)
    before = snapshot(sqlite_url)

    again = await admin.call(method, request)
    request.etag = "9"
    code, _ = await refused(admin.call(method, request))

    assert first == again
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert before == snapshot(sqlite_url)


async def test_a_creation_may_be_repeated(admin: AdminServer) -> None:
    """Under an id of its own the taken name is the caller's own doing."""
    request = CreateOrganizationRequest(name="acme", request_id="r1")

    first = await admin.call(admin.organizations.CreateOrganization, request)

    assert first == await admin.call(admin.organizations.CreateOrganization, request)
