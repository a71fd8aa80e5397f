"""Whatever is asked, of whichever listener, the answer is the same but for the decision's id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import (
    AuthenticateRequest,
    AuthenticateResponse,
    AuthorizeRequest,
    AuthorizeResponse,
    BatchAuthorizeItem,
    BatchAuthorizeRequest,
    BatchAuthorizeResponse,
)
from google.protobuf.message import Message
from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.listeners import options, standard
from authsvc.listeners.fast import FastListener
from tests.fuzz.product_oracle import PRODUCTS
from tests.fuzz.product_requests import Draft, clean, hostile
from tests.fuzz.test_product_fuzz import SPLICES, target
from tests.support.doors import AUTHENTICATE, AUTHORIZE, BATCH, CHECK, TIMEOUT, Answer, Door

Told = bytes | tuple[grpc.StatusCode, str | None]
NO_ID = "0" * 24
DRAFTS = st.sampled_from(PRODUCTS).flatmap(lambda name: hostile(target(name).product) | clean(target(name).product))
NAMES = st.text(max_size=70)
METHODS: dict[str, type[Message]] = {
    AUTHENTICATE: AuthenticateResponse,
    AUTHORIZE: AuthorizeResponse,
    BATCH: BatchAuthorizeResponse,
}


@dataclass
class Pair:
    """One door behind two listeners."""

    runner: asyncio.Runner
    door: Door
    servers: tuple[grpc.aio.Server, FastListener]
    channels: tuple[grpc.aio.Channel, ...]

    def ask(self, path: str, payload: bytes) -> list[Told]:
        """Ask the standard listener, then the fast one."""
        return [self.runner.run(_call(channel, path, payload)) for channel in self.channels]


async def _call(channel: grpc.aio.Channel, path: str, payload: bytes) -> Told:
    try:
        answer: bytes = await channel.unary_unary(path)(payload, timeout=TIMEOUT)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return answer


async def _serve(door: Door) -> tuple[tuple[grpc.aio.Server, FastListener], tuple[grpc.aio.Channel, ...]]:
    server = standard.new_server(options.DATA)
    standard.add_methods(server, door.methods, door.calls, None)
    address = standard.bind(server, "127.0.0.1:0", None)
    fast = FastListener("127.0.0.1:0", door.methods, door.methods, door.calls)
    await server.start()
    fast.start()
    return (server, fast), tuple(grpc.aio.insecure_channel(at) for at in (address, fast.address))


async def _end(pair: Pair) -> None:
    for channel in pair.channels:
        await channel.close()
    await pair.servers[0].stop(None)
    await pair.servers[1].close(0)


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, Pair]]:
    """Every product behind both listeners."""
    made = {}
    with asyncio.Runner() as runner:
        for name in PRODUCTS:
            door = target(name).door
            made[name] = Pair(runner, door, *runner.run(_serve(door)))
        yield made
        for pair in made.values():
            runner.run(_end(pair))


def without_id(told: Told) -> Told:
    """Return a Check's answer with another decision's id."""
    assert isinstance(told, bytes)
    return told.replace(Answer.of(told).metadata["decision_id"].encode(), NO_ID.encode())


@given(DRAFTS, SPLICES | st.just([]))
def test_envoy_is_told_the_same(pairs: dict[str, Pair], draft: Draft, splices: list[tuple[int, int, bytes]]) -> None:
    """Well-formed requests, hostile ones, and bytes that are none, to the last byte."""
    payload = bytearray(draft.message().SerializeToString())
    for start, length, piece in splices:
        at = start % (len(payload) + 1)
        payload[at : at + length] = piece
    standard_one, fast_one = pairs[draft.api].ask(CHECK, bytes(payload))
    event(Answer.of(fast_one).reason if isinstance(fast_one, bytes) else "error")

    assert without_id(standard_one) == without_id(fast_one)


def _decisions(told: Told, response: type[Message]) -> Told:
    if not isinstance(told, bytes):
        return told
    message = response.FromString(told)
    results = [result.response for result in message.results] if response is BatchAuthorizeResponse else [message]  # type: ignore[attr-defined]
    for each in results:
        if each.HasField("decision"):
            each.decision.decision_id = NO_ID  # type: ignore[attr-defined]
    return message.SerializeToString(deterministic=True)


@given(DRAFTS, NAMES, st.sampled_from([0, 1, 2, 100, 101]), st.sampled_from([*METHODS]), st.sampled_from([*METHODS]))
def test_backends_are_told_the_same(
    pairs: dict[str, Pair], draft: Draft, name: str, count: int, asked: str, meant: str
) -> None:
    """Each method, with its own question, and with the bytes of another's."""
    may = AuthorizeRequest(api=draft.api, credential=draft.key, method=draft.method, path=draft.path)
    item = BatchAuthorizeItem(correlation_id=name, request=may)
    questions: dict[str, Message] = {
        AUTHENTICATE: AuthenticateRequest(api=draft.api, credential=draft.key),
        AUTHORIZE: may,
        BATCH: BatchAuthorizeRequest(items=[item] * count),
    }
    payload = questions[meant].SerializeToString()
    standard_one, fast_one = (_decisions(told, METHODS[asked]) for told in pairs[draft.api].ask(asked, payload))
    event(str(fast_one[0]) if isinstance(fast_one, tuple) else "answered")

    assert standard_one == fast_one
