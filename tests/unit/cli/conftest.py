"""The command line as a process would run it, and an administration to talk to."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from authsvc.cli.main import run
from tests.support.admin_server import AdminServer, running_administration

WAIT = 30.0  # seconds


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an environment that names nothing but a home that does not exist yet."""
    for name in [name for name in os.environ if name.startswith("AUTHSVC_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("AUTHSVC_HOME", str(folder))
    monkeypatch.setenv("AUTHSVC_ADMIN_TARGET", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run one command and tell how it ended."""

    def call(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        status = run(arguments)
        told = capsys.readouterr()
        return Ran(status, told.out, told.err)

    return call


class Served:
    """An administration on an event loop of its own, in a thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._server: Future[AdminServer] = Future()
        self._thread = threading.Thread(target=self._run)

    @property
    def server(self) -> AdminServer:
        """Return the server."""
        return self._server.result(WAIT)

    def do(self, work: Any) -> Any:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.server
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        try:
            async with running_administration(self._url) as server:
                self._server.set_result(server)
                await self._stop.wait()
        except Exception as error:  # noqa: BLE001 - the test has to hear of it
            if not self._server.done():
                self._server.set_exception(error)


@pytest.fixture
def served(sqlite_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Give a running administration that the environment names, with its operator's key."""
    with Served(sqlite_url) as served_:
        monkeypatch.setenv("AUTHSVC_ADMIN_TARGET", served_.server.address)
        monkeypatch.setenv("AUTHSVC_ADMIN_KEY", served_.server.operator)
        yield served_
