"""Callers that go away, and lists while others write. Over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest_asyncio
from authsvc_client.v1.key_service_pb2 import BulkRevokeKeysRequest, CreateKeyRequest, ListKeysRequest, RotateKeyRequest

from tests.support.admin_server import AdminServer, bearer, running_administration
from tests.support.databases import run_sql
from tests.support.doors import until
from tests.support.fakes import PEPPERS

CANCELLED = 60


@pytest_asyncio.fixture
async def admin(database_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration, on either database."""
    async with running_administration(database_url) as server:
        yield server


async def start(admin: AdminServer, number: int, organization_id: str, rotated: str) -> Any:
    """Start one of several mutations."""
    metadata = bearer(admin.operator)
    if number % 3 == 0:
        return admin.keys.RotateKey(RotateKeyRequest(id=rotated), metadata=metadata)
    if number % 3 == 1:
        request = BulkRevokeKeysRequest(ids=[(await admin.key(organization_id, "things:read")).key.id], reason="x")
        return admin.keys.BulkRevokeKeys(request, metadata=metadata)
    create = CreateKeyRequest(api="shop", environment="live", name="cut", organization_id=organization_id)
    return admin.keys.CreateKey(create, metadata=metadata)


async def test_a_client_that_dies_leaves_all_or_nothing(admin: AdminServer, database_url: str) -> None:
    """Whenever it does: effects, trail and change log agree, the chain holds, and the service goes on."""
    acme = await admin.organization("acme")
    for number in range(CANCELLED):
        rotated = (await admin.key(acme, "things:read")).key.id
        call = await start(admin, number, acme, rotated)
        waiting = asyncio.ensure_future(call)
        for _ in range(number):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([waiting])
    await until(lambda: not admin.store.database._running and not admin.services.access.shares.taken("all"))
    last = await admin.key(acme, "things:read")

    (counts,) = run_sql(
        database_url,
        """SELECT (SELECT count(*) FROM keys) - (SELECT count(*) FROM audit_events WHERE action = 'key.create'),
                  (SELECT count(*) FROM keys WHERE revoked_at IS NOT NULL)
                    - (SELECT count(*) FROM audit_events WHERE action = 'key.bulk_revoke'),
                  (SELECT count(*) FROM keys WHERE successor_id IS NOT NULL)
                    - (SELECT count(*) FROM audit_events WHERE action = 'key.rotate'),
                  (SELECT max(seq) FROM auth_change) - (SELECT seq FROM change_head),
                  (SELECT count(*) FROM audit_events) - (SELECT audit_seq FROM change_head)""",
    )
    assert counts == (0, 0, 0, 0, 0)
    assert last.secret
    assert (await admin.store.verify_audit(PEPPERS, None)).sound


async def test_lists_during_writes_neither_skip_nor_repeat(admin: AdminServer) -> None:
    """A key that was there before and is there afterwards is on exactly one page, and pages stay in order."""
    acme = await admin.organization("acme")
    before = {(await admin.key(acme, "things:read")).key.id for _ in range(30)}
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            try:
                made = await admin.key(acme, "things:read")
                await admin.call(admin.keys.RotateKey, RotateKeyRequest(id=made.key.id))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - the machine is busy

    writers = [asyncio.create_task(write()) for _ in range(3)]
    for _ in range(5):
        found: list[str] = []
        request = ListKeysRequest(page_size=4)
        while True:
            page = await admin.call(admin.keys.ListKeys, request)
            found += [key.id for key in page.keys]
            if not page.next_page_token or len(found) > 200:
                break
            request.page_token = page.next_page_token
        assert len(set(found)) == len(found)
        assert sorted(found) == found
        assert before <= set(found)
    stop.set()
    await asyncio.gather(*writers)
