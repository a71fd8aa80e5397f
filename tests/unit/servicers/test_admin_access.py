"""The gate of the administration's listener: nobody in without a key, nothing out but our own words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1 import (
    audit_service_pb2,
    auth_service_pb2,
    auth_service_pb2_grpc,
    decision_service_pb2,
    key_service_pb2,
    organization_service_pb2,
    usage_service_pb2,
)
from google.protobuf.message_factory import GetMessageClass

from authsvc.domain.errors import UnavailableError
from authsvc.servicers.admin_access import ACCESS
from authsvc.stores.sql import SqlStore
from tests.support.admin_server import TIMEOUT, AdminServer, bearer, running_administration

SERVICES = [
    file.DESCRIPTOR.services_by_name[name]
    for file, name in (
        (key_service_pb2, "KeyService"),
        (organization_service_pb2, "OrganizationService"),
        (decision_service_pb2, "DecisionService"),
        (audit_service_pb2, "AuditService"),
        (usage_service_pb2, "UsageService"),
    )
]
METHODS = {f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods}
REGISTERED = list(METHODS)
UNARY = [path for path in REGISTERED if not METHODS[path].client_streaming]
CANARY = "canary-5fd2"
LATER_FIELD = b"\xa0\x1f\x01"  # number 500, a varint


def strange(server: grpc.aio.Server) -> None:
    """Register a method that nobody has thought about."""

    async def answer(request: bytes, _: object) -> bytes:
        return request

    handlers = {
        "Do": grpc.unary_unary_rpc_method_handler(answer),
        "Stream": grpc.unary_stream_rpc_method_handler(answer),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("authsvc.v1.Strange", handlers),))


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url, register=strange) as server:
        yield server


async def raw(admin: AdminServer, path: str, payload: bytes, metadata: Any) -> bytes:
    """Send bytes to a method, whatever its shape, and return the answer's."""
    if path in METHODS and METHODS[path].client_streaming:
        stream: Any = admin.channel.stream_unary(path)
        answer: bytes = await stream(iter([payload]), metadata=metadata, timeout=TIMEOUT)
        return answer
    unary: Any = admin.channel.unary_unary(path)
    answer = await unary(payload, metadata=metadata, timeout=TIMEOUT)
    return answer  # noqa: RET504 - typed by its assignment


async def refused(admin: AdminServer, path: str, payload: bytes, metadata: Any) -> tuple[grpc.StatusCode, str]:
    """Return what a call that must fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(admin, path, payload, metadata)
    return raised.value.code(), raised.value.details() or ""


def test_the_table_names_every_rpc_and_no_other() -> None:
    """A new RPC cannot ship without saying who may call it."""
    assert set(ACCESS) == set(METHODS)


def test_only_key_management_is_for_products() -> None:
    """A product's key reaches KeyService, and of that not the import."""
    open_to_products = {path for path, access in ACCESS.items() if not access.operators_only}

    assert open_to_products == {path for path in METHODS if "KeyService" in path and "Import" not in path}


@pytest.mark.parametrize("path", REGISTERED)
async def test_without_a_key_nothing_is_answered(admin: AdminServer, path: str) -> None:
    """From loopback too, and before the request is parsed: its bytes are garbage."""
    code, text = await refused(admin, path, b"\xff\xff", ())

    assert (code, text) == (grpc.StatusCode.UNAUTHENTICATED, "An API key is required.")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer  {key}", "{key}", "Basic {key}", "Bearer {key},Bearer {key}", "Bearer {key} x"],
)
async def test_a_credential_has_one_form(admin: AdminServer, value: str) -> None:
    """Everything but `Bearer KEY` is no credential."""
    metadata = (("authorization", value.format(key=admin.operator)),)

    code, _ = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", metadata)

    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_two_credentials_are_none(admin: AdminServer) -> None:
    """Neither the first nor the last is chosen."""
    code, _ = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator) * 2)

    assert code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("path", REGISTERED)
async def test_an_operator_needs_the_scope(admin: AdminServer, path: str) -> None:
    """With every scope but the one that the RPC asks for, the answer names it."""
    scope = ACCESS[path].scope
    others = [name for name in admin.apis.by_name["authsvc"].scopes if name != scope]
    key = await admin.operator_with(*others)

    code, text = await refused(admin, path, b"", bearer(key))

    assert (code, text) == (grpc.StatusCode.PERMISSION_DENIED, f"the key lacks the scope {scope}")


@pytest.mark.parametrize("path", [path for path in REGISTERED if ACCESS[path].operators_only])
async def test_a_products_key_is_no_operator(admin: AdminServer, path: str) -> None:
    """Whatever scopes it holds."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read", "keys:write", "things:read")

    code, _ = await refused(admin, path, b"", bearer(made.secret))

    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_method_outside_the_table_is_refused(admin: AdminServer) -> None:
    """Default is deny, for whoever holds every scope."""
    code, text = await refused(admin, "/authsvc.v1.Strange/Do", b"", bearer(admin.operator))

    assert (code, text) == (grpc.StatusCode.PERMISSION_DENIED, "nobody may do this")


async def test_a_shape_of_call_that_is_not_ours_is_unknown(admin: AdminServer) -> None:
    """A handler that the gate cannot guard is not served."""
    stream: Any = admin.channel.unary_stream("/authsvc.v1.Strange/Stream")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in stream(b"", metadata=bearer(admin.operator), timeout=TIMEOUT):
            pass

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_passes_the_same_gate(admin: AdminServer) -> None:
    """It comes as far as its servicer, which misses a header."""
    code, text = await refused(admin, "/authsvc.v1.KeyService/ImportKeys", b"", bearer(admin.operator))

    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "header: is the first message, and only that")


@pytest.mark.parametrize(
    "path",
    [
        "/authsvc.v1.KeyService/listkeys",
        "/authsvc.v1.KeyService/ListKeys/",
        "//authsvc.v1.KeyService/ListKeys",
        "/authsvc.v2.KeyService/ListKeys",
        "/envoy.service.auth.v3.Authorization/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_other_methods_do_not_exist(admin: AdminServer, path: str) -> None:
    """Near misses, the data plane and reflection."""
    code, _ = await refused(admin, path, b"", bearer(admin.operator))

    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_data_plane_is_not_here(admin: AdminServer) -> None:
    """AuthService is on its own listener."""
    stub: Any = auth_service_pb2_grpc.AuthServiceStub(admin.channel)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await admin.call(stub.Authenticate, auth_service_pb2.AuthenticateRequest())

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("path", UNARY)
async def test_garbage_is_the_callers_mistake(admin: AdminServer, path: str) -> None:
    """Bytes that are no message."""
    code, text = await refused(admin, path, b"\xff\xff", bearer(admin.operator))

    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read")


@pytest.mark.parametrize("path", REGISTERED)
async def test_a_field_of_a_later_version_is_refused(admin: AdminServer, path: str) -> None:
    """It may be a restriction, and doing more than was asked for is worse than doing nothing."""
    code, text = await refused(admin, path, LATER_FIELD, bearer(admin.operator))

    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "the request has a field that this server does not know")


async def test_a_later_field_of_a_filter_is_refused(admin: AdminServer) -> None:
    """What it would leave out is not revoked, however deep it stands in the request."""
    request = key_service_pb2.BulkRevokeKeysRequest()
    request.filter.api = "shop"
    request.filter.MergeFromString(LATER_FIELD)

    code, text = await refused(
        admin, "/authsvc.v1.KeyService/BulkRevokeKeys", request.SerializeToString(), bearer(admin.operator)
    )

    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "the request has a field that this server does not know")


@pytest.mark.parametrize("path", UNARY)
async def test_an_empty_request_breaks_nothing(admin: AdminServer, path: str) -> None:
    """Every method answers or refuses it in its own words."""
    request = GetMessageClass(METHODS[path].input_type)()
    try:
        await raw(admin, path, request.SerializeToString(), bearer(admin.operator))
    except grpc.aio.AioRpcError as error:
        assert error.code() in {  # noqa: PT017 - an answer is as good
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.UNIMPLEMENTED,
        }


async def test_a_fault_of_ours_says_nothing(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the caller nor the log gets an unexpected exception's text."""
    caplog.set_level(logging.DEBUG)

    async def broken(*_: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(SqlStore, "list_keys", broken)

    told = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator))

    assert told == (grpc.StatusCode.INTERNAL, "internal error")
    assert "unexpected fault" in caplog.text
    assert CANARY not in caplog.text


async def test_a_slow_call_ends_in_time(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is the service's own, whatever time the caller has."""
    monkeypatch.setattr("authsvc.servicers.admin_access.LONGEST", 0.05)

    async def slow(*_: object) -> None:
        await asyncio.sleep(TIMEOUT)

    monkeypatch.setattr(SqlStore, "list_keys", slow)

    code, _ = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator))

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_lost_database_is_unavailable(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is let in on what was known before, and a retry may help."""

    async def lost(*_: object) -> None:
        raise UnavailableError("the database is not available")

    monkeypatch.setattr(SqlStore, "load", lost)

    told = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator))

    assert told == (grpc.StatusCode.UNAVAILABLE, "the database is not available")


async def test_a_peer_that_may_not_call_is_refused_with_a_good_key(sqlite_url: str) -> None:
    """Where the listener names its clients, a key is not enough."""
    async with running_administration(sqlite_url, admits=lambda _: False) as admin:
        code, _ = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator))

    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_refusals_are_logged_with_the_actor_and_without_the_key(
    admin: AdminServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Who was refused what, from where."""
    caplog.set_level(logging.DEBUG)
    key = await admin.operator_with("keys:read")

    await refused(admin, "/authsvc.v1.OrganizationService/ListOrganizations", b"", bearer(key))
    await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", ())

    refusals = [record for record in caplog.records if record.message.endswith(" was refused")]
    assert [(record.args, bool(record.key_id), record.address) for record in refusals] == [  # type: ignore[attr-defined]
        (("/authsvc.v1.OrganizationService/ListOrganizations",), True, "127.0.0.1"),
        (("/authsvc.v1.KeyService/ListKeys",), False, "127.0.0.1"),
    ]
    assert key not in caplog.text


async def test_the_log_tells_which_rule_refused(admin: AdminServer, caplog: pytest.LogCaptureFixture) -> None:
    """Callers are told that the key is not valid; operators may know that it is revoked."""
    caplog.set_level(logging.INFO)
    made = await admin.key(admin.operators_id, "keys:read", api="authsvc", environment="")
    await admin.call(admin.keys.RevokeKey, key_service_pb2.RevokeKeyRequest(id=made.key.id))

    told = await refused(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(made.secret))

    assert told == (grpc.StatusCode.UNAUTHENTICATED, "The API key is not valid.")
    details = [getattr(record, "detail", "") for record in caplog.records]
    assert f"The API key is not valid.; {made.key.id}: revoked" in details


async def test_refusals_are_counted_by_their_code(admin: AdminServer) -> None:
    """Whoever makes them, and what is answered is not counted."""
    await raw(admin, "/authsvc.v1.KeyService/ListKeys", b"", bearer(admin.operator))
    for payload, metadata in ((b"", ()), (b"", ()), (b"\xff\xff", bearer(admin.operator))):
        await refused(admin, "/authsvc.v1.KeyService/ListKeys", payload, metadata)

    assert admin.services.access._counters.refusals == {"unauthenticated": 2, "invalid_argument": 1}
