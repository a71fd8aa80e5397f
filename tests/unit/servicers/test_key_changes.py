"""KeyService over the wire: keys that are updated, rotated and deleted, and calls that are repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.key_pb2 import (
    KEY_STATUS_ACTIVE,
    KEY_STATUS_DELETED,
    KEY_STATUS_EXPIRED,
    KEY_STATUS_REVOKED,
    KEY_STATUS_ROTATING,
    Key,
)
from authsvc_client.v1.key_service_pb2 import (
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
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.errors import UnavailableError
from authsvc.stores.sql import SqlStore
from tests.support.admin_server import AdminServer, bearer, running_administration
from tests.support.databases import run_sql

GRACE = 900  # seconds, of the product
CONCURRENT = 50


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


def update(key_id: str, paths: list[str], etag: str = "", **fields: Any) -> UpdateKeyRequest:
    """Ask for an update of the fields that are named."""
    return UpdateKeyRequest(id=key_id, key=Key(**fields), update_mask=FieldMask(paths=paths), etag=etag)


async def test_a_key_is_updated_by_its_mask(admin: AdminServer) -> None:
    """What is named changes or is cleared, what is not named stays, whatever the message holds."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "things:read", networks=NetworkList(cidrs=["10.0.0.0/8"]), metadata={"a": "1"})
    asked = update(made.key.id, ["name", "networks", "rate_limits"], name="new", rate_limits=["1/day"], scopes=["x"])

    changed = await admin.call(admin.keys.UpdateKey, asked)

    read = await admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id))
    expected = Key()
    expected.CopyFrom(made.key)
    expected.MergeFrom(Key(name="new", rate_limits=["1/day"], etag="2", updated_at=changed.key.updated_at))
    expected.ClearField("networks")
    assert changed.key == read.key == expected


IMMUTABLE = sorted(
    {field.name for field in Key.DESCRIPTOR.fields}
    - {"name", "scopes", "full_access", "origins", "networks", "not_before", "expires_at", "metadata", "rate_limits"}
)


@pytest.mark.parametrize("path", [*IMMUTABLE, "*", "version", "secret", "name,id", ""])
async def test_no_other_field_changes(admin: AdminServer, path: str) -> None:
    """Those that never change, those that do not exist, and all at once."""
    acme = await admin.organization("acme")
    made = await admin.key(acme)

    code, text = await refused(admin.call(admin.keys.UpdateKey, update(made.key.id, ["name", path], name="new")))

    assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "update_mask")
    assert (await admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id))).key == made.key


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"name": "a\nb"}, "name", id="name"),
        pytest.param({"scopes": ["things:red"]}, "scopes[0]", id="scope"),
        pytest.param({"full_access": True}, "full_access", id="full-access"),
        pytest.param({"origins": OriginList()}, "origins", id="empty-origins"),
        pytest.param({"networks": NetworkList()}, "networks", id="empty-networks"),
        pytest.param({"networks": NetworkList(cidrs=["0.0.0.0/0"])}, "networks[0]", id="any-network"),
        pytest.param({"expires_at": Timestamp(seconds=1)}, "expires_at", id="expired"),
        pytest.param({"not_before": Timestamp(seconds=-1)}, "not_before", id="before-1970"),
        pytest.param({"metadata": {"A": ""}}, "metadata", id="metadata"),
        pytest.param({"rate_limits": ["1/week"]}, "rate_limits[0]", id="rate"),
    ],
)
async def test_bad_input_is_named(admin: AdminServer, fields: dict[str, Any], field: str) -> None:
    """As it is when a key is made."""
    made = await admin.key(await admin.organization("acme"))

    code, text = await refused(admin.call(admin.keys.UpdateKey, update(made.key.id, list(fields), **fields)))

    assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_a_key_is_rotated(admin: AdminServer) -> None:
    """The answer has both records and the new text, once; both keys work."""
    made = await admin.key(await admin.organization("acme"), "keys:read", metadata={"a": "1"})

    rotated = await admin.call(admin.keys.RotateKey, RotateKeyRequest(id=made.key.id))

    old, new = rotated.predecessor, rotated.key
    grace = old.grace_ends_at.ToMicroseconds() - old.updated_at.ToMicroseconds()
    assert (old.status, new.status, grace) == (KEY_STATUS_ROTATING, KEY_STATUS_ACTIVE, GRACE * 1_000_000)
    assert (old.successor_id, new.predecessor_id) == (new.id, old.id)
    assert (new.name, list(new.scopes), dict(new.metadata)) == ("test", ["keys:read"], {"a": "1"})
    assert not rotated.secret_already_shown
    for secret in (made.secret, rotated.secret):
        assert len((await admin.call(admin.keys.ListKeys, ListKeysRequest(), secret)).keys) == 2


@pytest.mark.parametrize("grace", [Duration(seconds=GRACE, nanos=1000), Duration(seconds=-1), Duration(seconds=2**62)])
async def test_a_grace_has_bounds(admin: AdminServer, grace: Duration) -> None:
    """Neither negative nor above the API's."""
    made = await admin.key(await admin.organization("acme"))

    code, text = await refused(admin.call(admin.keys.RotateKey, RotateKeyRequest(id=made.key.id, grace=grace)))

    assert (code, text[:6]) == (grpc.StatusCode.INVALID_ARGUMENT, "grace:")


async def test_without_a_grace_the_old_key_is_dead(admin: AdminServer) -> None:
    """Zero is a grace too."""
    made = await admin.key(await admin.organization("acme"), "keys:read")

    rotated = await admin.call(admin.keys.RotateKey, RotateKeyRequest(id=made.key.id, grace=Duration()))

    code, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret))
    assert (rotated.predecessor.status, code) == (KEY_STATUS_EXPIRED, grpc.StatusCode.UNAUTHENTICATED)


async def test_of_fifty_rotations_one_succeeds(admin: AdminServer, sqlite_url: str) -> None:
    """All at once: one successor, and everybody else is told the etag of now, if at first that it is busy."""
    made = await admin.key(await admin.organization("acme"))
    asked = RotateKeyRequest(id=made.key.id, etag=made.key.etag)

    async def told() -> Any:
        for _ in range(CONCURRENT):
            try:
                return await admin.keys.RotateKey(asked, metadata=bearer(admin.operator), timeout=60)
            except grpc.aio.AioRpcError as error:
                answer = error.code(), (error.details() or "")[-14:]
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    break
        return answer

    answers = await asyncio.gather(*(told() for _ in range(CONCURRENT)))

    late = [answer for answer in answers if isinstance(answer, tuple)]
    assert late == [(grpc.StatusCode.ABORTED, " etag is now 2")] * (CONCURRENT - 1)
    assert run_sql(sqlite_url, f"SELECT count(*) FROM keys WHERE predecessor_id = '{made.key.id}'") == [(1,)]


async def test_revoking_in_a_grace_is_immediate(admin: AdminServer) -> None:
    """For the named key; with its successor, for both."""
    made = await admin.key(await admin.organization("acme"), "keys:read")
    rotated = await admin.call(admin.keys.RotateKey, RotateKeyRequest(id=made.key.id))

    one = await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))
    first, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret))
    assert await admin.call(admin.keys.ListKeys, ListKeysRequest(), rotated.secret)
    both = await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, include_successor=True))
    second, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(), rotated.secret))

    assert (first, second) == (grpc.StatusCode.UNAUTHENTICATED,) * 2
    assert not one.HasField("successor")
    assert (both.key, both.successor.status) == (one.key, KEY_STATUS_REVOKED)


async def test_a_deleted_key_is_seen_where_it_is_asked_for(admin: AdminServer, sqlite_url: str) -> None:
    """Not by its id and not in lists; its trail stays."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read")

    deleted = await admin.call(admin.keys.DeleteKey, DeleteKeyRequest(id=made.key.id, reason="unused"))

    dead, _ = await refused(admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret))
    gone = await refused(admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id)))
    where = KeyFilter(organization_id=acme, statuses=[KEY_STATUS_DELETED])
    found = await admin.call(admin.keys.ListKeys, ListKeysRequest(filter=where))
    assert (dead, gone) == (grpc.StatusCode.UNAUTHENTICATED, (grpc.StatusCode.NOT_FOUND, "no such key"))
    assert (list(found.keys), deleted.key.status) == ([deleted.key], KEY_STATUS_DELETED)
    trail = f"SELECT action, reason FROM audit_events WHERE target_id = '{made.key.id}' ORDER BY seq"
    assert run_sql(sqlite_url, trail) == [("key.create", ""), ("key.delete", "unused")]


@pytest.mark.parametrize("name", ["UpdateKey", "RotateKey", "RevokeKey", "DeleteKey"])
async def test_another_etag_is_aborted_with_the_current_one(admin: AdminServer, name: str) -> None:
    """Every change that takes one."""
    made = await admin.key(await admin.organization("acme"))
    request = {
        "UpdateKey": update(made.key.id, ["name"], name="new", etag="9"),
        "RotateKey": RotateKeyRequest(id=made.key.id, etag="9"),
        "RevokeKey": RevokeKeyRequest(id=made.key.id, etag="9"),
        "DeleteKey": DeleteKeyRequest(id=made.key.id, etag="9"),
    }[name]

    told = await refused(admin.call(getattr(admin.keys, name), request))

    assert told == (grpc.StatusCode.ABORTED, "it has changed since it was read: its etag is now 1")


def repeatable(organization_id: str, key_id: str) -> dict[str, Any]:
    """Return a request for every change of a key, with an id to repeat it by."""
    return {
        "CreateKey": CreateKeyRequest(
            api="shop", environment="live", name="ci", organization_id=organization_id, request_id="r1"
        ),
        "UpdateKey": UpdateKeyRequest(
            id=key_id, key=Key(name="new"), update_mask=FieldMask(paths=["name"]), etag="1", request_id="r1"
        ),
        "RotateKey": RotateKeyRequest(id=key_id, etag="1", request_id="r1"),
        "RevokeKey": RevokeKeyRequest(id=key_id, etag="1", request_id="r1"),
        "DeleteKey": DeleteKeyRequest(id=key_id, etag="1", request_id="r1"),
    }


@pytest.mark.parametrize("name", ["CreateKey", "UpdateKey", "RotateKey", "RevokeKey", "DeleteKey"])
async def test_a_repeated_call_answers_the_same_without_the_text(
    admin: AdminServer, sqlite_url: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Nothing is done twice; with another body the id is refused."""
    caplog.set_level(logging.DEBUG)
    acme = await admin.organization("acme")
    made = await admin.key(acme)
    method, request = getattr(admin.keys, name), repeatable(acme, made.key.id)[name]
    first = await admin.call(method, request)
    stored = run_sql(sqlite_url, "SELECT * FROM keys", "SELECT * FROM audit_events")

    again = await admin.call(method, request)
    code, text = await refused(admin.call(method, another(request)))

    if name in {"CreateKey", "RotateKey"}:
        assert (first.secret_already_shown, again.secret_already_shown, again.secret) == (False, True, "")
        assert first.secret[-20:] not in caplog.text
        again.secret, again.secret_already_shown = first.secret, False
    assert first == again
    assert (code, text) == (grpc.StatusCode.ALREADY_EXISTS, "request_id: it was used for another request")
    assert stored == run_sql(sqlite_url, "SELECT * FROM keys", "SELECT * FROM audit_events")


def another(request: Any) -> Any:
    """Return a request that asks for something else under the same id."""
    other = type(request)()
    other.CopyFrom(request)
    field = "name" if isinstance(request, CreateKeyRequest) else "etag"
    setattr(other, field, "2")
    return other


@pytest.mark.parametrize("name", ["CreateKey", "UpdateKey", "RotateKey", "RevokeKey", "DeleteKey"])
async def test_a_call_whose_reply_was_lost_is_repeated_safely(
    admin: AdminServer, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The transaction is committed, and then the database's connection dies: the caller hears UNAVAILABLE."""
    acme = await admin.organization("acme")
    made = await admin.key(acme)
    method, request = getattr(admin.keys, name), repeatable(acme, made.key.id)[name]
    verb = {"RevokeKey": "revoke_keys"}.get(name, name.replace("Key", "_key").lower())
    original = getattr(SqlStore, verb)

    async def lost(*arguments: Any, **options: Any) -> None:
        await original(*arguments, **options)
        raise UnavailableError("the database is not available")

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, verb, lost)
        code, _ = await refused(admin.call(method, request))
    stored = run_sql(sqlite_url, "SELECT * FROM keys", "SELECT * FROM audit_events")
    again = await admin.call(method, request)

    assert code is grpc.StatusCode.UNAVAILABLE
    assert again.key.id
    assert stored == run_sql(sqlite_url, "SELECT * FROM keys", "SELECT * FROM audit_events")


async def test_an_id_is_its_callers_own(admin: AdminServer) -> None:
    """Two callers may choose the same."""
    acme = await admin.organization("acme")
    request = repeatable(acme, "")["CreateKey"]
    first = await admin.call(admin.keys.CreateKey, request)
    other = await admin.operator_with("keys:write")

    second = await admin.call(admin.keys.CreateKey, request, other)

    assert first.key.id != second.key.id
    assert not second.secret_already_shown


async def test_a_review_finds_what_it_looks_for(admin: AdminServer, sqlite_url: str) -> None:
    """Expiring soon, never used, of a name, of a status."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, name="ci-1")
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=(await admin.key(acme, name="ci-2")).key.id))
    await admin.key(acme, name="app")

    where = KeyFilter(organization_id=acme, name_prefix="ci", statuses=[KEY_STATUS_ACTIVE], unused=True)
    found = await admin.call(admin.keys.ListKeys, ListKeysRequest(filter=where))

    assert [key.id for key in found.keys] == [made.key.id]
