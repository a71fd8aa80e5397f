"""
The pepper file: `{current: ID, peppers: {ID: BASE64}}`, YAML or JSON, the oldest pepper first.

Two further mappings may stand beside: `wrapped`, `{ID: {under: ID, pepper: BASE64}}`, peppers that leaked
and serve inside another one only; and `foreign`, `{NAME: BASE64}`, secrets of other systems whose keys
were imported. A wrong or weak pepper is refused at the start, and no message ever shows any of it.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authsvc.config.document import parse
from authsvc.config.secret_files import read_private
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import MIN_PEPPER_SIZE, AnyPepper, ForeignPepper, Pepper, PepperSet, WrappedPepper

MAX_PEPPERS = 4
MAX_FOREIGN = 8

_MIN_FOREIGN_SIZE = 16
_MAX_PEPPER_SIZE = 1024
_FIRST_ID = "p1"
_SECTIONS = frozenset({"current", "peppers", "wrapped", "foreign"})
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,15}")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A pepper that leaked, and the id of the one it serves inside of."""

    under: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PepperFile:
    """What the file holds, the oldest pepper first. No text form shows a secret."""

    current: str
    peppers: Mapping[str, bytes] = field(repr=False)
    wrapped: Mapping[str, Wrapped] = field(default_factory=dict)
    foreign: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def pepper_set(self) -> PepperSet:
        """Return the peppers as the service accepts them."""
        ids = list(self.peppers)
        newer = ids[ids.index(self.current) + 1 :]
        made = {id_: Pepper(id_, secret) for id_, secret in self.peppers.items()}
        others: list[AnyPepper] = [made[id_] for id_ in ids if id_ != self.current]
        return PepperSet(
            made[self.current],
            [*others, *(self._composed(id_, made) for id_ in self.wrapped)],
            newer=newer,
            foreign={name: ForeignPepper(name, secret) for name, secret in self.foreign.items()},
        )

    def layers(self, pepper_id: str) -> tuple[str, ...]:
        """Return the ids that lie over a wrapped pepper, from its own to that of one which did not leak."""
        layers = [pepper_id]
        while layers[-1] in self.wrapped and len(layers) <= len(self.wrapped):
            layers.append(self.wrapped[layers[-1]].under)
        return tuple(layers)

    def _composed(self, pepper_id: str, made: Mapping[str, Pepper]) -> AnyPepper:
        composed: AnyPepper = Pepper(pepper_id, self.wrapped[pepper_id].secret)
        for outer in self.layers(pepper_id)[1:]:
            secret = self.wrapped[outer].secret if outer in self.wrapped else None
            composed = WrappedPepper(composed, made[outer] if secret is None else Pepper(outer, secret))
        return composed


def read(path: Path) -> PepperSet:
    """Return the peppers of a file; `StartupError` says why it cannot be used."""
    return load(path).pepper_set()


def load(path: Path) -> PepperFile:
    """Return what a file holds; `StartupError` says why it cannot be used."""
    document = parse(read_private(path, "there is no pepper file; `authsvc init` makes one"))
    if document.problems:
        raise StartupError(f"{path}:{document.problems[0].line}: {_where(document.problems[0].message)}")
    data = document.data
    if not isinstance(data, dict) or not {"current", "peppers"} <= set(data) <= _SECTIONS:
        raise StartupError(f"{path}: must have exactly the keys current and peppers, besides wrapped and foreign")
    current = data["current"]
    peppers = {id_: _secret(path, id_, value) for id_, value in _mapping(path, data, "peppers", 1, MAX_PEPPERS).items()}
    wrapped = {
        id_: _wrapped(path, id_, value) for id_, value in _mapping(path, data, "wrapped", 0, MAX_PEPPERS).items()
    }
    foreign = {
        name: _foreign(path, name, value) for name, value in _mapping(path, data, "foreign", 0, MAX_FOREIGN).items()
    }
    if not isinstance(current, str) or current not in peppers:
        raise StartupError(f"{path}: current must be one of the ids in peppers")
    everything = [*peppers.values(), *(leaked.secret for leaked in wrapped.values())]
    if len(set(everything)) != len(everything) or peppers.keys() & wrapped.keys():
        raise StartupError(f"{path}: two ids have the same pepper, or two peppers the same id")
    found = PepperFile(current=current, peppers=peppers, wrapped=wrapped, foreign=foreign)
    for id_ in wrapped:
        if found.layers(id_)[-1] not in peppers:
            raise StartupError(f"{path}: the wrapped pepper {id_!r} is under none that is in peppers")
    return found


def generate(path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> PepperSet:
    """Write a new file with one random pepper, mode 0600; an existing file is never replaced."""
    first = PepperFile(current=_FIRST_ID, peppers={_FIRST_ID: random(MIN_PEPPER_SIZE)})
    try:
        write(path, first, replace=False)
    except FileExistsError:
        raise StartupError(f"{path}: is already there and is not replaced: its keys would be lost") from None
    except OSError as error:
        raise StartupError(f"{path}: cannot be written: {error.strerror}") from None
    return read(path)


def valid_id(pepper_id: str) -> bool:
    """Whether a text can name a pepper."""
    return _ID.fullmatch(pepper_id) is not None


def _mapping(path: Path, data: Mapping[str, Any], name: str, least: int, most: int) -> Mapping[str, Any]:
    values = data.get(name, {})
    if not isinstance(values, dict) or not least <= len(values) <= most:
        what = "ids to base64 values" if name == "peppers" else "names to values"
        raise StartupError(f"{path}: {name} must be a mapping of {least} to {most} {what}")
    return values


def _wrapped(path: Path, pepper_id: str, value: Any) -> Wrapped:  # noqa: ANN401 - plain data
    if not isinstance(value, dict) or set(value) != {"under", "pepper"} or not isinstance(value["under"], str):
        raise StartupError(f"{path}: a wrapped pepper has exactly the keys under and pepper")
    return Wrapped(under=value["under"], secret=_secret(path, pepper_id, value["pepper"]))


def _foreign(path: Path, name: str, value: Any) -> bytes:  # noqa: ANN401 - plain data
    if _NAME.fullmatch(name) is None:
        raise StartupError(f"{path}: a foreign secret's name is at most 16 of a-z, 0-9, dots, _ and -")
    secret = _decoded(value)
    # Another system's secret is as it is; one that can be guessed makes its digests no better than plain ones.
    if secret is None or not _MIN_FOREIGN_SIZE <= len(secret) <= _MAX_PEPPER_SIZE:
        raise StartupError(
            f"{path}: the foreign secret {name!r} must be base64 text of "
            f"{_MIN_FOREIGN_SIZE} to {_MAX_PEPPER_SIZE} bytes"
        )
    return secret


def _where(message: str) -> str:
    # The reader's messages name places, never values; the advice about empty values does not help here.
    return message.partition(";")[0]


def _secret(path: Path, pepper_id: str, value: Any) -> bytes:  # noqa: ANN401 - plain data
    if not valid_id(pepper_id):
        raise StartupError(f"{path}: an id is at most 32 letters, digits, dots, _ and -")
    secret = _decoded(value)
    if secret is None:
        raise StartupError(f"{path}: pepper {pepper_id!r} is not base64 text")
    if not MIN_PEPPER_SIZE <= len(secret) <= _MAX_PEPPER_SIZE:
        raise StartupError(f"{path}: pepper {pepper_id!r} must have {MIN_PEPPER_SIZE} to {_MAX_PEPPER_SIZE} bytes")
    if len(set(secret)) < _MIN_DIFFERENT_BYTES:
        raise StartupError(f"{path}: pepper {pepper_id!r} is not random")
    if secret in SAMPLES:
        raise StartupError(f"{path}: pepper {pepper_id!r} is a sample from documentation; make your own")
    return secret


def _decoded(value: Any) -> bytes | None:  # noqa: ANN401 - plain data
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def write(path: Path, contents: PepperFile, *, replace: bool) -> None:
    """
    Write beside the path, mode 0600, and put it into place: the file appears whole.

    Without `replace` only where there is none, else `FileExistsError`. Raises `OSError`.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor; mkstemp made it 0600
            file.write(_text(contents).encode())
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)  # noqa: PTH105 - as it was made
        else:
            os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - as it was made
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(contents: PepperFile) -> str:
    lines = [f"current: {_quoted(contents.current)}", "peppers:"]
    lines += [f"  {_quoted(id_)}: {_base64(secret)}" for id_, secret in contents.peppers.items()]
    if contents.wrapped:
        lines.append("wrapped:")
        for id_, leaked in contents.wrapped.items():
            lines.append(f"  {_quoted(id_)}: {{under: {_quoted(leaked.under)}, pepper: {_base64(leaked.secret)}}}")
    if contents.foreign:
        lines.append("foreign:")
        lines += [f"  {_quoted(name)}: {_base64(secret)}" for name, secret in contents.foreign.items()]
    return "\n".join(lines) + "\n"


def _quoted(id_: str) -> str:
    # An id such as 1 or on must stay a text.
    return id_ if re.fullmatch(r"p[0-9]+", id_) else f'"{id_}"'


def _base64(secret: bytes) -> str:
    text = base64.b64encode(secret).decode()
    # With the filling at its end it can be nothing but text.
    return text if text.endswith("=") else f'"{text}"'
