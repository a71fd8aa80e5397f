"""Starts everything, prints what to try, and with `check` tries it."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import NoReturn

from authsvc.cli.demo import envoy, process, sample, upstream
from authsvc.cli.demo.sample import Line
from authsvc.domain.errors import StartupError

_FAVOURITE_PORT = 10_000
_TIMEOUT = 10.0  # seconds


def demo(*, check: bool) -> int:
    """Run the demo and return the exit status: 0, or 1 when a line was answered otherwise than printed."""
    with (
        _orderly_end(),
        tempfile.TemporaryDirectory(prefix="authsvc-demo-") as folder,
        _running(Path(folder)) as (base, lines),
    ):
        if check:
            return _check(base, lines)
        try:
            _show(base, lines, Path(folder))
            _wait()
        except (_ToldToEndError, KeyboardInterrupt):
            return 0


class _ToldToEndError(SystemExit):
    """SIGTERM came; unless it is caught, the exit status is the one that a shell gives for it."""


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Have SIGTERM end the block: its default ends this process alone, and leaves the service and Envoy behind."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise _ToldToEndError(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait() -> NoReturn:
    """Wait for a signal whose handler raises."""
    here, there = socket.socketpair()
    with here, there:
        # Python runs the handler here, but the system may deliver to any thread, or a moment before a wait begins;
        # the byte ends the wait in both cases.
        there.setblocking(False)
        signal.set_wakeup_fd(there.fileno())
        try:
            while True:
                here.recv(1)
        finally:
            signal.set_wakeup_fd(-1)


@contextmanager
def _running(home: Path) -> Iterator[tuple[str, list[Line]]]:
    config = home / "authsvc.yaml"
    config.write_text(_text("authsvc.yaml"))
    environ = process.environment(home, config, {})
    with ExitStack() as stack:
        _init(environ)
        stack.enter_context(process.service(environ, home / "authsvc.log"))
        keys = sample.create(environ["AUTHSVC_ADMIN_LISTEN"], home / "admin.key")
        port = stack.enter_context(upstream.upstream())
        where: dict[str, str | int] = {"authsvc": process.socket_for_envoy(environ), "upstream": port}
        configuration = envoy.bootstrap(_text("envoy.yaml"), _port(), where)
        address = stack.enter_context(envoy.envoy(configuration, home))
        yield f"http://{address}", list(sample.lines(keys))


def _init(environ: Mapping[str, str]) -> None:
    made = subprocess.run(process.command("init"), env=environ, check=False, capture_output=True, text=True)  # noqa: S603 - this interpreter
    if made.returncode:
        raise StartupError(made.stderr.strip().removeprefix("authsvc: "))


def _show(base: str, lines: list[Line], home: Path) -> None:
    print(f"Envoy listens on {base}; the service keeps its state in {home} until you press Ctrl-C.\n")  # noqa: T201
    for line in lines:
        print(f"# {line.status}  {line.says}\n{line.curl(base)}\n")  # noqa: T201
    print(  # noqa: T201
        "In another terminal, to administer it:\n"
        f"export AUTHSVC_HOME={home} AUTHSVC_ADMIN_TARGET=unix:{home}/admin.sock\n"
        "authsvc key list",
        flush=True,
    )


def _check(base: str, lines: list[Line]) -> int:
    ask = _by_curl if shutil.which("curl") else _by_hand
    wrong = 0
    for line in lines:
        status = ask(base, line)
        wrong += status != line.status
        verdict = "ok  " if status == line.status else f"WRONG, expected {line.status}:"
        print(f"{verdict} {status}  {line.says}")  # noqa: T201
    print(f"{len(lines) - wrong} passed, {wrong} failed")  # noqa: T201
    return 1 if wrong else 0


def _by_curl(base: str, line: Line) -> int:
    # The very line that is printed, with the output cut down to the status.
    command = f"{line.curl(base)} --silent --output /dev/null --max-time {_TIMEOUT} --write-out '%{{http_code}}'"
    answer = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)  # noqa: S602 - quoted
    return int(answer.stdout or 0)


def _by_hand(base: str, line: Line) -> int:
    # On a machine without curl.
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=_TIMEOUT)
    try:
        connection.request(line.method, line.path, headers=dict(line.headers))
        return connection.getresponse().status
    finally:
        connection.close()


def _text(name: str) -> str:
    return files("authsvc.cli.demo").joinpath(name).read_text()


def _port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _FAVOURITE_PORT))
        except OSError:
            return 0
        return _FAVOURITE_PORT
