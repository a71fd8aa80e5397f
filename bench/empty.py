"""The floor: a grpc.aio handler that answers every Check with the same bytes. `python -m bench.empty ADDRESS`."""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from authsvc.listeners import options
from authsvc.listeners.standard import new_server
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckResponse, OkHttpResponse

_ANSWER = CheckResponse(ok_response=OkHttpResponse()).SerializeToString()


async def _check(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return _ANSWER


async def serve(address: str) -> None:
    """Serve until killed."""
    server = new_server(options.DATA)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_check)
    service = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": handler}),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
