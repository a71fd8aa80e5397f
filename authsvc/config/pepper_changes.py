"""What becomes of a pepper file: a pepper added, made current, wrapped or retired. Each refusal says what to do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from authsvc.config.peppers import MAX_PEPPERS, PepperFile, Wrapped, load, valid_id, write
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import MIN_PEPPER_SIZE

T = TypeVar("T")


def store(path: Path, contents: PepperFile) -> None:
    """Replace a pepper file as a whole. Raises `StartupError`; the old one is then still there."""
    try:
        write(path, contents, replace=True)
    except OSError as error:
        raise StartupError(f"{path}: cannot be written: {error.strerror}") from None
    load(path)


def added(file: PepperFile, pepper_id: str, random: Callable[[int], bytes] = secrets.token_bytes) -> PepperFile:
    """Return the file with a new random pepper, which is accepted and not yet current."""
    if not valid_id(pepper_id):
        raise StartupError("an id is at most 32 letters, digits, dots, _ and -")
    if pepper_id in file.peppers or pepper_id in file.wrapped:
        raise StartupError(f"there is a pepper {pepper_id!r} already: an id is never used again")
    if len(file.peppers) >= MAX_PEPPERS:
        raise StartupError(f"there are {MAX_PEPPERS} peppers: retire one first")
    return replace(file, peppers={**file.peppers, pepper_id: random(MIN_PEPPER_SIZE)})


def promoted(file: PepperFile, pepper_id: str) -> PepperFile:
    """Return the file with this pepper as the current one."""
    if pepper_id not in file.peppers:
        raise StartupError(f"there is no pepper {pepper_id!r} to promote: add it first, and deploy it everywhere")
    if list(file.peppers).index(pepper_id) < list(file.peppers).index(file.current):
        raise StartupError(f"{pepper_id!r} is older than the current pepper: add a new one instead of going back")
    return replace(file, current=pepper_id)


def wrapped(file: PepperFile, pepper_id: str) -> PepperFile:
    """Return the file with this pepper inside the current one only; one that is there already stays."""
    if pepper_id in file.wrapped:
        return file
    if pepper_id == file.current:
        raise StartupError(f"{pepper_id!r} is the current pepper: add a new one and promote it first")
    if pepper_id not in file.peppers:
        raise StartupError(f"there is no pepper {pepper_id!r}")
    leaked = Wrapped(under=file.current, secret=file.peppers[pepper_id])
    return replace(file, peppers=_without(file.peppers, pepper_id), wrapped={**file.wrapped, pepper_id: leaked})


def retired(file: PepperFile, pepper_id: str) -> PepperFile:
    """Return the file without this pepper; one that is not there changes nothing."""
    if pepper_id == file.current:
        raise StartupError(f"{pepper_id!r} is the current pepper: add a new one and promote it first")
    inside = [id_ for id_, leaked in file.wrapped.items() if leaked.under == pepper_id]
    if inside:
        raise StartupError(f"{inside[0]!r} is wrapped under {pepper_id!r}: retire that first")
    return replace(file, peppers=_without(file.peppers, pepper_id), wrapped=_without(file.wrapped, pepper_id))


def _without(values: Mapping[str, T], id_: str) -> dict[str, T]:
    return {key: value for key, value in values.items() if key != id_}
