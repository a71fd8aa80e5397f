"""The address of a listener whose library takes a socket from a running server without a word."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from authsvc.domain.errors import StartupError

_MODE = 0o660  # the owner and the group: Envoy is in it


@contextmanager
def claimed(*, path: str, host: str, port: int, share: bool = False) -> Iterator[None]:
    """
    Hold an address for as long as it is served: a Unix socket's path, or a host and a port.

    Raises `StartupError` when it cannot be had. `share`: other processes may have the port, too.
    """
    if path:
        with _sole_owner(Path(path)):
            yield
    else:
        _require_free(host, port, share=share)
        yield


@contextmanager
def _sole_owner(path: Path) -> Iterator[None]:
    """
    Hold the lock file beside a Unix socket, and clear away a socket that nobody serves any more.

    Raises `StartupError` when another process serves there, or when something else is in its place.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"{lock}: cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartupError(f"unix:{path}: another authsvc listens here") from None
        _clear(path)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
    finally:
        # The file stays: removing it would let a third process lock a file that nobody else sees.
        os.close(descriptor)


@contextmanager
def owners_mode() -> Iterator[None]:
    """Have sockets that are made in this block be the owner's and the group's, from their first moment."""
    before = os.umask(0o777 & ~_MODE)
    try:
        yield
    finally:
        os.umask(before)


def _require_free(host: str, port: int, *, share: bool) -> None:
    """
    Raise `StartupError` unless a port can be bound: the library would tell of it in words of its own.

    With `share` it may be other processes' too that share it.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))
            probe.bind(address)
    except OSError:
        raise taken(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") from None


def taken(address: str) -> StartupError:
    """Return what is told about an address that cannot be had."""
    return StartupError(f"cannot listen on {address}: the address is in use or not ours")


def _clear(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartupError(f"unix:{path}: {error.strerror}") from None
    if not is_socket or _answers(path):
        raise taken(f"unix:{path}")
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # full, or not ours to ask: somebody's
        return True
