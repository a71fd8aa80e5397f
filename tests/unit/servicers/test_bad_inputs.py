"""Sections G and I of the bad inputs: scopes, and administrators who want more than they may. Over the wire."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.audit_service_pb2 import ListAuditEventsRequest
from authsvc_client.v1.key_pb2 import Key
from authsvc_client.v1.key_service_pb2 import (
    BulkRevokeKeysRequest,
    CreateKeyRequest,
    DeleteKeyRequest,
    GetKeyRequest,
    KeyFilter,
    ListKeysRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
    UpdateKeyRequest,
)
from authsvc_client.v1.organization_service_pb2 import (
    CreateOrganizationRequest,
    GetOrganizationRequest,
    ListOrganizationsRequest,
    ReinstateOrganizationRequest,
    SuspendOrganizationRequest,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.api import EmptyScopes
from authsvc.telemetry.logs import JsonFormatter
from tests.support.admin_server import AdminServer, running_administration
from tests.support.administration import shop
from tests.support.databases import run_sql

Code = grpc.StatusCode
HOSTILE = {
    "escape": "\x1b[31mred",
    "log": 'x\n{"level":"error"}',
    "nul": "a\x00b",
    "direction": "a\u202eb",
    "huge": "x" * 1024 * 1024,
    "separator": "a\u2028b",
}


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


@pytest_asyncio.fixture
async def acme(admin: AdminServer) -> str:
    """Give a customer."""
    return await admin.organization("acme")


@pytest_asyncio.fixture
async def manager(admin: AdminServer, acme: str) -> Any:
    """Give a key that manages its organization's keys and can read things."""
    return await admin.key(acme, "keys:read", "keys:write", "things:read")


def wanted(*scopes: str, **fields: Any) -> CreateKeyRequest:
    """Ask for a key of the product."""
    return CreateKeyRequest(**{"api": "shop", "environment": "live", "name": "x", "scopes": scopes, **fields})


async def refused(call: Any) -> tuple[Code, str]:
    """Return what a call that must fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


@pytest.mark.parametrize(
    "scopes",
    [
        pytest.param([f"things:{n}" for n in range(10_000)], id="10000"),
        pytest.param(["things:read"] * 65, id="65"),
        pytest.param(["x" * 1024 * 1024], id="1-MiB"),
        pytest.param(["things:" + "r" * 64], id="too-long"),
        pytest.param(["Things:Read"], id="case"),
        pytest.param(["things"], id="no-colon"),
        pytest.param(["*"], id="all"),
        pytest.param([""], id="empty"),
        pytest.param(["things:read "], id="blank"),
        pytest.param(["things:fly"], id="unknown"),
    ],
)
async def test_g5_scopes_that_are_none(admin: AdminServer, acme: str, scopes: list[str]) -> None:
    """Too many, too long, misspelled or not in the catalogue; the answer does not quote a megabyte."""
    code, text = await refused(admin.call(admin.keys.CreateKey, wanted(*scopes, organization_id=acme)))

    assert (code, text[:6]) == (Code.INVALID_ARGUMENT, "scopes")
    assert len(text) < 500


async def test_g6_a_publishable_key_cannot_manage_keys(admin: AdminServer, acme: str) -> None:
    """Nor hold anything else beyond its kind."""
    for scope in ("keys:write", "things:write"):
        request = wanted(scope, organization_id=acme, kind="publishable")
        code, _ = await refused(admin.call(admin.keys.CreateKey, request))
        assert code is Code.INVALID_ARGUMENT


async def test_g6_not_even_when_the_database_says_so(admin: AdminServer, acme: str, sqlite_url: str) -> None:
    """A scope that was put into its row is not looked at."""
    made = await admin.key(acme, "things:create", kind="publishable")
    run_sql(sqlite_url, f"""UPDATE keys SET scopes = '["keys:read","keys:write"]' WHERE id = '{made.key.id}'""")

    code, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret))

    assert code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(wanted("things:write"), id="i1-scope"),
        pytest.param(wanted("things:read", environment="test"), id="i3-environment"),
        pytest.param(wanted(api="other"), id="api"),
        pytest.param(wanted(api="authsvc", environment=""), id="administration"),
    ],
)
async def test_i1_i2_i3_more_than_itself(admin: AdminServer, manager: Any, request_: CreateKeyRequest) -> None:
    """A key makes no key that can do what it cannot."""
    code, _ = await refused(admin.call(admin.keys.CreateKey, request_, manager.secret))

    assert code is Code.PERMISSION_DENIED


async def test_i2_empty_scopes_are_no_way_around(sqlite_url: str) -> None:
    """Where an empty list means full access, it means it for the rule too; nor is asking for it in so many words."""
    async with running_administration(sqlite_url, shop(empty_scopes=EmptyScopes.FULL_ACCESS)) as admin:
        manager = await admin.key(await admin.organization("acme"), "keys:read", "keys:write")
        for request in (wanted(), wanted(full_access=True)):
            code, _ = await refused(admin.call(admin.keys.CreateKey, request, manager.secret))
            assert code is Code.PERMISSION_DENIED


async def test_i3_a_publishable_key_makes_nothing(admin: AdminServer, acme: str) -> None:
    """Whatever it asks for."""
    made = await admin.key(acme, "things:create", kind="publishable")

    for request in (wanted("things:create", kind="publishable"), wanted()):
        code, _ = await refused(admin.call(admin.keys.CreateKey, request, made.secret))
        assert code is Code.PERMISSION_DENIED


async def test_i4_another_organization_is_not_there(admin: AdminServer, manager: Any) -> None:
    """Every verb answers for a foreign id as for a random one, and nothing of it changes."""
    globex = await admin.organization("globex")
    foreign = (await admin.key(globex, "things:read")).key.id
    random, nobody = f"key_{'0' * 26}", f"org_{'0' * 26}"

    def calls(key_id: str, organization_id: str) -> list[tuple[Any, Any]]:
        mask = FieldMask(paths=["name"])
        where = KeyFilter(organization_id=organization_id)
        return [
            (admin.keys.GetKey, GetKeyRequest(id=key_id)),
            (admin.keys.UpdateKey, UpdateKeyRequest(id=key_id, key=Key(name="mine"), update_mask=mask)),
            (admin.keys.RotateKey, RotateKeyRequest(id=key_id)),
            (admin.keys.RevokeKey, RevokeKeyRequest(id=key_id)),
            (admin.keys.DeleteKey, DeleteKeyRequest(id=key_id)),
            (admin.keys.BulkRevokeKeys, BulkRevokeKeysRequest(ids=[key_id], reason="x")),
            (admin.keys.BulkRevokeKeys, BulkRevokeKeysRequest(filter=where, reason="x")),
            (admin.keys.ListKeys, ListKeysRequest(filter=where)),
            (admin.keys.CreateKey, wanted("things:read", organization_id=organization_id)),
        ]

    for one, other in zip(calls(foreign, globex), calls(random, nobody), strict=True):
        told = [await refused(admin.call(method, request, manager.secret)) for method, request in (one, other)]
        assert told[0] == told[1]
        assert told[0][0] is Code.NOT_FOUND
    listed = await admin.call(admin.keys.ListKeys, ListKeysRequest(), manager.secret)
    assert [key.id for key in listed.keys] == [manager.key.id]
    kept = (await admin.call(admin.keys.GetKey, GetKeyRequest(id=foreign))).key
    assert (kept.name, kept.etag) == ("test", "1")


@pytest.mark.parametrize(
    "path",
    [
        "organization_id",
        "created_by",
        "etag",
        "version",
        "id",
        "api",
        "kind",
        "environment",
        "hint",
        "status",
        "revoked_at",
        "successor_id",
        "import_source",
        "*",
        "",
        "key.scopes",
    ],
)
async def test_i6_a_mask_names_only_what_can_change(admin: AdminServer, acme: str, path: str) -> None:
    """Not even an operator changes the others."""
    made = await admin.key(acme, "things:read")
    request = UpdateKeyRequest(id=made.key.id, key=Key(created_by="me"), update_mask=FieldMask(paths=[path]))

    code, _ = await refused(admin.call(admin.keys.UpdateKey, request))

    assert code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("path", ["scopes", "full_access", "expires_at"])
async def test_i6_nobody_changes_its_own_powers(admin: AdminServer, manager: Any, path: str) -> None:
    """A key that manages keys does not manage itself so."""
    changes = Key(scopes=["keys:write"], expires_at=Timestamp(seconds=4_000_000_000))
    request = UpdateKeyRequest(id=manager.key.id, key=changes, update_mask=FieldMask(paths=[path]))

    code, _ = await refused(admin.call(admin.keys.UpdateKey, request, manager.secret))

    assert code is Code.INVALID_ARGUMENT


async def test_i8_a_products_key_reaches_no_organization(admin: AdminServer, acme: str, manager: Any) -> None:
    """Not even its own."""
    service = admin.organizations
    for method, request in (
        (service.SuspendOrganization, SuspendOrganizationRequest(id=acme, reason="x")),
        (service.ReinstateOrganization, ReinstateOrganizationRequest(id=acme)),
        (service.GetOrganization, GetOrganizationRequest(id=acme)),
        (service.ListOrganizations, ListOrganizationsRequest()),
        (service.CreateOrganization, CreateOrganizationRequest(name="x")),
        (admin.audit.ListAuditEvents, ListAuditEventsRequest()),
    ):
        code, _ = await refused(admin.call(method, request, manager.secret))
        assert code is Code.PERMISSION_DENIED


async def test_i12_a_repeated_request_shows_no_secret(admin: AdminServer, acme: str) -> None:
    """The same body has the same key, another body is refused; the trail has one creation and no text."""
    request = wanted("things:read", organization_id=acme, request_id="once")

    first = await admin.call(admin.keys.CreateKey, request)
    second = await admin.call(admin.keys.CreateKey, request)
    code, _ = await refused(admin.call(admin.keys.CreateKey, wanted(organization_id=acme, request_id="once")))
    events = await admin.call(admin.audit.ListAuditEvents, ListAuditEventsRequest(request_id="once"))

    assert (second.key, second.secret, second.secret_already_shown) == (first.key, "", True)
    assert code is Code.ALREADY_EXISTS
    assert len(events.events) == 1
    assert first.secret not in str(events)
    assert first.key.hint in str(events)


@pytest.mark.parametrize("text", ["name;drop", "' OR 1=1 --", "%", "_", "\\", "%s", "{0}"])
async def test_i13_a_filter_is_text(admin: AdminServer, acme: str, text: str) -> None:
    """What SQL or a pattern would make of it does not matter."""
    await admin.key(acme, "things:read")

    for where in (KeyFilter(name_prefix=text), KeyFilter(api=text), KeyFilter(kind=text)):
        answer = await admin.call(admin.keys.ListKeys, ListKeysRequest(filter=where))
        assert not answer.keys


async def test_i13_an_edited_page_token(admin: AdminServer, acme: str) -> None:
    """Any character of it, its length, and its use by another caller or for another list."""
    for _ in range(3):
        await admin.key(acme, "things:read")
    page = await admin.call(admin.keys.ListKeys, ListKeysRequest(page_size=1))
    token = page.next_page_token
    tampered = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, len(token), 7)]

    for text in (*tampered, token[:-1], token + "A", token + "=", "x" * 2000, "\u00e4", " "):
        code, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(page_size=1, page_token=text)))
        assert code is Code.INVALID_ARGUMENT
    others = await admin.operator_with("keys:read", "audit:read")
    for call in (
        admin.call(admin.keys.ListKeys, ListKeysRequest(page_token=token), others),
        admin.call(admin.keys.ListKeys, ListKeysRequest(page_token=token, filter=KeyFilter(api="shop"))),
        admin.call(admin.audit.ListAuditEvents, ListAuditEventsRequest(page_token=token)),
    ):
        assert (await refused(call))[0] is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
async def test_i15_hostile_text_gets_nowhere(
    admin: AdminServer, acme: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No name, label, reason or id of a request takes it; neither answer nor log repeats it raw."""
    caplog.set_level(logging.DEBUG)
    made = await admin.key(acme, "things:read")
    calls = [
        (admin.keys.CreateKey, wanted("things:read", organization_id=acme, name=text)),
        (admin.keys.CreateKey, wanted("things:read", organization_id=acme, metadata={"a": text})),
        (admin.keys.CreateKey, wanted("things:read", organization_id=acme, metadata={text: "a"})),
        (admin.keys.CreateKey, wanted("things:read", organization_id=acme, request_id=text)),
        (admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, reason=text)),
        (admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, etag=text)),
        (admin.keys.RotateKey, RotateKeyRequest(id=made.key.id, etag=text)),
        (admin.keys.DeleteKey, DeleteKeyRequest(id=made.key.id, etag=text)),
        (admin.organizations.SuspendOrganization, SuspendOrganizationRequest(id=acme, etag=text)),
        (admin.keys.DeleteKey, DeleteKeyRequest(id=made.key.id, reason=text)),
        (admin.keys.BulkRevokeKeys, BulkRevokeKeysRequest(ids=[made.key.id], reason=text)),
        (admin.organizations.CreateOrganization, CreateOrganizationRequest(name=text)),
        (admin.organizations.SuspendOrganization, SuspendOrganizationRequest(id=acme, reason=text)),
        (admin.keys.ListKeys, ListKeysRequest(filter=KeyFilter(name_prefix=text))),
        (admin.audit.ListAuditEvents, ListAuditEventsRequest(action=text)),
    ]

    for method, request in calls:
        code, told = await refused(admin.call(method, request))
        assert code is Code.INVALID_ARGUMENT
        assert text not in told
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name.startswith("authsvc")]
    assert all("\n" not in line and text not in line for line in lines)
    assert (await admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id))).key.etag == "1"


async def test_i15_what_is_only_text_is_kept_as_it_is(admin: AdminServer, acme: str) -> None:
    """Markup is nobody's here; and composed it is one name, however it was written."""
    made = await admin.key(acme, "things:read", name="<script>alert(1)</script> e\u0301")

    assert made.key.name == "<script>alert(1)</script> \u00e9"


async def test_i16_a_stale_etag(admin: AdminServer, acme: str) -> None:
    """Of two administrators, the one who read before the other wrote is told the current one."""
    made = await admin.key(acme, "things:read")
    mask = FieldMask(paths=["name"])
    await admin.call(
        admin.keys.UpdateKey, UpdateKeyRequest(id=made.key.id, key=Key(name="new"), update_mask=mask, etag="1")
    )

    for method, request in (
        (admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, etag="1")),
        (admin.keys.RotateKey, RotateKeyRequest(id=made.key.id, etag="1")),
        (admin.keys.DeleteKey, DeleteKeyRequest(id=made.key.id, etag="1")),
        (admin.keys.UpdateKey, UpdateKeyRequest(id=made.key.id, key=Key(name="x"), update_mask=mask, etag="1")),
    ):
        code, text = await refused(admin.call(method, request))
        assert (code, text.endswith("its etag is now 2")) == (Code.ABORTED, True)


async def test_i19_the_last_administrator(admin: AdminServer) -> None:
    """Kept by every verb that would end it, unless that is meant."""
    own = admin.operator_id
    for method, request in (
        (admin.keys.RevokeKey, RevokeKeyRequest(id=own)),
        (admin.keys.DeleteKey, DeleteKeyRequest(id=own)),
        (admin.keys.BulkRevokeKeys, BulkRevokeKeysRequest(ids=[own], reason="x")),
    ):
        assert (await refused(admin.call(method, request)))[0] is Code.FAILED_PRECONDITION

    await admin.call(admin.keys.BulkRevokeKeys, BulkRevokeKeysRequest(ids=[own], reason="x", force=True))

    assert (await refused(admin.call(admin.keys.ListKeys, ListKeysRequest())))[0] is Code.UNAUTHENTICATED
