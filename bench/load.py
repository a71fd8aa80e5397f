"""Offers load with h2load and reads what the server's processes spent on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_DONE = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded")
_RATE = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")


@dataclass(frozen=True)
class Load:
    """One burst: connections, streams on each, seconds, and what is posted where."""

    url: str
    connections: int
    streams: int
    seconds: int
    body: Path | None
    headers: Sequence[str]
    http1: bool = False


@dataclass(frozen=True)
class Result:
    """What came of it."""

    rate: float  # requests a second
    cpu: float  # seconds of the server's processor a request


class BenchError(Exception):
    """The measurement cannot be trusted."""


def require() -> None:
    """Stop where the load generator is missing."""
    if shutil.which("h2load") is None:
        raise BenchError("h2load is missing; install it (Debian: nghttp2-client)")


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return user and system time of processes with their threads and live children."""
    total = 0
    children = [child for pid in pids for child in _children(pid)]
    for pid in (*pids, *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def offer(load: Load, pids: Sequence[int]) -> Result:
    """Offer a load from the second core, and return the rate and the cost of a request."""
    pin = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
    command = [*pin, "h2load", "-c", str(load.connections), "-m", str(load.streams), "--duration", str(load.seconds)]
    command += ["--h1"] if load.http1 else []
    command += ["-d", str(load.body)] if load.body else []
    command += [word for header in load.headers for word in ("-H", header)]
    before = cpu_seconds(pids)
    done = subprocess.run([*command, load.url], capture_output=True, text=True, check=True)
    spent = cpu_seconds(pids) - before
    counts, rate = _DONE.search(done.stdout), _RATE.search(done.stdout)
    if counts is None or rate is None or counts[1] != counts[2] or int(counts[1]) == 0:
        raise BenchError(f"the load was not answered:\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    return Result(rate=float(rate[1]), cpu=spent / int(counts[1]))


def grpc_load(address: str, body: Path, seconds: int) -> Load:
    """Return the load of unary calls: four connections with sixteen calls each."""
    url = f"http://{address}/envoy.service.auth.v3.Authorization/Check"
    headers = ("content-type: application/grpc", "te: trailers")
    return Load(url, connections=4, streams=16, seconds=seconds, body=body, headers=headers)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
