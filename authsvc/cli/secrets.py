"""
Where keys are read from and written to: files, standard input, the environment.

Never the command line's arguments, which other users of the machine can read.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from authsvc.cli.errors import USAGE, CommandError
from authsvc.domain.secret import Secret

STANDARD_INPUT = "-"
MAX_BYTES = 1024
PRIVATE = 0o600

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_key(source: str) -> Secret:
    """Read a key from a file, or from standard input for `-`; blanks around it are dropped."""
    try:
        if source == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{source}: cannot be read: {error.strerror}", USAGE) from None
    return _secret(raw, source)


def read_private_key(path: Path) -> Secret | None:
    """Read a key from a file that nobody else can read; None when there is no file."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}", USAGE) from None
    if mode & _OTHERS:
        raise CommandError(f"{path}: other users can read it; run chmod 600 on it, or revoke the key", USAGE)
    return _secret(raw, str(path))


def write_private(path: Path, secret: Secret) -> None:
    """Write a key into a new file with mode 0600, so that it outlives a crash; never into an existing one."""
    write_lines(path, [secret.reveal()])


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines into a new file with mode 0600, never into an existing one; return how many."""
    number = 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            os.fchmod(descriptor, PRIVATE)
            for line in lines:
                file.write(f"{line}\n")
                number += 1
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise CommandError(f"{path}: is already there; name a new file", USAGE) from None
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}", USAGE) from None
    return number


def _secret(raw: bytes, source: str) -> Secret:
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > MAX_BYTES or len(text.split()) > 1:
        name = "standard input" if source == STANDARD_INPUT else source
        raise CommandError(f"{name}: holds no key: one line of visible ASCII is expected", USAGE)
    return Secret(text)
