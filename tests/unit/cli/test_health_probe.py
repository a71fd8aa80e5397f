"""The probe of containers: exit status 0 for a service that wants requests, else 1."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from authsvc.cli import health_probe

CONFIG = """
apis:
  shop:
    credential: {bearer: true}
    kinds: {secret: {default: true, scopes: all, origins: optional}}
    keys: {classes: [{prefix: shop_, kind: secret}]}
"""
TLS = "listeners: {data: {tls: {mode: tls, certificate: server.pem, key: server.key}}}\n"


@contextmanager
def service(status: health_pb2.HealthCheckResponse.ServingStatus) -> Iterator[str]:
    """Serve grpc.health.v1 with one status, as the address to find it at."""
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration without TLS, which the environment names."""
    path = tmp_path / "authsvc.yaml"
    path.write_text(CONFIG)
    monkeypatch.setenv("AUTHSVC_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(health_pb2.HealthCheckResponse.SERVING, 0, id="serving"),
        pytest.param(health_pb2.HealthCheckResponse.NOT_SERVING, 1, id="draining"),
    ],
)
def test_the_service_says_how_it_is(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: health_pb2.HealthCheckResponse.ServingStatus,
    expected: int,
) -> None:
    """The exit status is the service's own word, not the fact that it answers."""
    with service(status) as address:
        monkeypatch.setenv("AUTHSVC_LISTEN", address)

        assert expected == health_probe.main()


def test_nobody_listening_is_unhealthy(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody has is no healthy service."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it meanwhile
        monkeypatch.setenv("AUTHSVC_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")

        assert health_probe.main() == 1


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_with_tls_listening_is_enough(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily
) -> None:
    """The probe has no certificate to show, so with TLS it looks at the port alone."""
    config.write_text(CONFIG + TLS)
    path = tmp_path / "data.sock"
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family is socket.AF_INET else str(path))
        name = listener.getsockname()
        monkeypatch.setenv("AUTHSVC_LISTEN", f"unix:{path}" if isinstance(name, str) else f"127.0.0.1:{name[1]}")
        listener.listen()

        assert health_probe.main() == 0

    assert health_probe.main() == 1


def test_a_configuration_that_cannot_be_used_is_unhealthy(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own line says what is wrong."""
    config.unlink()

    assert health_probe.main() == 1
    assert "cannot be read" in capsys.readouterr().err
