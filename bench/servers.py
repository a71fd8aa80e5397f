"""The processes that are measured, all on the first core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from authsvc.cli.demo import envoy, process
from bench.administrator import Administrator
from bench.figures import BenchError
from bench.load import CHECK, CORES
from bench.request import check_request

T = TypeVar("T")

HERE = Path(__file__).parent
CONFIG = HERE / "authsvc.yaml"
PATIENCE = 20.0  # seconds
_STOP_WITHIN = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Something that answers Checks, or requests."""

    address: str
    pids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service, with both of its listeners."""

    home: Path
    standard: Server
    fast: Server
    administrator: Administrator


def free_port() -> int:
    """Return a port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path, config: Path = CONFIG, *, fast: str = "", database_url: str = "") -> dict[str, str]:
    """Return the environment of a service that listens on loopback ports, as what it is compared with does."""
    ports = {
        "AUTHSVC_LISTEN": f"127.0.0.1:{free_port()}",
        "AUTHSVC_FAST_LISTEN": fast or f"127.0.0.1:{free_port()}",
    }
    database = {"AUTHSVC_DATABASE_URL": database_url} if database_url else {}
    return process.environment(home, config, {**ports, **database})


def prepare(environ: Mapping[str, str]) -> None:
    """Make the database and the first administrator's key."""
    Path(environ["AUTHSVC_HOME"]).mkdir(parents=True, exist_ok=True)
    done = subprocess.run(process.command("init"), env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip())


@contextmanager
def fresh(home: Path, config: Path = CONFIG, *, fast: str = "", database_url: str = "") -> Iterator[Service]:
    """Run a service that has nothing but its administrator yet."""
    environ = environment(home, config, fast=fast, database_url=database_url)
    prepare(environ)
    with service(environ) as running:
        yield running


@contextmanager
def service(environ: Mapping[str, str]) -> Iterator[Service]:
    """Run the service, prepared before, until the block ends."""
    home = Path(environ["AUTHSVC_HOME"])
    with on_first_core(process.service(environ, home / "authsvc.log")) as running:
        pids = [running.pid]
        with Administrator.connected(environ["AUTHSVC_ADMIN_LISTEN"], home) as administrator:
            yield Service(
                home=home,
                standard=Server(address=environ["AUTHSVC_LISTEN"], pids=pids),
                fast=Server(address=environ["AUTHSVC_FAST_LISTEN"], pids=pids),
                administrator=administrator,
            )


@contextmanager
def empty_handler(listener: str, *options: str) -> Iterator[Server]:
    """Run an empty handler: see `bench.empty`."""
    address = f"127.0.0.1:{free_port()}"
    with _running([sys.executable, "-m", "bench.empty", listener, address, *options], address) as server:
        yield server


@contextmanager
def comparator(folder: Path, name: str, *options: str) -> Iterator[Server]:
    """Run one of the programs in Go, with the one processor that it has."""
    address = f"127.0.0.1:{free_port()}"
    with _running([str(folder / name), "-address", address, *options], address, GOMAXPROCS="1") as server:
        yield server


@contextmanager
def gateway(home: Path, asked: Server | None) -> Iterator[Server]:
    """Run Envoy, answering by itself; before that it asks a server, or nobody. Both processes' time is its cost."""
    home.mkdir()
    text, clusters = (HERE / "envoy.yaml").read_text(), {} if asked is None else {"authsvc": _place(asked)}
    document = envoy.bootstrap(text, 0, clusters)
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    if asked is None:
        manager["http_filters"] = manager["http_filters"][-1:]
    with on_first_core(envoy.envoy(document, home)) as address:
        yield Server(address=address, pids=[_pid_listening(address), *(asked.pids if asked else ())])


def call(server: Server, message: bytes, path: str = CHECK) -> bytes:
    """Send one call, raw, as soon as the server listens."""
    with grpc.insecure_channel(server.address) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return ask(message, timeout=PATIENCE, wait_for_ready=True)


@contextmanager
def on_first_core(started: AbstractContextManager[T]) -> Iterator[T]:
    """Start a process on the first core: gRPC makes as many threads as it sees cores, so later is too late."""
    with ExitStack() as stack:
        os.sched_setaffinity(0, CORES[:1])
        try:
            value = stack.enter_context(started)
        finally:
            os.sched_setaffinity(0, CORES)
        yield value


@contextmanager
def _running(command: Sequence[str], address: str, **variables: str) -> Iterator[Server]:
    with on_first_core(_process(command, variables)) as running:
        server = Server(address=address, pids=[running.pid])
        call(server, check_request("nobody's"))
        yield server


@contextmanager
def _process(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(_STOP_WITHIN)


def _place(server: Server) -> str | int:
    kind, _, place = server.address.rpartition(":")
    return place if kind == "unix" else int(place)


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
