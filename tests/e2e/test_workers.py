"""`authsvc serve --workers 2`: both answer Envoy, a dead one is replaced, one signal ends them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from authsvc.cli.demo import envoy, process, sample, upstream
from tests.support.stack import TIMEOUT, send


@dataclass
class Workers:
    """A service of two processes on PostgreSQL."""

    home: Path
    environ: dict[str, str]
    running: subprocess.Popen[bytes]

    @property
    def sockets(self) -> list[str]:
        """The fast listeners' paths."""
        first = process.socket_for_envoy(self.environ)
        return [first, f"{first}.1"]

    def pids(self) -> list[int]:
        """The processes behind the supervisor, the longest running first."""
        return [
            int(pid) for pid in Path(f"/proc/{self.running.pid}/task/{self.running.pid}/children").read_text().split()
        ]

    def wait(self, number: int) -> None:
        """Wait until the worker of that number serves."""
        address = self.environ["AUTHSVC_LISTEN"] + (f".{number}" if number else "")
        process.wait_until_serving(self.running, address, self.home / "log")


@contextmanager
def two_workers(home: Path, config: Path, url: str) -> Iterator[Workers]:
    """Run them."""
    environ = process.environment(home, config, {"AUTHSVC_DATABASE_URL": url, "AUTHSVC_METRICS_LISTEN": "off"})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True, timeout=60)
    with (home / "log").open("ab") as log:
        command = process.command("serve", "--drain", "0", "--workers", "2")
        workers = Workers(home, environ, subprocess.Popen(command, env=environ, stdout=log, stderr=log))
    try:
        for number in range(2):
            workers.wait(number)
        yield workers
    finally:
        workers.running.terminate()
        workers.running.wait(3 * TIMEOUT)


def asked_of(home: Path, socket: str) -> int:
    """Return how many calls Envoy has made to a socket."""
    with urllib.request.urlopen(f"http://{(home / 'envoy.admin').read_text()}/clusters", timeout=TIMEOUT) as answer:
        told = answer.read().decode()
    (count,) = re.findall(rf"^authsvc::{re.escape(socket)}::rq_total::([0-9]+)$", told, re.MULTILINE)
    return int(count)


def test_envoy_spreads_over_the_workers(tmp_path: Path, config: Path, bootstrap: str, postgres_url: str) -> None:
    """One Envoy with one thread and both sockets: each request is allowed, and half of them were decided by each."""
    with two_workers(tmp_path, config, postgres_url) as workers, ExitStack() as stack:
        keys = sample.create(workers.environ["AUTHSVC_ADMIN_LISTEN"], tmp_path / "admin.key")
        port = stack.enter_context(upstream.upstream())
        document = envoy.bootstrap(bootstrap, 0, {"authsvc": "", "upstream": port})
        (cluster,) = (one for one in document["static_resources"]["clusters"] if one["name"] == "authsvc")
        endpoints = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in workers.sockets]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
        address = stack.enter_context(envoy.envoy(document, tmp_path))
        statuses = [send(address, "GET", "/v1/orders", (("x-api-key", keys.writer),)).status for _ in range(40)]
        asked = [asked_of(tmp_path, path) for path in workers.sockets]

    assert statuses == [200] * 40
    assert asked == [20, 20]


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, config: Path, postgres_url: str) -> None:
    """The other one goes on, and after a moment there are two again."""
    with two_workers(tmp_path, config, postgres_url) as workers:
        before = workers.pids()
        os.kill(before[1], signal.SIGKILL)
        end = time.monotonic() + 3 * TIMEOUT
        while len(after := workers.pids()) < 2 or after == before:
            assert time.monotonic() < end
            os.sched_yield()
        for number in range(2):
            workers.wait(number)

    assert len(set(before) & set(after)) == 1
    assert re.search(r"worker [01] ended with status -9; it is replaced", (tmp_path / "log").read_text())


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_ends_all(by: signal.Signals, tmp_path: Path, config: Path, postgres_url: str) -> None:
    """They drain and end with status 0, and nothing is left behind."""
    with two_workers(tmp_path, config, postgres_url) as workers:
        pids = workers.pids()
        workers.running.send_signal(by)
        status = workers.running.wait(3 * TIMEOUT)

    assert (status, len(pids)) == (0, 2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_one_that_cannot_start_ends_all(tmp_path: Path, config: Path, postgres_url: str) -> None:
    """The second worker's socket is somebody else's: the status is 2, and the reason is told once."""
    environ = process.environment(tmp_path, config, {"AUTHSVC_DATABASE_URL": postgres_url})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True, timeout=60)
    Path(process.socket_for_envoy(environ) + ".1").write_text("not a socket")
    ended = subprocess.run(
        process.command("serve", "--drain", "0", "--workers", "2"),
        env=environ,
        capture_output=True,
        text=True,
        timeout=6 * TIMEOUT,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.count("fast.sock.1: the address is in use or not ours") == 1
