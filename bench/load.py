"""Offers load with h2load, and reads what the server's processes spent on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BenchError, Figures, percentile

_TICKS = os.sysconf("SC_CLK_TCK")
_DONE = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded")
_RATE = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")
_ATTEMPTS = 5
_OK = "200"
_PERCENTILES = (("50", 0.5), ("99", 0.99), ("999", 0.999))

# The first one serves, the second one asks; where there is one alone, both do.
CORES = sorted(os.sched_getaffinity(0))

MISSING = "h2load is missing; install it (Debian, Ubuntu: apt-get install nghttp2-client)"
GRPC = ("content-type: application/grpc", "te: trailers")
CHECK = "/envoy.service.auth.v3.Authorization/Check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One burst: where to, connections, streams on each, seconds, and what is sent."""

    address: str  # host:port or unix:/path
    path: str
    headers: Sequence[str]
    seconds: int
    connections: int = 4
    streams: int = 16
    body: Path | None = None  # posted
    http1: bool = False
    rate: int | None = None  # requests a second, whatever comes back; None: as fast as answers come


def available() -> bool:
    """Whether the load generator is installed."""
    return shutil.which("h2load") is not None


def checks(address: str, body: Path, seconds: int, path: str = CHECK) -> Load:
    """Return the load of unary calls: four connections with sixteen calls each."""
    return Load(address=address, path=path, headers=GRPC, seconds=seconds, body=body)


def cost(load: Load, pids: Sequence[int]) -> Figures:
    """Offer a load; return the requests a second and the microseconds of the server's processor for each request."""
    for _ in range(_ATTEMPTS):
        before = processor_time(pids)
        told = _run(load)
        user, system = (now - then for now, then in zip(processor_time(pids), before, strict=True))
        counts, rate = _DONE.search(told), _RATE.search(told)
        if counts is None or rate is None or counts[1] != counts[2]:
            break
        if done := int(counts[1]):
            return {"cpu_us": (user + system) / done * 1e6, "kernel_us": system / done * 1e6, "rate": float(rate[1])}
        # Nothing at all: a machine with others on it can leave a process without a moment for seconds.
    raise BenchError(f"the load was not answered\n{told[-1500:]}")


def delays(load: Load) -> Figures:
    """
    Offer a load; return the percentiles of how long answers took, in microseconds.

    With a rate, requests are sent when they are due, so that an answer's time holds all of its waiting; the
    percentage that was answered at all within the burst is returned then, too.
    """
    with tempfile.NamedTemporaryFile("r", prefix="authsvc-bench-", suffix=".log") as log:
        _run(load, "--log-file", log.name)
        answers = [line.split("\t") for line in log]
    took = sorted(float(answer[2]) for answer in answers if answer[1] == _OK)
    if not load.rate and len(took) < len(answers):
        raise BenchError("the load was not answered")
    percentiles = {f"p{name}_us": percentile(took or [load.seconds * 1e6], share) for name, share in _PERCENTILES}
    if load.rate is None:
        return percentiles
    return {**percentiles, "answered": min(100.0, 100 * len(took) / (load.rate * load.seconds))}


def processor_time(pids: Sequence[int]) -> tuple[float, float]:
    """Return the user and the system seconds of processes and of all that live below them, every thread included."""
    user = system = 0
    for pid in _tree(pids):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system = user + int(fields[11]), system + int(fields[12])
    return user / _TICKS, system / _TICKS


def _run(load: Load, *more: str) -> str:
    if not available():
        raise BenchError(MISSING)
    done = subprocess.run([*_command(load), *more], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"h2load failed:\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    return done.stdout


def _command(load: Load) -> list[str]:
    command = ["taskset", "-c", str(CORES[:2][-1])]
    command += ["h2load", "-c", str(load.connections), "-m", str(load.streams), "--duration", str(load.seconds)]
    command += ["--h1"] if load.http1 else []
    command += ["-d", str(load.body)] if load.body else []
    command += ["--rps", str(load.rate / load.connections)] if load.rate else []
    command += [word for header in load.headers for word in ("-H", header)]
    if load.address.startswith("unix:"):
        return [*command, "--base-uri", load.address, f"http://localhost{load.path}"]
    return [*command, f"http://{load.address}{load.path}"]


def _tree(pids: Sequence[int]) -> list[int]:
    found = list(pids)
    for pid in found:  # which grows
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it may end while it is looked at
                found += map(int, (thread / "children").read_text().split())
    return found
