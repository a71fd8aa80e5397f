"""Files that hold a secret: read whole, only where nobody else can read them, and never shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from authsvc.domain.errors import StartupError

_MAX_BYTES = 64 * 1024
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]{32,512}")


def read_private(path: Path, missing: str) -> bytes:
    """Return a file's bytes. Raises `StartupError`, which says `missing` when there is no such file."""
    try:
        # O_NONBLOCK: a pipe in the file's place must not make the start wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StartupError(f"{path}: {missing}") from None
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        _check_mode(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > _MAX_BYTES:
        raise StartupError(f"{path}: larger than {_MAX_BYTES} bytes")
    return raw


def read_token(path: Path) -> bytes:
    """Return the bearer token that a file holds on its one line. Raises `StartupError`."""
    token = read_private(path, "there is no token file").strip()
    if _TOKEN.fullmatch(token) is None:
        raise StartupError(f"{path}: must hold one token of 32 to 512 letters, digits and -._~+/=")
    return token


def _check_mode(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StartupError(f"{path}: is not a regular file")
    # A secret mounted for a service that is not its owner can only be read through the group.
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if status.st_mode & forbidden:
        raise StartupError(f"{path}: others may read or write it (mode {status.st_mode & 0o777:04o}); run chmod 0600")
