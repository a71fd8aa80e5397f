"""One serving process per SQLite file: two would not hear of each other's revocations."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from authsvc.domain.errors import StartupError


@contextmanager
def single_process(database: Path) -> Iterator[None]:
    """Hold the lock file beside a database. Raises `StartupError` when another process does."""
    path = database.with_name(database.name + ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartupError(f"{database}: another authsvc serves from this file") from None
        yield
    finally:
        # The file stays: removing it would let a third process lock a file that nobody else sees.
        os.close(descriptor)
