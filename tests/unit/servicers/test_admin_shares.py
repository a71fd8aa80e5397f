"""A flood of administrative calls over a real listener: whoever floods is refused, operators get in."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.key_service_pb2 import ListKeysRequest
from authsvc_client.v1.organization_service_pb2 import ListOrganizationsRequest

from authsvc.servicers.shares import LIMITS
from authsvc.stores.sql import SqlStore
from tests.support.admin_server import TIMEOUT, AdminServer, bearer, running_administration
from tests.support.fakes import PEPPERS
from tests.support.http2 import END_STREAM, INITIAL_WINDOW, PREFACE, Connection, Kind, call, setting, streams

FLOOD = 150  # calls at once; more than the whole has places
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


class Held:
    """Calls of some that are held within the service until they are let go; the calls of others are not."""

    def __init__(self) -> None:
        self.waiting = 0
        self._let_go = asyncio.Event()
        self._changed = asyncio.Event()

    async def hold(self) -> None:
        """Wait in a call until it is let go."""
        self.waiting += 1
        self._changed.set()
        await self._let_go.wait()

    def let_go(self) -> None:
        """Let all go on."""
        self._let_go.set()

    async def until(self, number: int) -> None:
        """Wait until so many are held."""
        async with asyncio.timeout(TIMEOUT):
            while self.waiting < number:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold every list of one organization's keys: what a slow database does to one who asks a lot."""
    held, list_keys = Held(), SqlStore.list_keys

    async def slow(self: SqlStore, where: Any, *rest: Any) -> Any:
        if where.organization_id is not None:
            await held.hold()
        return await list_keys(self, where, *rest)

    monkeypatch.setattr(SqlStore, "list_keys", slow)
    return held


async def outcome(call: Any) -> grpc.StatusCode:
    """Return how a call ends."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def flood(admin: AdminServer, key: str) -> list[asyncio.Task[grpc.StatusCode]]:
    """Begin many lists at once."""
    calls = (admin.call(admin.keys.ListKeys, ListKeysRequest(), key) for _ in range(FLOOD))
    return [asyncio.create_task(outcome(call)) for call in calls]


async def refused(calls: list[asyncio.Task[grpc.StatusCode]], number: int) -> None:
    """Wait until so many calls have ended."""
    ended = asyncio.as_completed(calls, timeout=TIMEOUT)
    for _ in range(number):
        assert await next(ended) is EXHAUSTED


async def operators_call(admin: AdminServer) -> grpc.StatusCode:
    """Return what an operator is told."""
    return await outcome(admin.call(admin.organizations.ListOrganizations, ListOrganizationsRequest()))


async def test_a_products_flood_is_refused_and_operators_get_in(
    admin: AdminServer, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets its organization's share, and everything beyond it is refused at once; the log says whose it is."""
    caplog.set_level(logging.INFO)
    acme = await admin.organization("acme")
    made = await admin.key(acme, "keys:read")
    newcomer = await admin.operator_with("organizations:read")

    calls = flood(admin, made.secret)
    await refused(calls, FLOOD - LIMITS["organization"])
    told = [
        await operators_call(admin),
        await outcome(admin.call(admin.organizations.ListOrganizations, ListOrganizationsRequest(), newcomer)),
    ]
    held.let_go()

    assert told == [grpc.StatusCode.OK] * 2
    assert Counter(await asyncio.gather(*calls)) == {
        grpc.StatusCode.OK: LIMITS["organization"],
        EXHAUSTED: FLOOD - LIMITS["organization"],
    }
    assert f"organization {acme}" in {getattr(each, "detail", "").rpartition("; ")[2] for each in caplog.records}


async def test_without_shares_a_flood_takes_all(
    admin: AdminServer, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the bound of the whole alone, the same flood has operators refused."""
    made = await admin.key(await admin.organization("acme"), "keys:read")
    for name in ("organization", "products", "address", "unknown"):
        monkeypatch.setitem(LIMITS, name, LIMITS["all"] + FLOOD)

    calls = flood(admin, made.secret)
    await held.until(LIMITS["all"])
    told = await operators_call(admin)
    held.let_go()
    await asyncio.gather(*calls)

    assert told is EXHAUSTED


async def test_an_operators_open_streams_leave_room_for_others(admin: AdminServer) -> None:
    """Imports that are held open, and say nothing, take one operator's share."""
    importer = await admin.operator_with("keys:import")
    async with asyncio.timeout(TIMEOUT):
        streams = [
            admin.keys.ImportKeys(metadata=bearer(importer), timeout=TIMEOUT) for _ in range(LIMITS["operator"] + 1)
        ]
        done, _ = await asyncio.wait(
            [asyncio.ensure_future(outcome(stream)) for stream in streams], return_when=asyncio.FIRST_COMPLETED
        )
        told = await operators_call(admin)
    for stream in streams:
        stream.cancel()

    assert [task.result() for task in done] == [EXHAUSTED]
    assert told is grpc.StatusCode.OK


async def test_callers_who_are_not_known_yet_stand_before_no_operator(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every place of theirs is taken, by keys whose record does not come: an operator who was here gets in."""
    made = [await admin.key(await admin.organization(f"org {n}"), "keys:read") for n in range(3)]
    assert await operators_call(admin) is grpc.StatusCode.OK
    slow, load, operator = Held(), SqlStore.load, PEPPERS.current.digest(admin.operator)

    async def held_load(self: SqlStore, digests: Any) -> Any:
        if operator not in digests:
            await slow.hold()
        return await load(self, digests)

    monkeypatch.setattr(SqlStore, "load", held_load)
    monkeypatch.setitem(LIMITS, "unknown", 2)
    asked = [admin.call(admin.keys.ListKeys, ListKeysRequest(), each.secret) for each in made]
    calls = [asyncio.create_task(outcome(call)) for call in asked[:2]]
    await slow.until(2)

    told = [await outcome(asked[2]), await operators_call(admin)]
    slow.let_go()

    assert told == [EXHAUSTED, grpc.StatusCode.OK]
    assert await asyncio.gather(*calls) == [grpc.StatusCode.OK] * 2


def ask_and_take_nothing(connection: Connection, key: str) -> int:
    """Begin many lists whose answers find closed windows; return how many are refused, for that takes no window."""
    assert connection.send(*(_list(stream, key) for stream in streams(FLOOD)))
    ended = (heard for heard in connection.frames() if heard.kind == Kind.HEADERS and heard.flags & END_STREAM)
    return sum(1 for _ in itertools.islice(ended, FLOOD - LIMITS["organization"]))


async def test_who_takes_no_answers_keeps_the_places(admin: AdminServer) -> None:
    """Its calls are not over: they stay within its share, and do not use up what grpcio lets anybody begin."""
    made = await admin.key(await admin.organization("acme"), "keys:read")
    closed = PREFACE + setting(INITIAL_WINDOW, 0)
    with Connection(admin.address, closed) as one, Connection(admin.address, closed) as other:
        ended = await asyncio.to_thread(ask_and_take_nothing, one, made.secret)
        assert await asyncio.to_thread(other.send, *(_list(n, made.secret) for n in streams(FLOOD)))
        told = [
            await outcome(admin.call(admin.keys.ListKeys, ListKeysRequest(), made.secret)),
            await operators_call(admin),
        ]

    assert ended == FLOOD - LIMITS["organization"]
    assert told == [EXHAUSTED, grpc.StatusCode.OK]
    await all_free(admin)


async def test_places_are_free_again_however_a_call_ends(admin: AdminServer, held: Held) -> None:
    """Answered, refused, cancelled by its caller or out of time."""
    made = await admin.key(await admin.organization("acme"), "keys:read")
    await operators_call(admin)
    await outcome(admin.call(admin.organizations.ListOrganizations, ListOrganizationsRequest(), made.secret))
    await outcome(admin.call(admin.keys.ListKeys, ListKeysRequest(), "nobody's"))
    late = admin.keys.ListKeys(ListKeysRequest(), metadata=bearer(made.secret), timeout=0.05)
    assert await outcome(late) is grpc.StatusCode.DEADLINE_EXCEEDED
    given_up = admin.keys.ListKeys(ListKeysRequest(), metadata=bearer(made.secret))
    await held.until(1)
    given_up.cancel()
    held.let_go()

    await all_free(admin)


async def all_free(admin: AdminServer) -> None:
    """Wait until no call has a place; each is given back a moment after its answer."""
    async with asyncio.timeout(TIMEOUT):
        while admin.services.access.shares._taken:
            await operators_call(admin)
            await asyncio.sleep(0)


def _list(stream: int, key: str) -> bytes:
    return call(stream, "/authsvc.v1.KeyService/ListKeys", b"", ("authorization", f"Bearer {key}"))
