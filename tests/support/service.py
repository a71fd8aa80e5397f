"""`authsvc serve` as a process whose memory, descriptors and counters can be watched."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import grpc

from authsvc.cli.demo import process, sample
from tests.support.builders import key_class
from tests.support.doors import CHECK, check_request, new_key

TIMEOUT = 10.0  # seconds
MIB = 1024 * 1024
_seeds = itertools.count(1_000_000)
_LINE = re.compile(r'^(?P<name>\w+)(?:\{[^}]*?(?:listener="(?P<listener>\w+)")?[^}]*\})? (?P<value>\S+)$')


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory: int  # bytes that are resident
    descriptors: int
    sockets: int  # of the descriptors
    threads: int


@dataclass(frozen=True)
class Service:
    """A running service that has the demo's product, customers and keys."""

    process: subprocess.Popen[bytes]
    targets: dict[str, str]  # by listener
    admin: str
    admin_key: str
    metrics_address: str
    keys: sample.Keys

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def held(self) -> Held:
        """Look at the process."""
        place = Path(f"/proc/{self.process.pid}")
        open_files = [_link(file) for file in (place / "fd").iterdir()]
        told = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
        return Held(
            memory=int(told["VmRSS"].split()[0]) * 1024,
            descriptors=len(open_files),
            sockets=sum(file.startswith("socket:") for file in open_files),
            threads=int(told["Threads"]),
        )

    def metrics(self) -> dict[str, float]:
        """Return every metric's sum, and those of the listeners also as `name/listener`."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=TIMEOUT) as answer:
            lines = answer.read().decode().splitlines()
        sums: dict[str, float] = {}
        for found in filter(None, map(_LINE.match, lines)):
            for name in (found["name"], f"{found['name']}/{found['listener']}"):
                sums[name] = sums.get(name, 0.0) + float(found["value"])
        return sums


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return ""  # closed meanwhile


def check(key: str | None) -> bytes:
    """Return the bytes that ask whether a key may read the demo's orders."""
    headers = {} if key is None else {"x-api-key": key}
    return check_request(path="/v1/orders", headers=headers, extensions={"api": "shop"}).SerializeToString()


def unknown() -> bytes:
    """Return the bytes that ask about a well-formed key that nobody has, and nobody has asked about in this process."""
    return check(new_key(key_class(prefix="shop_"), next(_seeds)))


def warm(served: Service) -> None:
    """Let a service open what it opens when it is busy for the first time: connections to its database, threads."""
    for target in served.targets.values():
        with grpc.insecure_channel(target) as channel:
            # First, so that they are cached: of keys that may be nobody's only so many a second are looked up.
            for key in (served.keys.reader, served.keys.writer, served.keys.page):
                channel.unary_unary(CHECK)(check(key), timeout=TIMEOUT)
            for _ in range(10):
                calls = [channel.unary_unary(CHECK).future(unknown(), timeout=TIMEOUT) for _ in range(50)]
                for call in calls:
                    call.result()


@contextmanager
def service(home: Path, more: str = "") -> Iterator[Service]:
    """
    Set one up in `home`, with both listeners on Unix sockets, and run it until the block ends.

    `more` is added to the demo's configuration.
    """
    config, log = home / "authsvc.yaml", home / "authsvc.log"
    config.write_text((files(sample.__package__) / "authsvc.yaml").read_text() + more)
    environ = process.environment(home, config, {})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True, timeout=60)
    with process.service(environ, log) as running:
        (line,) = (line for line in log.read_text().splitlines() if '"serving"' in line)
        yield Service(
            process=running,
            targets={"standard": environ["AUTHSVC_LISTEN"], "fast": environ["AUTHSVC_FAST_LISTEN"]},
            admin=environ["AUTHSVC_ADMIN_LISTEN"],
            admin_key=(home / "admin.key").read_text().strip(),
            metrics_address=json.loads(line)["address"].rpartition(" ")[2],
            keys=sample.create(environ["AUTHSVC_ADMIN_LISTEN"], home / "admin.key"),
        )
