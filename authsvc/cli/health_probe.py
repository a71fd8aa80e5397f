"""
`python -m authsvc.cli.health_probe`: exit status 0 when the service beside it wants requests, else 1.

For containers, where nothing else can ask. It finds the service as the service finds itself, in the
environment and the configuration. A listener with TLS is only asked whether it accepts connections:
the probe has no certificate to show.
"""

from __future__ import annotations

import os
import socket
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.config import Address, Settings, load
from authsvc.domain.errors import StartupError

TIMEOUT = 2.0  # seconds


def serving(target: str) -> bool:
    """Whether the service says that it wants requests."""
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def accepts(target: Address) -> bool:
    """Whether anybody listens."""
    try:
        _connect(target)
    except OSError:
        return False
    return True


def _connect(target: Address) -> None:
    if target.is_unix:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(target.path)
    else:
        socket.create_connection((target.host, target.port), TIMEOUT).close()


def main() -> int:
    """Return the exit status."""
    try:
        settings = Settings.from_environment(os.environ)
        encrypted = load(settings.config).data.tls is not None
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    target = settings.listen.reachable()
    healthy = accepts(target) if encrypted else serving(str(target))
    if not healthy:
        sys.stderr.write(f"{target} does not want requests\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
