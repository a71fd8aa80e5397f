"""KeyService over the wire: the life of a key, pages, and what belongs to others."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.key_pb2 import KEY_STATUS_ACTIVE, KEY_STATUS_REVOKED, Key
from authsvc_client.v1.key_service_pb2 import (
    DESCRIPTOR,
    CreateKeyRequest,
    DeleteKeyRequest,
    GetKeyRequest,
    KeyFilter,
    ListKeysRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
    UpdateKeyRequest,
)
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.decision import Bearer
from authsvc.servicers import keys as keys_servicer
from tests.support.admin_server import AdminServer, running_administration
from tests.support.administration import NO_KEY, NO_ORGANIZATION
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS

NOT_BUILT = {"BulkRevokeKeys"}
OPERATORS_ONLY = {"ImportKeys"}  # no product's key gets as far as an id


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


def request(organization_id: str, **fields: Any) -> CreateKeyRequest:
    """Ask for a live key of the product."""
    fields = {"api": "shop", "environment": "live", "name": "ci", **fields}
    return CreateKeyRequest(organization_id=organization_id, **fields)


async def test_a_key_lives_and_dies(admin: AdminServer) -> None:
    """Made, read, known to the data plane, revoked, and from then on nobody's."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "things:read", metadata={"a": "1"})
    digest = PEPPERS.current.digest(made.secret)
    bearer = await admin.cache.fetch([digest], 5.0, None)
    assert isinstance(bearer, Bearer)
    assert (bearer.record.id, made.key.status) == (made.key.id, KEY_STATUS_ACTIVE)

    read = await admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id))
    revoked = await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, reason="leaked"))

    assert read.key == made.key
    assert (revoked.key.status, revoked.key.revoke_reason) == (KEY_STATUS_REVOKED, "leaked")
    assert admin.cache.get(digest) is None
    assert int(revoked.revision.rpartition(":")[2]) > int(made.revision.rpartition(":")[2])


async def test_everything_that_can_be_asked_comes_back(admin: AdminServer) -> None:
    """Restrictions, times, limits and labels are stored as given."""
    acme = await admin.organization("acme")
    later = int(time.time()) + 3600
    fields: dict[str, Any] = {
        "kind": "secret",
        "origins": OriginList(origins=["https://a.example", "*.b.example"]),
        "networks": NetworkList(cidrs=["10.0.0.0/8", "2001:db8::1"]),
        "not_before": Timestamp(seconds=later),
        "expires_at": Timestamp(seconds=later + 1, nanos=1000),
        "metadata": {"team": "a"},
        "rate_limits": ["10/minute", "100/day"],
    }

    key = (await admin.key(acme, "things:read", "things:read", **fields)).key

    assert list(key.origins.origins) == ["https://a.example", "*.b.example"]
    assert list(key.networks.cidrs) == ["10.0.0.0/8", "2001:db8::1/128"]
    assert (key.not_before.seconds, key.expires_at.nanos) == (later, 1000)
    assert (dict(key.metadata), list(key.rate_limits), list(key.scopes)) == (
        {"team": "a"},
        ["10/minute", "100/day"],
        ["things:read"],
    )
    assert key.created_by == admin.operator_id


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"name": "a\nb"}, "name", id="name"),
        pytest.param({"name": "x" * 1_000_000}, "name", id="name-of-a-megabyte"),
        pytest.param({"kind": "ключ"}, "kind", id="kind"),
        pytest.param({"scopes": ["things:red"]}, "scopes[0]", id="unknown-scope"),
        pytest.param({"scopes": ["a:b"] * 10_000}, "scopes", id="many-scopes"),
        pytest.param({"kind": "publishable", "scopes": ["keys:write"]}, "scopes[0]", id="above-the-ceiling"),
        pytest.param({"full_access": True}, "full_access", id="full-access"),
        pytest.param({"origins": OriginList()}, "origins", id="empty-origins"),
        pytest.param({"origins": OriginList(origins=["*"])}, "origins[0]", id="any-origin"),
        pytest.param({"networks": NetworkList()}, "networks", id="empty-networks"),
        pytest.param({"networks": NetworkList(cidrs=["10.0.0.1/8"])}, "networks[0]", id="host-bits"),
        pytest.param({"networks": NetworkList(cidrs=["0.0.0.0/0"])}, "networks[0]", id="any-network"),
        pytest.param({"networks": NetworkList(cidrs=["10.0.0.1"] * 5000)}, "networks", id="many-networks"),
        pytest.param({"expires_at": Timestamp(seconds=1)}, "expires_at", id="expired"),
        pytest.param({"expires_at": Timestamp(seconds=-1)}, "expires_at", id="before-1970"),
        pytest.param({"metadata": {"A B": ""}}, "metadata", id="label"),
        pytest.param({"rate_limits": ["1/fortnight"]}, "rate_limits[0]", id="period"),
        pytest.param({"request_id": "r 1"}, "request_id", id="request-id"),
    ],
)
async def test_bad_input_is_named(admin: AdminServer, fields: dict[str, Any], field: str) -> None:
    """Every refusal begins with its field, and nothing is stored."""
    acme = await admin.organization("acme")

    code, text = await refused(admin.call(admin.keys.CreateKey, request(acme, **fields)))

    assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    listed = await admin.call(admin.keys.ListKeys, ListKeysRequest(filter=KeyFilter(organization_id=acme)))
    assert not listed.keys


async def test_a_publishable_key_makes_nothing(admin: AdminServer) -> None:
    """Whatever scope it would name."""
    acme = await admin.organization("acme")
    publishable = await admin.key(acme, "things:create", kind="publishable")

    code, _ = await refused(admin.call(admin.keys.CreateKey, request(acme), publishable.secret))

    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_key_makes_no_stronger_one(admin: AdminServer) -> None:
    """Over the wire as in the rule."""
    acme = await admin.organization("acme")
    manager = await admin.key(acme, "keys:write", "things:read")

    told = await refused(admin.call(admin.keys.CreateKey, request(acme, scopes=["things:write"]), manager.secret))
    made = await admin.call(admin.keys.CreateKey, request("", scopes=["things:read"]), manager.secret)

    assert told == (
        grpc.StatusCode.PERMISSION_DENIED,
        "scopes: a key makes no key that can do more than itself",
    )
    assert (made.key.organization_id, made.key.created_by) == (acme, manager.key.id)


def requests_for(key_id: str, organization_id: str) -> dict[str, Any]:
    """Return a request for every RPC that is built, aimed at a key or an organization."""
    return {
        "CreateKey": request(organization_id, scopes=["things:read"]),
        "GetKey": GetKeyRequest(id=key_id),
        "ListKeys": ListKeysRequest(filter=KeyFilter(organization_id=organization_id)),
        "UpdateKey": UpdateKeyRequest(id=key_id, key=Key(name="x"), update_mask=FieldMask(paths=["name"])),
        "RotateKey": RotateKeyRequest(id=key_id),
        "RevokeKey": RevokeKeyRequest(id=key_id),
        "DeleteKey": DeleteKeyRequest(id=key_id),
    }


@pytest.mark.parametrize("name", [method.name for method in DESCRIPTOR.services_by_name["KeyService"].methods])
async def test_what_belongs_to_others_is_as_absent_as_nothing(admin: AdminServer, sqlite_url: str, name: str) -> None:
    """Every RPC of the service, aimed at another organization and at none: one answer, and no row changed."""
    if name in NOT_BUILT | OPERATORS_ONLY:
        assert name not in requests_for("", "")
        return
    acme, globex = await admin.organization("acme"), await admin.organization("globex")
    caller = (await admin.key(acme, "keys:read", "keys:write", "things:read")).secret
    foreign = await admin.key(globex, "things:read")
    tables = "SELECT * FROM keys UNION ALL SELECT * FROM keys", "SELECT * FROM audit_events"
    before = [run_sql(sqlite_url, table) for table in tables]
    method = getattr(admin.keys, name)

    others = await refused(admin.call(method, requests_for(foreign.key.id, globex)[name], caller))
    nobodys = await refused(admin.call(method, requests_for(NO_KEY, NO_ORGANIZATION)[name], caller))

    assert others == nobodys
    assert others[0] is grpc.StatusCode.NOT_FOUND
    assert before == [run_sql(sqlite_url, table) for table in tables]


async def test_pages_are_complete_and_in_order(admin: AdminServer) -> None:
    """Oldest first, none twice, none left out."""
    acme = await admin.organization("acme")
    made = [(await admin.key(acme)).key.id for _ in range(7)]
    found, token = [], ""
    for _ in range(4):
        page = await admin.call(
            admin.keys.ListKeys,
            ListKeysRequest(filter=KeyFilter(organization_id=acme), page_size=2, page_token=token),
        )
        found += [key.id for key in page.keys]
        token = page.next_page_token

    assert (found, token) == (sorted(made), "")


async def test_a_token_is_for_its_caller_and_filter_only(admin: AdminServer) -> None:
    """Altered, under another filter or from another caller it is refused."""
    acme = await admin.organization("acme")
    for _ in range(2):
        await admin.key(acme)
    where = KeyFilter(organization_id=acme)
    page = await admin.call(admin.keys.ListKeys, ListKeysRequest(filter=where, page_size=1))
    token, other = page.next_page_token, await admin.operator_with("keys:read")
    attempts = [
        (ListKeysRequest(filter=where, page_token=token[:-1] + ("A" if token[-1] != "A" else "B")), None),
        (ListKeysRequest(filter=where, page_token="nonsense"), None),
        (ListKeysRequest(filter=KeyFilter(api="shop"), page_token=token), None),
        (ListKeysRequest(filter=where, page_token=token), other),
    ]
    for attempt, key in attempts:
        code, text = await refused(admin.call(admin.keys.ListKeys, attempt, key))

        assert (code, text[:10]) == (grpc.StatusCode.INVALID_ARGUMENT, "page_token")


async def test_a_page_ends_before_it_outgrows_a_message(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large keys make short pages, and the list is still complete."""
    acme = await admin.organization("acme")
    made = [(await admin.key(acme, metadata={"a": "x" * 256})).key.id for _ in range(5)]
    monkeypatch.setattr(keys_servicer, "PAGE_BYTES", 1200)
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = await admin.call(
            admin.keys.ListKeys, ListKeysRequest(filter=KeyFilter(organization_id=acme), page_token=token)
        )
        found += [key.id for key in page.keys]
        token, pages = page.next_page_token, pages + 1

    assert found == sorted(made)
    assert pages > 1


async def test_a_products_key_lists_its_own(admin: AdminServer) -> None:
    """Without a filter: its organization's, and nobody else's."""
    acme, globex = await admin.organization("acme"), await admin.organization("globex")
    caller = await admin.key(acme, "keys:read")
    await admin.key(globex)

    page = await admin.call(admin.keys.ListKeys, ListKeysRequest(), caller.secret)

    assert [key.id for key in page.keys] == [caller.key.id]


async def test_revoking_with_a_stale_etag_is_aborted(admin: AdminServer) -> None:
    """And the last administrator is not revoked by accident."""
    acme = await admin.organization("acme")
    made = await admin.key(acme)

    stale, _ = await refused(admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, etag="99")))
    last, _ = await refused(admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=admin.operator_id)))

    assert (stale, last) == (grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION)


async def test_no_key_is_ever_logged(admin: AdminServer, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, over making, using, refusing and revoking."""
    caplog.set_level(logging.DEBUG)
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read", metadata={"a": "1"})
    await admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret)
    await refused(admin.call(admin.keys.CreateKey, request(acme), made.secret))
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))

    for secret in (made.secret, admin.operator):
        assert secret not in caplog.text
        assert secret[-20:] not in caplog.text
