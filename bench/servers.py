"""The processes that are measured, pinned to the first core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

from authsvc.cli.demo import envoy, process
from bench.load import BenchError
from bench.request import allowed, check_request

HERE = Path(__file__).parent
CHECK = "/envoy.service.auth.v3.Authorization/Check"


@dataclass(frozen=True)
class Server:
    """Something that answers Checks, or requests."""

    name: str
    address: str
    pids: Sequence[int]


def free_port() -> int:
    """Return a port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def empty_handler() -> Iterator[Server]:
    """Run the empty grpc.aio handler."""
    address = f"127.0.0.1:{free_port()}"
    with _process([sys.executable, "-m", "bench.empty", address], os.environ) as running:
        call(address, b"", wait=True)
        yield Server("empty grpc.aio handler", address, [running.pid])


@contextmanager
def service(home: Path, config: Path = HERE / "authsvc.yaml") -> Iterator[tuple[Server, str]]:
    """Run the service on its embedded default, and yield it with a key that may do what is asked."""
    address = f"127.0.0.1:{free_port()}"
    environ = process.environment(home, config, {"AUTHSVC_LISTEN": address})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True)
    with ExitStack() as stack:
        with first_core():
            running = stack.enter_context(process.service(environ, home / "authsvc.log"))
        key = create_key(environ["AUTHSVC_ADMIN_LISTEN"], (home / "admin.key").read_text().strip())
        if not allowed(call(address, check_request(key), wait=True)):
            raise BenchError("the measured Check is not allowed")
        yield Server("authsvc Check", address, [running.pid]), key


@contextmanager
def gateway(name: str, home: Path, authsvc: Server | None) -> Iterator[Server]:
    """Run Envoy, answering by itself; with or without asking the service."""
    document = envoy.bootstrap((HERE / "envoy.yaml").read_text(), 0, {})
    for cluster in document["static_resources"]["clusters"]:
        if authsvc is not None:
            host, _, port = authsvc.address.rpartition(":")
            endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
            cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": endpoint}]}]
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    if authsvc is None:
        manager["http_filters"] = manager["http_filters"][-1:]
    folder = home / name.replace(" ", "-")
    folder.mkdir()
    with envoy.envoy(document, folder) as address:
        yield Server(name, address, [_pid_listening(address)])


def call(address: str, message: bytes, *, wait: bool = False) -> bytes:
    """Send one Check, raw."""
    with grpc.insecure_channel(address) as channel:
        answer: bytes = channel.unary_unary(CHECK)(message, timeout=20, wait_for_ready=wait)
        return answer


def create_key(target: str, admin_key: str) -> str:
    """Make an organization and a key of it that holds every scope."""
    metadata = (("authorization", f"Bearer {admin_key}"),)
    with grpc.insecure_channel(target) as channel:
        request = CreateOrganizationRequest(name="bench")
        organization = OrganizationServiceStub(channel).CreateOrganization(request, metadata=metadata, timeout=20)
        wanted = CreateKeyRequest(
            api="bench",
            organization_id=organization.organization.id,
            name="bench",
            environment="live",
            scopes=["sessions:read", "sessions:write"],
        )
        return KeyServiceStub(channel).CreateKey(wanted, metadata=metadata, timeout=20).secret


@contextmanager
def first_core() -> Iterator[None]:
    """Start processes on the first core: gRPC makes as many threads as it sees cores, so later is too late."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _process(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with first_core():
        running = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)


def _pid_listening(address: str) -> int:
    """Return the process behind a listening port, by its socket's inode."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inode = next(line.split()[9] for line in lines if line.split()[1].endswith(port) and line.split()[3] == "0A")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == f"socket:[{inode}]":
                return int(link.parts[2])
        except OSError:
            continue
    raise LookupError(address)
