"""Health over the wire: its names, what changes it, and that draining is for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.listeners import options, standard
from authsvc.servicers.health import DATASTORE, SERVING_NAMES, Health
from tests.support.doors import ALLOWED, CHECK, KEY, TIMEOUT, Answer, Door, check_request, door, until

Status = health_pb2.HealthCheckResponse.ServingStatus
UNKNOWN, SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.ServingStatus.Value(n) for n in ("UNKNOWN", "SERVING", "NOT_SERVING")
)
NAMES = ("", "envoy.service.auth.v3.Authorization", "authsvc.v1.AuthService", "authsvc.datastore")
MAY = check_request(key=KEY).SerializeToString()


@asynccontextmanager
async def healthy(built: Door | None = None) -> AsyncIterator[tuple[Health, grpc.aio.Channel, grpc.aio.Server]]:
    """Serve the data plane with its health, which nobody has told anything yet."""
    server, health, of = standard.new_server(options.DATA), Health(), built or door()
    standard.add_methods(server, of.methods, of.calls, None)
    health.register(server)
    await health.start()
    address = standard.bind(server, "127.0.0.1:0", None)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield health, channel, server
    finally:
        await server.stop(None)


async def statuses(channel: grpc.aio.Channel) -> dict[str, int]:
    """Return what every name says."""
    stub = health_pb2_grpc.HealthStub(channel)
    asked = [stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT) for name in NAMES]
    return dict(zip(NAMES, [(await each).status for each in asked], strict=True))


def all_but(datastore: int, others: int) -> dict[str, int]:
    """Return one status for the database and another for everything else."""
    return dict.fromkeys(NAMES, others) | {DATASTORE: datastore}


async def test_the_names() -> None:
    """These names are what clients configure."""
    assert NAMES == (*SERVING_NAMES, DATASTORE)


async def test_from_start_to_drain() -> None:
    """Not serving until the database was heard once; losing it later is told under its own name alone."""
    async with healthy() as (health, channel, _):
        seen = [await statuses(channel)]
        for answers in (False, True, False, True):
            await health.database(answers=answers)
            seen.append(await statuses(channel))
        await health.drain()
        seen.append(await statuses(channel))
        await health.database(answers=True)
        seen.append(await statuses(channel))

    expected = [
        all_but(NOT_SERVING, NOT_SERVING),
        all_but(NOT_SERVING, NOT_SERVING),
        all_but(SERVING, SERVING),
        all_but(NOT_SERVING, SERVING),
        all_but(SERVING, SERVING),
        all_but(NOT_SERVING, NOT_SERVING),
        all_but(NOT_SERVING, NOT_SERVING),
    ]

    assert expected == seen


async def test_other_names_are_not_found() -> None:
    """A misspelt name is no healthy service."""
    async with healthy() as (_, channel, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="authsvc"))

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", NAMES)
async def test_a_watcher_hears_of_every_change(name: str) -> None:
    """Who watches need not ask again."""
    async with healthy() as (health, channel, _):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT)
        seen = [(await watch.read()).status]
        await health.database(answers=True)
        seen.append((await watch.read()).status)
        await health.drain()
        seen.append((await watch.read()).status)
        watch.cancel()

    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_calls_in_flight_are_answered_while_draining() -> None:
    """Drain tells clients to leave, answers who still comes, and waits for who is there."""
    built = door()
    built.store.open.clear()
    async with healthy(built) as (health, channel, server):
        await health.database(answers=True)
        waiting = channel.unary_unary(CHECK)(MAY, timeout=TIMEOUT)
        await until(lambda: built.calls.in_flight == 1)
        await health.drain()
        late = channel.unary_unary(CHECK)(MAY, timeout=TIMEOUT)
        await until(lambda: built.calls.in_flight == 2)
        stopping = asyncio.create_task(server.stop(TIMEOUT))
        await asyncio.sleep(0)
        built.store.open.set()
        answers = [Answer.of(await each).outcome for each in (waiting, late)]
        await stopping

    assert answers == [ALLOWED, ALLOWED]
    assert built.calls.in_flight == 0
