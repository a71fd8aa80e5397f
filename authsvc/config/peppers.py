"""
The pepper file: `{current: ID, peppers: {ID: BASE64}}`, YAML or JSON.

A wrong or weak pepper is refused at the start, and no message ever shows any of it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from authsvc.config.document import parse
from authsvc.config.secret_files import read_private
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import MIN_PEPPER_SIZE, Pepper, PepperSet

MAX_PEPPERS = 4

_MAX_PEPPER_SIZE = 1024
_FIRST_ID = "p1"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
# 32 random bytes have fewer than ten different values less than once in 10^25 draws.
_MIN_DIFFERENT_BYTES = 10

# Values that stand in documentation and tutorials; whoever copies one shares it with everybody.
SAMPLES = frozenset(
    {
        bytes(range(32)),
        bytes(range(1, 33)),
        bytes(reversed(range(32))),
        b"0123456789abcdef0123456789abcdef",
        b"abcdefghijklmnopqrstuvwxyz012345",
        b"sample-pepper-from-documentation",
        b"change-me-change-me-change-me-32",
    }
)


def read(path: Path) -> PepperSet:
    """Return the peppers of a file; `StartupError` says why it cannot be used."""
    document = parse(read_private(path, "there is no pepper file; `authsvc init` makes one"))
    if document.problems:
        raise StartupError(f"{path}:{document.problems[0].line}: {_where(document.problems[0].message)}")
    data = document.data
    if not isinstance(data, dict) or set(data) != {"current", "peppers"}:
        raise StartupError(f"{path}: must have exactly the keys current and peppers")
    current, values = data["current"], data["peppers"]
    if not isinstance(values, dict) or not 1 <= len(values) <= MAX_PEPPERS:
        raise StartupError(f"{path}: peppers must be a mapping of 1 to {MAX_PEPPERS} ids to base64 values")
    decoded = {pepper_id: _secret(path, pepper_id, value) for pepper_id, value in values.items()}
    if len(set(decoded.values())) != len(decoded):
        raise StartupError(f"{path}: two ids have the same pepper")
    if not isinstance(current, str) or current not in decoded:
        raise StartupError(f"{path}: current must be one of the ids in peppers")
    return _set(current, decoded)


def generate(path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> PepperSet:
    """Write a new file with one random pepper, mode 0600; an existing file is never replaced."""
    secret = random(MIN_PEPPER_SIZE)
    text = f"current: {_FIRST_ID}\npeppers:\n  {_FIRST_ID}: {base64.b64encode(secret).decode()}\n"
    try:
        _write_new(path, text.encode())
    except FileExistsError:
        raise StartupError(f"{path}: is already there and is not replaced: its keys would be lost") from None
    except OSError as error:
        raise StartupError(f"{path}: cannot be written: {error.strerror}") from None
    return read(path)


def _set(current: str, decoded: Mapping[str, bytes]) -> PepperSet:
    others = [Pepper(pepper_id, secret) for pepper_id, secret in decoded.items() if pepper_id != current]
    return PepperSet(Pepper(current, decoded[current]), others)


def _where(message: str) -> str:
    # The reader's messages name places, never values; the advice about empty values does not help here.
    return message.partition(";")[0]


def _secret(path: Path, pepper_id: str, value: Any) -> bytes:  # noqa: ANN401 - plain data
    if _ID.fullmatch(pepper_id) is None:
        raise StartupError(f"{path}: an id is at most 32 letters, digits, dots, _ and -")
    try:
        secret = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        secret = None
    if secret is None:
        raise StartupError(f"{path}: pepper {pepper_id!r} is not base64 text")
    if not MIN_PEPPER_SIZE <= len(secret) <= _MAX_PEPPER_SIZE:
        raise StartupError(f"{path}: pepper {pepper_id!r} must have {MIN_PEPPER_SIZE} to {_MAX_PEPPER_SIZE} bytes")
    if len(set(secret)) < _MIN_DIFFERENT_BYTES:
        raise StartupError(f"{path}: pepper {pepper_id!r} is not random")
    if secret in SAMPLES:
        raise StartupError(f"{path}: pepper {pepper_id!r} is a sample from documentation; make your own")
    return secret


def _write_new(path: Path, content: bytes) -> None:
    """Write beside the path and link into place: the file appears whole, and only where there is none."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor; mkstemp made it 0600
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - as it was made
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
