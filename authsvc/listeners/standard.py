"""The standard listener: grpc.aio, any client, any network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import grpc

from authsvc.domain.errors import OverloadedError, PermissionDeniedError, StartupError
from authsvc.listeners import waiting as waits
from authsvc.listeners.options import Bounds, channel_options
from authsvc.servicers.method import Method, Refusal, Waiting
from authsvc.telemetry import ListenerCounters

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[bytes]]


class PeerCheck(Protocol):
    """Decides by its certificate whether a peer may call at all."""

    def __call__(self, context: Context) -> bool:
        """Whether the peer is on the listener's list."""


def new_server(bounds: Bounds, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> grpc.aio.Server:
    """Return a server with our bounds and nothing registered."""
    return grpc.aio.server(
        interceptors=interceptors, options=channel_options(bounds), maximum_concurrent_rpcs=bounds.rpcs
    )


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> str:
    """Bind and return the address with its real port. Raises `StartupError` when it is taken."""
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise StartupError(f"cannot listen on {address}: the address is in use or not ours")
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def add_methods(
    server: grpc.aio.Server, methods: Iterable[Method[Any]], counters: ListenerCounters, admits: PeerCheck | None
) -> None:
    """Register the data plane. Bytes come and go as they are: the methods do their own parsing."""
    for method in methods:
        service, name = method.path[1:].split("/")
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            _handler(method, counters, admits)
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))


def _handler(method: Method[Any], counters: ListenerCounters, admits: PeerCheck | None) -> Handler:
    now = method.now

    async def handle(payload: bytes, context: Context) -> bytes:
        try:
            if admits is not None and not admits(context):
                answer = method.fault(PermissionDeniedError("this peer may not call this service"))
            else:
                found = now(payload)
                answer = await _wait(method, found, context, counters) if isinstance(found, Waiting) else found
        except BaseException as error:
            # grpc would send an exception's text to the client, and nothing at all for a cancellation.
            if waits.given_up(error):
                counters.cancelled += 1
                raise
            counters.faults += 1
            answer = method.fault(error)
        if isinstance(answer, Refusal):
            await context.abort(answer.code, answer.text)
        return answer

    return handle


async def _wait(
    method: Method[Any], waiting: Waiting[Any], context: Context, counters: ListenerCounters
) -> bytes | Refusal:
    # Only waiting calls can pile up: a hit is answered before the next call is looked at.
    if counters.in_flight >= waits.MAX_WAITING:
        counters.overloaded += 1
        return method.fault(OverloadedError("too many requests are waiting"))
    return await waits.answer_within(method, waiting, waits.budget_of(context.time_remaining()), counters)
