"""Files of keys to import, JSON Lines or CSV, line by line: what is wrong with a line is told of that line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from authsvc_client.v1.key_service_pb2 import ImportRecord, ImportRejection

from authsvc.cli import values
from authsvc.cli.errors import USAGE, CommandError
from authsvc.cli.secrets import STANDARD_INPUT

MAX_LINE = 64 * 1024  # characters

_TEXTS = frozenset(
    {
        "alg",
        "encoding",
        "digest",
        "secret",
        "prefix_class",
        "organization_id",
        "kind",
        "environment",
        "external_id",
        "name",
    }
)
_FIELDS = (*sorted(_TEXTS), "scopes", "full_access", "expires_at")
_FLAGS = {"true": True, "false": False, "": False}
_MAX_ID = 128


class _UnfitError(Exception):
    """Why one line cannot be sent."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open file; `size` is in bytes, None where it cannot be known."""

    file: IO[str]
    is_csv: bool
    size: int | None


@contextmanager
def opened(name: str, form: str) -> Iterator[Source]:
    """Open a file, or standard input for `-`; without a form its name tells it. Raises `CommandError`."""
    if form not in ("", "jsonl", "csv"):
        raise CommandError("--format: jsonl or csv", USAGE)
    is_csv = form == "csv" or (not form and name.endswith(".csv"))
    if name == STANDARD_INPUT:
        yield Source(sys.stdin, is_csv, None)
        return
    try:
        with Path(name).open(encoding="utf-8", newline="") as file:
            yield Source(file, is_csv, Path(name).stat().st_size)
    except OSError as error:
        raise CommandError(f"{name}: cannot be read: {error.strerror}", USAGE) from None


def records(source: Source, owner: str) -> Iterator[ImportRecord | ImportRejection]:
    """Yield what each line says, of `owner` where it names no other, or why it cannot be sent."""
    try:
        yield from _from_csv(source.file, owner) if source.is_csv else _from_json(source.file, owner)
    except UnicodeDecodeError:
        raise CommandError(
            "the file is not UTF-8: repair it and import it again, what was imported stays", USAGE
        ) from None


def _from_json(file: IO[str], owner: str) -> Iterator[ImportRecord | ImportRejection]:
    for number, line in _lines(file):
        if line.strip():
            yield _read(number, line, owner)


def _read(number: int, line: str, owner: str) -> ImportRecord | ImportRejection:
    if len(line) >= MAX_LINE:
        return ImportRejection(line=number, cause=f"a line has at most {MAX_LINE} characters")
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return ImportRejection(line=number, cause="not a JSON object")
    return _record(number, said, owner)


def _from_csv(file: IO[str], owner: str) -> Iterator[ImportRecord | ImportRejection]:
    place = [0]
    rows = csv.reader(_counted(file, place), strict=True)
    try:
        names = [name.strip().lstrip("\ufeff") for name in next(rows, [])]
        unknown = [name for name in names if name not in _FIELDS]
        if unknown or len(set(names)) != len(names) or not names:
            raise CommandError(f"the first line must name columns, each once, of {', '.join(_FIELDS)}", USAGE)
        for row in rows:
            if not row:
                continue
            if len(row) != len(names):
                yield ImportRejection(line=place[0], cause=f"{len(names)} fields are expected")
                continue
            said: dict[str, Any] = {name: value for name, value in zip(names, row, strict=True) if value}
            said["scopes"] = str(said.get("scopes", "")).split()
            said["full_access"] = _FLAGS.get(str(said.get("full_access", "")).lower())
            yield _record(place[0], said, owner)
    except csv.Error:
        raise CommandError(
            f"line {place[0]}: is not CSV: repair it and import the file again, what was imported stays", USAGE
        ) from None


def _lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, each cut at the longest that is read; the rest of such a line is skipped."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        whole = line
        while len(line) == MAX_LINE and not line.endswith("\n"):
            line = file.readline(MAX_LINE)
        yield number, whole


def _counted(file: IO[str], place: list[int]) -> Iterator[str]:
    for number, line in _lines(file):
        place[0] = number
        yield line


def _record(number: int, said: Mapping[str, Any], owner: str) -> ImportRecord | ImportRejection:
    external_id = said.get("external_id")
    try:
        return _message(number, said, owner)
    except _UnfitError as error:
        shown = external_id[:_MAX_ID] if isinstance(external_id, str) and external_id.isprintable() else ""
        return ImportRejection(line=number, external_id=shown, cause=str(error))


def _message(number: int, said: Mapping[str, Any], owner: str) -> ImportRecord:
    if not said.keys() <= set(_FIELDS):
        raise _UnfitError(f"a field is none of {', '.join(_FIELDS)}")
    record = ImportRecord(line=number, organization_id=owner)
    try:
        for name in _TEXTS & said.keys():
            setattr(record, name, said[name])
        record.scopes.extend(_scopes(said.get("scopes", [])))
        record.full_access = said.get("full_access", False)
    except (TypeError, ValueError):
        raise _UnfitError("a field has a value of another type than it should") from None
    if (ends := said.get("expires_at")) is not None:
        record.expires_at.CopyFrom(_instant(ends))
    return record


def _scopes(said: object) -> list[str]:
    if not isinstance(said, list):
        raise TypeError("not a list")
    return said


def _instant(said: object) -> Any:  # noqa: ANN401 - a protobuf type without a stub of its own
    try:
        return values.instant(str(said), "expires_at")
    except CommandError:
        raise _UnfitError("expires_at: an instant with its zone is expected, such as 2030-01-31T12:00:00Z") from None
