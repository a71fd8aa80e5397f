"""Checks that hit the cache, sent straight to the service and to what it is compared with."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from authsvc import config
from bench import load, servers
from bench.figures import CPU, KERNEL, RATE, BenchError, Conditions, Figures, Goal, Measure, Samples, interleaved
from bench.request import BATCH, allowed, batch_allowed, batch_request, check_request, framed, refused_with
from bench.servers import Server, Service

FAST, STANDARD, SOCKET = "authsvc, fast listener", "authsvc, standard listener", "authsvc, fast listener, Unix socket"
HANDWRITTEN, EMPTY_GO, EMPTY_PYTHON = "Go, written by hand", "Go, empty handler", "grpc.aio, empty handler"
FLOOR = "the fast listener's library, empty handler, answers as long as ours"
_BATCH = "/authsvc.v1.AuthService/BatchAuthorize"
_DENIALS = {"unknown key": 401, "bad checksum": 401, "wrong scope": 403, "rate limited": 429}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The service, a key of it, and what it is compared with, all running."""

    service: Service
    key: str
    servers: dict[str, Server]


@contextmanager
def field(conditions: Conditions) -> Iterator[Field]:
    """Run the service and, where they can be built, its comparators; each allows the key."""
    with ExitStack() as stack:
        service = stack.enter_context(servers.fresh(conditions.folder / "service"))
        key = service.administrator.key()
        found = {FAST: service.fast, STANDARD: service.standard}
        if (folder := conditions.comparators()) is not None:
            found[HANDWRITTEN] = stack.enter_context(servers.comparator(folder, "handwritten", "-key", key))
            found[EMPTY_GO] = stack.enter_context(servers.comparator(folder, "empty"))
        for name, server in found.items():
            if name != EMPTY_GO and not allowed(servers.call(server, check_request(key))):
                raise BenchError(f"{name}: the measured Check is not allowed")
        found[EMPTY_PYTHON] = stack.enter_context(servers.empty_handler("standard"))
        yield Field(service=service, key=key, servers=found)


def _hit(conditions: Conditions) -> Samples:
    with ExitStack() as stack:
        found = stack.enter_context(field(conditions))
        body = _body(conditions.folder, "hit", check_request(found.key))
        home = conditions.folder / "socket"
        beside = stack.enter_context(servers.fresh(home, fast=f"unix:{home}/fast.sock"))
        own = _body(conditions.folder, "socket", check_request(beside.administrator.key()))
        size = len(servers.call(found.service.fast, check_request(found.key)))
        floor = stack.enter_context(servers.empty_handler("fast", str(size)))
        compared = {**found.servers, FLOOR: floor}
        offers = {name: _burst(server, body, conditions) for name, server in compared.items()}
        return interleaved({**offers, SOCKET: _burst(beside.fast, own, conditions)}, conditions.rounds)


def _denials(conditions: Conditions) -> Samples:
    with servers.fresh(conditions.folder / "service") as service:
        key = service.administrator.key()
        reader = service.administrator.key(scopes=["sessions:read"])
        messages = {
            "hit": check_request(key),
            "unknown key": check_request(_never_stored()),
            "bad checksum": check_request(key[:-1] + ("0" if key[-1] != "0" else "1")),
            "wrong scope": check_request(reader, target="/api/v1/sessions", method="POST"),
            "rate limited": check_request(service.administrator.key(kind="trial")),
        }
        for _ in range(2):  # the first request of the limited key is within its limit
            answers = {name: servers.call(service.fast, message) for name, message in messages.items()}
        if {name: refused_with(answer) for name, answer in answers.items()} != {"hit": 0, **_DENIALS}:
            raise BenchError("a denial is not refused as it should be")
        bodies = {name: _body(conditions.folder, name, message) for name, message in messages.items()}
        offers = {name: _burst(service.fast, body, conditions) for name, body in bodies.items()}
        return interleaved(offers, conditions.rounds)


def _never_stored() -> str:
    """Return a well-formed key that nobody has."""
    keys = next(iter(config.load(servers.CONFIG).apis.by_name.values())).keys
    return keys.generate(keys.classes[0], secrets.choice)


def _batch(conditions: Conditions) -> Samples:
    with servers.fresh(conditions.folder / "service") as service:
        message = batch_request(service.administrator.key())
        body = _body(conditions.folder, "batch", message)
        for server in (service.fast, service.standard):
            if not batch_allowed(servers.call(server, message, _BATCH)):
                raise BenchError("an item of the measured batch is not allowed")
        offers = {
            name: functools.partial(_items, _burst(server, body, conditions, _BATCH))
            for name, server in ((FAST, service.fast), (STANDARD, service.standard))
        }
        return interleaved(offers, conditions.rounds)


def _items(offer: Callable[[], Figures]) -> Figures:
    figures = offer()
    return {**{name: figure / BATCH for name, figure in figures.items()}, "rate": figures["rate"] * BATCH}


def _body(folder: Path, name: str, message: bytes) -> Path:
    body = folder / f"{name}.bin"
    body.write_bytes(framed(message))
    return body


def _burst(server: Server, body: Path, conditions: Conditions, path: str = load.CHECK) -> Callable[[], Figures]:
    return functools.partial(load.cost, load.checks(server.address, body, conditions.seconds, path), server.pids)


MEASURES = (
    Measure(
        name="hit",
        title="A Check that hits the cache",
        how="sent straight to each server, 4 connections with 16 calls each; all rules, a limit, metrics and usage on",
        columns=(CPU, KERNEL, RATE),
        run=_hit,
        goals=(
            Goal(
                text="CPU of the fast listener to Go by hand",
                row=FAST,
                column="cpu_us",
                against=HANDWRITTEN,
                bound=0.85,
            ),
            Goal(
                text="CPU of the fast listener to Go's empty handler",
                row=FAST,
                column="cpu_us",
                against=EMPTY_GO,
                bound=1.25,
            ),
            Goal(
                text="rate of the standard listener to grpc.aio's empty handler",
                row=STANDARD,
                column="rate",
                against=EMPTY_PYTHON,
                bound=0.9,
                at_least=True,
            ),
        ),
    ),
    Measure(
        name="denials",
        title="A Check that is refused",
        how="sent straight to the fast listener, which has what it must know of each in its cache",
        columns=(CPU, KERNEL, RATE),
        run=_denials,
        goals=tuple(
            Goal(text=f"CPU of a denial to a hit: {name}", row=name, column="cpu_us", against="hit", bound=1.0)
            for name in _DENIALS
        ),
    ),
    Measure(
        name="batch",
        title="BatchAuthorize of 100, each item",
        how="4 connections with 16 calls each; a hundredth of a call's CPU",
        columns=(CPU, KERNEL, RATE),
        run=_batch,
        goals=(Goal(text="CPU µs an item, fast listener", row=FAST, column="cpu_us", bound=6.0),),
    ),
)
