"""AuditService over the wire, and what the gate notes of refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1 import audit_service_pb2 as pb
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, GetKeyRequest, RevokeKeyRequest, RotateKeyRequest
from authsvc_client.v1.organization_service_pb2 import SuspendOrganizationRequest
from authsvc_client.v1.restrictions_pb2 import NetworkList
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.servicers import audit as servicer
from authsvc.stores.sql import SqlStore
from tests.support.admin_server import AdminServer, bearer, running_administration

REFUSED = pb.AUDIT_OUTCOME_REFUSED
NOBODYS = "key_" + "0" * 26


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


async def listed(admin: AdminServer, key: str | None = None, **fields: Any) -> Any:
    """Return a page of events, with what was refused before."""
    await admin.refusals.flush()
    return await admin.call(admin.audit.ListAuditEvents, pb.ListAuditEventsRequest(**fields), key)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return what a call that must fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


async def test_an_event_tells_all(admin: AdminServer) -> None:
    """Who, from where, what, before and after, reason, request id, revision, and what authenticates it."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "things:read")
    request = RevokeKeyRequest(id=made.key.id, reason="leaked", request_id="request-7")
    answer = await admin.call(admin.keys.RevokeKey, request)

    (event,) = (await listed(admin, request_id="request-7")).events
    newest = (await listed(admin)).events[0]

    assert (event.actor_key_id, event.actor_organization_id) == (admin.operator_id, admin.operators_id)
    assert (event.source_address, event.action, event.outcome) == ("127.0.0.1", "key.revoke", pb.AUDIT_OUTCOME_DONE)
    assert (event.target_type, event.target_id, event.organization_id) == ("key", made.key.id, acme)
    assert (event.reason, event.count, event.revision) == ("leaked", 1, answer.revision)
    assert dict(event.before) == {"revoked_at": None}
    assert set(event.after) == {"revoked_at"}
    assert event.time == answer.key.revoked_at
    assert (len(event.mac), event) == (64, newest)
    assert made.secret not in str(event)


async def test_pages(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, of any size, and cut short where they would outgrow a message."""
    for number in range(5):
        await admin.organization(f"customer {number}")
    seqs = [event.seq for event in (await listed(admin)).events]

    async def walk(**fields: Any) -> list[int]:
        found, token = [], ""
        while True:
            page = await listed(admin, page_token=token, **fields)
            found += [event.seq for event in page.events]
            if not page.next_page_token:
                return found
            token = page.next_page_token

    assert seqs == list(range(7, 0, -1)) == await walk(page_size=2)
    assert seqs[::-1] == await walk(page_size=3, oldest_first=True)
    monkeypatch.setattr(servicer, "PAGE_BYTES", 10)
    assert seqs == await walk(page_size=5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"page_size": 1001}, "page_size: "),
        ({"outcome": 9}, "outcome: "),
        ({"organization_id": "acme"}, "organization_id: "),
        ({"action": "x" * 65}, "action: "),
        ({"target_type": "a\nb"}, "target_type: "),
        ({"request_id": "ä"}, "request_id: "),
        ({"start_time": Timestamp(seconds=-1)}, "start_time: "),
        ({"start_time": Timestamp(seconds=5), "end_time": Timestamp(seconds=5)}, "end_time: "),
        ({"page_token": "x"}, "page_token: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_input_is_named(admin: AdminServer, fields: dict[str, Any], text: str) -> None:
    """Every field has bounds."""
    code, told = await refused(listed(admin, **fields))

    assert (code, told[: len(text)]) == (grpc.StatusCode.INVALID_ARGUMENT, text)


async def test_a_page_token_is_for_one_list(admin: AdminServer) -> None:
    """Of one caller, with the same filter."""
    await admin.organization("acme")
    token = (await listed(admin, page_size=1)).next_page_token
    other = await admin.operator_with("audit:read")

    assert (await refused(listed(admin, page_token=token, oldest_first=True)))[1].startswith("page_token: ")
    assert (await refused(listed(admin, other, page_token=token)))[1].startswith("page_token: ")
    assert (await listed(admin, page_token=token, page_size=1)).events


async def test_the_scope_is_needed(admin: AdminServer) -> None:
    """And it is enough."""
    acme = await admin.organization("acme")
    product = await admin.key(acme, "keys:read", "keys:write")
    operator = await admin.operator_with("keys:read", "usage:read")

    for key in (product.secret, operator):
        code, _ = await refused(listed(admin, key))
        assert code is grpc.StatusCode.PERMISSION_DENIED
    assert (await listed(admin, await admin.operator_with("audit:read"))).events


async def test_refusals_of_known_callers_are_in_the_trail(admin: AdminServer) -> None:
    """What was attempted on what, and why not: a scope that is missing, another's key, too much power, a state."""
    acme, globex = [await admin.organization(name) for name in ("acme", "globex")]
    foreign = await admin.key(globex, "things:read")
    manager = await admin.key(acme, "keys:read", "keys:write")
    reader = await admin.key(acme, "keys:read")
    dead = await admin.key(acme, "keys:read")
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=dead.key.id))
    wanted = CreateKeyRequest(api="shop", environment="live", name="x", scopes=["things:write"], request_id="r-1")

    await refused(admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=foreign.key.id), manager.secret))
    await refused(admin.call(admin.keys.CreateKey, wanted, manager.secret))
    await refused(admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=dead.key.id), reader.secret))
    await refused(admin.call(admin.keys.RotateKey, RotateKeyRequest(id=dead.key.id), manager.secret))
    suspension = SuspendOrganizationRequest(id=globex, reason="x")
    await refused(admin.call(admin.organizations.SuspendOrganization, suspension, manager.secret))
    page = await listed(admin, outcome=REFUSED, oldest_first=True)

    told = [(e.actor_key_id, e.action, e.target_id, e.reason.partition(":")[0]) for e in page.events]
    assert told == [
        (manager.key.id, "key.revoke", foreign.key.id, "no such key"),
        (manager.key.id, "key.create", "", "scopes"),
        (reader.key.id, "key.revoke", dead.key.id, "the key lacks the scope keys"),
        (manager.key.id, "key.rotate", dead.key.id, "the key does not work any more"),
        (manager.key.id, "organization.suspend", globex, "this is for operators"),
    ]
    assert {(e.source_address, e.actor_organization_id, e.count, e.revision) for e in page.events} == {
        ("127.0.0.1", acme, 1, "")
    }
    assert page.events[1].request_id == "r-1"


async def test_a_live_key_in_the_wrong_place_is_in_the_trail(admin: AdminServer) -> None:
    """Its holder is known, although it gets nowhere."""
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read", networks=NetworkList(cidrs=["192.0.2.0/24"]))

    await refused(admin.call(admin.keys.GetKey, GetKeyRequest(id=made.key.id), made.secret))

    (event,) = (await listed(admin, outcome=REFUSED)).events
    assert (event.actor_key_id, event.action, event.target_id) == (made.key.id, "key.get", made.key.id)


async def test_what_is_no_refusal_of_a_known_caller_is_not(admin: AdminServer) -> None:
    """Unknown callers, mistakes, and what others had done before."""
    made = await admin.key(await admin.organization("acme"), "things:read")

    await refused(admin.keys.GetKey(GetKeyRequest(id=made.key.id), metadata=bearer(made.secret[:-1] + "x")))
    await refused(admin.call(admin.keys.GetKey, GetKeyRequest(id="nonsense")))
    await refused(admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, etag="77")))

    assert not (await listed(admin, outcome=REFUSED)).events


async def test_texts_of_callers_do_not_get_in_through_refusals(admin: AdminServer) -> None:
    """Neither as an id nor as a request's."""
    request = RevokeKeyRequest(id=NOBODYS, request_id="a\nb" * 30)

    await refused(admin.call(admin.keys.RevokeKey, request))
    await refused(admin.call(admin.keys.GetKey, GetKeyRequest(id=NOBODYS)))

    events = (await listed(admin, outcome=REFUSED)).events
    assert [(event.target_id, event.request_id) for event in events] == [(NOBODYS, "")]


async def test_a_flood_is_counted_and_holds_nobody_up(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusing writes nothing by itself; a few events stand for all."""
    manager = await admin.key(await admin.organization("acme"), "keys:read", "keys:write")
    notes: list[int] = []
    write = SqlStore.write_refusals

    async def noted(store: SqlStore, refusals: Any) -> None:
        notes.append(len(refusals))
        await write(store, refusals)

    monkeypatch.setattr(SqlStore, "write_refusals", noted)
    for _ in range(60):
        await refused(admin.call(admin.keys.GetKey, GetKeyRequest(id=NOBODYS), manager.secret))
    assert notes == []

    await admin.refusals.flush(everything=True)
    events = (await listed(admin, outcome=REFUSED)).events

    assert sum(event.count for event in events) == 60
    assert len(events) <= 15
