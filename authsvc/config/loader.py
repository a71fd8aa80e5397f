"""The file → `Config`: read, shape, check, build. Whatever is wrong is told at once, and nothing starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from authsvc.config import build, checks, listeners
from authsvc.config.document import MAX_BYTES, Document, parse
from authsvc.config.listeners import Listener
from authsvc.config.models import MAX_APIS, ApiSection, CacheSection, File
from authsvc.config.problems import MAX_TOLD, ConfigError, Location, Problem
from authsvc.config.shape import validate
from authsvc.config.values import MICROS_PER_SECOND
from authsvc.domain.administration import ADMIN_API
from authsvc.domain.api import Apis


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Bounds of the cache of key records. Times are seconds."""

    max_staleness: float
    max_age: float
    negative_age: float
    keys: int
    negatives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration file that can be used. `apis` holds the products, not the administration's own API."""

    path: Path
    apis: Apis
    data: Listener
    admin: Listener
    cache: Cache


def load(path: Path | str) -> Config:
    """Read a configuration file; `ConfigError` says everything that is wrong with it."""
    path = Path(path)
    return read(_bytes(path), path)


def read(raw: bytes, path: Path) -> Config:
    """Read the bytes of a configuration file; relative names in it are relative to `path`."""
    document = parse(raw)
    file = validate(File, document.data, document, ()) if document.data is not None else document.problems
    if isinstance(file, File) and not document.problems:
        problems = list(islice(_findings(document, file.apis, file), MAX_TOLD + 1))
        if not problems:
            return _config(path, file)
    else:
        shaped = file if isinstance(file, list) else []
        fitting = islice(_findings(document, _whole_apis(document), None), MAX_TOLD + 1)
        problems = [*document.problems, *shaped, *fitting]
    raise ConfigError(path, _without_echoes(problems, document))


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(path, [Problem(1, "", f"cannot be read: {error.strerror}")]) from error


def _whole_apis(document: Document) -> dict[str, ApiSection]:
    """Return the APIs whose own shape is right, so that their checks run whatever is wrong elsewhere."""
    apis = document.data.get("apis") if isinstance(document.data, dict) else None
    whole = {}
    for name, data in islice(apis.items(), MAX_APIS) if isinstance(apis, dict) else ():
        section = validate(ApiSection, data, document, ("apis", name))
        if isinstance(section, ApiSection):
            whole[name] = section
    return whole


def _findings(document: Document, apis: dict[str, ApiSection], file: File | None) -> Iterator[Problem]:
    for name, section in apis.items():
        for place, message in checks.check(section):
            yield document.problem(("apis", name, *place), message)
    for at, message in _across(apis):
        yield document.problem(at, message)
    if file is not None:
        for listener in ("data", "admin"):
            for place, message in listeners.check(getattr(file.listeners, listener)):
                yield document.problem(("listeners", listener, *place), message)


def _across(apis: dict[str, ApiSection]) -> Iterator[tuple[Location, str]]:
    owners: dict[str, str] = {}
    for name, section in apis.items():
        if name == ADMIN_API:
            yield ("apis", name), "the name is reserved for the administration of this service"
        for index, host in enumerate(section.hosts):
            if owners.setdefault(host, name) != name:
                yield ("apis", name, "hosts", index), f"the host {host!r} already belongs to apis.{owners[host]}"


def _without_echoes(problems: list[Problem], document: Document) -> list[Problem]:
    """Drop what only follows from an unreadable value: it stands at the same place."""
    told = set(document.problems)
    unreadable = {(problem.line, problem.path) for problem in told}
    return [p for p in problems if p in told or (p.line, p.path) not in unreadable]


def _config(path: Path, file: File) -> Config:
    return Config(
        path=path,
        apis=Apis([build.api(name, section) for name, section in file.apis.items()]),
        data=listeners.listener(file.listeners.data, path.parent),
        admin=listeners.listener(file.listeners.admin, path.parent),
        cache=_cache(file.cache),
    )


def _cache(section: CacheSection) -> Cache:
    return Cache(
        max_staleness=section.max_staleness / MICROS_PER_SECOND,
        max_age=section.max_age / MICROS_PER_SECOND,
        negative_age=section.negative_age / MICROS_PER_SECOND,
        keys=section.keys,
        negatives=section.negatives,
    )
