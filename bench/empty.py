"""
The floors: handlers that answer every Check with the same bytes, and look at nothing.

`python -m bench.empty standard ADDRESS` is grpc.aio, as the standard listener uses it, and
`python -m bench.empty fast ADDRESS SIZE` the library of the fast listener, with answers of so many bytes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import grpc
import uvloop

from authsvc.listeners import options
from authsvc.listeners.fast import MAX_BATCH, bound
from authsvc.listeners.standard import new_server
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckResponse, OkHttpResponse
from bench.load import CHECK

_ANSWER = CheckResponse(ok_response=OkHttpResponse()).SerializeToString()


async def _check(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return _ANSWER


async def standard(address: str) -> None:
    """Serve until killed."""
    server = new_server(options.DATA)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_check)
    service, _, method = CHECK[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def fast(address: str, size: int) -> None:
    """Serve until killed, in the way the fast listener receives and responds."""
    front = bound(address, [CHECK], None)
    front.start()
    answer = bytes(size)
    while (events := front.recv_batch(MAX_BATCH)) is not None:
        for _, call, _, payload, _ in events:
            if payload is not None:
                front.respond(call, answer)


def main(arguments: Sequence[str]) -> None:
    """Run one of them."""
    which, address, *size = arguments
    if which == "fast":
        fast(address, int(*size))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(standard(address))


if __name__ == "__main__":
    main(sys.argv[1:])
