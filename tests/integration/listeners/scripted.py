"""A fast listener over methods that do as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from authsvc.listeners.fast import FastListener
from authsvc.servicers.method import Refusal, Waiting
from authsvc.telemetry import ListenerCounters
from tests.support.doors import TIMEOUT

Code = tuple[grpc.StatusCode, str | None]

PATH = "/test.Test/Test"


class Scripted:
    """A method that does as it is told."""

    path = PATH

    def __init__(
        self, now: Callable[[bytes], Any], later: Callable[[], Any] | None = None, fault: bytes | Refusal = b"fault"
    ) -> None:
        self.now = now
        self._later = later
        self._fault = fault

    async def later(self, _: Waiting[Any], __: float) -> bytes:
        """Do what was asked for."""
        assert self._later is not None
        answer: bytes = await self._later()
        return answer

    def fault(self, error: BaseException) -> bytes | Refusal:
        """Render any fault in the same way, or fail at it."""
        if self._fault == b"":
            raise error
        return self._fault


@asynccontextmanager
async def serving(
    method: Any, token: bytes | None = None, target: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[ListenerCounters, grpc.aio.Channel, FastListener]]:
    """Serve one method by the fast listener."""
    counters = ListenerCounters()
    listener = FastListener(target, (method,), (method,), counters, token=token)
    listener.start()
    try:
        async with grpc.aio.insecure_channel(listener.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield counters, channel, listener
    finally:
        await listener.close(0)


async def call(channel: grpc.aio.Channel, payload: bytes = b"", path: str = PATH, **options: Any) -> bytes | Code:
    """Call and return the answer, or how it failed."""
    try:
        answer: bytes = await channel.unary_unary(path)(payload, timeout=TIMEOUT, **options)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return answer
