"""The service as a process of its own, on Unix sockets in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.domain.errors import StartupError

_START_WITHIN = 30.0  # seconds
_STOP_WITHIN = 20.0
# The socket is not there at first; gRPC would then pause for a second, and for longer each time.
_RETRY_OFTEN = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100))


def environment(home: Path, config: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service that keeps everything in `home`; fast, where that is installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}
    fast = {"AUTHSVC_FAST_LISTEN": f"unix:{home}/fast.sock"} if find_spec("pygrpc_native") else {}
    return {
        **inherited,
        **fast,
        "AUTHSVC_HOME": str(home),
        "AUTHSVC_CONFIG": str(config),
        "AUTHSVC_LISTEN": f"unix:{home}/data.sock",
        "AUTHSVC_ADMIN_LISTEN": f"unix:{home}/admin.sock",
        "AUTHSVC_METRICS_LISTEN": "127.0.0.1:0",
        **extra,
    }


def socket_for_envoy(environ: Mapping[str, str]) -> str:
    """Return the path of the socket at which an Envoy beside the service finds it."""
    return environ.get("AUTHSVC_FAST_LISTEN", environ["AUTHSVC_LISTEN"]).removeprefix("unix:")


def command(*arguments: str) -> list[str]:
    """Return the command line of `authsvc` with this very interpreter."""
    return [sys.executable, "-m", "authsvc.cli.main", *arguments]


@contextmanager
def service(environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `authsvc serve` until the block ends; wait until it serves."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            command("serve", "--drain", "0"), env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_until_serving(process, environ["AUTHSVC_LISTEN"], log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_serving(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until a service wants requests. Raises `StartupError` when it ends instead."""
    with grpc.insecure_channel(address, _RETRY_OFTEN) as channel:
        request = health_pb2.HealthCheckRequest()
        watch = health_pb2_grpc.HealthStub(channel).Watch
        end = time.monotonic() + _START_WITHIN
        while process.poll() is None and time.monotonic() < end:
            # Short watches, so that the death of the process is noticed.
            try:
                for answer in watch(request, timeout=1, wait_for_ready=True):
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            except grpc.RpcError:
                continue
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise StartupError(f"authsvc did not start:\n{tail}")
