"""The fast listener's socket and port: whose they are, and what happens when somebody has them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from authsvc.domain.errors import StartupError
from authsvc.listeners import sockets
from authsvc.listeners.fast import FastListener
from authsvc.telemetry import ListenerCounters
from tests.integration.listeners.scripted import Scripted, call, serving


def socket_at(path: Path) -> socket.socket:
    """Serve a Unix socket."""
    served = socket.socket(socket.AF_UNIX)
    served.bind(str(path))
    served.listen()
    return served


async def test_a_socket_is_the_owners_and_the_groups(tmp_path: Path) -> None:
    """From the first moment, whatever the process's umask; afterwards it is gone and the lock file is left."""
    path = tmp_path / "fast.sock"
    before = os.umask(0)
    try:
        with sockets.claimed(path=str(path), host="", port=0):
            async with serving(Scripted(lambda _: b"here"), target=f"unix:{path}") as (_, channel, listener):
                mode, answer, address = stat.S_IMODE(path.stat().st_mode), await call(channel), listener.address
    finally:
        os.umask(before)

    assert (0o660, b"here", f"unix:{path}") == (mode, answer, address)
    assert os.listdir(tmp_path) == ["fast.sock.lock"]  # noqa: PTH208 - pathlib is not for coroutines


def test_one_process_has_the_socket(tmp_path: Path) -> None:
    """The library would take it from a running server without a word."""
    path = str(tmp_path / "fast.sock")
    with (
        sockets.claimed(path=path, host="", port=0),
        pytest.raises(StartupError, match="another authsvc listens here"),
        sockets.claimed(path=path, host="", port=0),
    ):
        pass
    with sockets.claimed(path=path, host="", port=0):
        pass


def test_a_socket_that_nobody_serves_is_cleared_away(tmp_path: Path) -> None:
    """A process that was killed leaves its socket behind."""
    path = tmp_path / "fast.sock"
    socket_at(path).close()
    with sockets.claimed(path=str(path), host="", port=0):
        assert not path.exists()


@pytest.mark.parametrize("what", ["served", "file", "folder"])
def test_what_is_not_ours_stays(what: str, tmp_path: Path) -> None:
    """A socket that somebody serves, and anything that is no socket, stops the start and is left alone."""
    path = tmp_path / "fast.sock"
    served = socket_at(path) if what == "served" else None
    if what == "file":
        path.write_text("important")
    elif what == "folder":
        path.mkdir()
    with (
        pytest.raises(StartupError, match=r"cannot listen on unix:.*: the address is in use or not ours"),
        sockets.claimed(path=str(path), host="", port=0),
    ):
        pass

    assert path.exists()
    if served is not None:
        served.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """One line names the file and why."""
    with (
        pytest.raises(StartupError, match="cannot be opened: No such file or directory"),
        sockets.claimed(path=str(tmp_path / "none" / "fast.sock"), host="", port=0),
    ):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_port_in_use(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One line of ours; the library adds none of its own."""
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind(("127.0.0.1" if host == "localhost" else host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(StartupError, match="the address is in use or not ours"),
            sockets.claimed(path="", host=host, port=port),
        ):
            pass

    assert capfd.readouterr() == ("", "")


def test_an_address_that_the_library_cannot_bind() -> None:
    """When it is taken in between, the start still ends in one line of ours."""
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1:1: the address is in use or not ours"):
        FastListener("192.0.2.1:1", (), (), ListenerCounters())
