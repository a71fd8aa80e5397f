"""The same Checks as Envoy asks for them, one for each HTTP request; Envoy answers the request by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from bench import load, servers
from bench.figures import (
    CPU,
    KERNEL,
    P50,
    P99,
    P999,
    RATE,
    Column,
    Conditions,
    Figures,
    Goal,
    Measure,
    Samples,
    interleaved,
)
from bench.hits import EMPTY_PYTHON, FAST, HANDWRITTEN, SOCKET, STANDARD, field
from bench.load import Load
from bench.servers import Server

ALONE = "Envoy alone, nobody asked"
EVERYBODY = (ALONE, FAST, SOCKET, STANDARD, HANDWRITTEN, EMPTY_PYTHON)
# Requests a second. One core cannot do more for those that are missing.
OFFERED = {FAST: (1_000, 4_000, 8_000), HANDWRITTEN: (1_000, 4_000, 8_000), STANDARD: (1_000,)}
_PATH = "/api/v1/sessions/abc"
_MOST_UNANSWERED = 1_000  # on each connection: so many that all are sent when they are due


def _busy(conditions: Conditions) -> Samples:
    with _asked(conditions) as asked:
        offers = {
            name: functools.partial(load.cost, replace(burst, connections=64, streams=1, http1=True), server.pids)
            for name, (server, burst) in asked.items()
        }
        return interleaved(offers, conditions.rounds)


def _one(conditions: Conditions) -> Samples:
    with _asked(conditions) as asked:
        offers = {
            name: functools.partial(load.delays, replace(burst, connections=1, streams=1, http1=True))
            for name, (_, burst) in asked.items()
        }
        return interleaved(offers, conditions.rounds)


def _offered(conditions: Conditions) -> Samples:
    with _asked(conditions) as asked:
        offers: dict[str, Callable[[], Figures]] = {
            f"{name}, {rate:,}/s": functools.partial(
                load.delays, replace(asked[name][1], streams=_MOST_UNANSWERED, rate=rate)
            )
            for name, rates in OFFERED.items()
            for rate in rates
            if name in asked
        }
        return interleaved(offers, conditions.rounds)


@contextmanager
def _asked(conditions: Conditions) -> Iterator[Mapping[str, tuple[Server, Load]]]:
    """Run an Envoy before each of the servers, and yield them with a burst of requests that are allowed."""
    with ExitStack() as stack:
        found = stack.enter_context(field(conditions))
        asked: dict[str, tuple[Server, Load]] = {}
        home = conditions.folder / "socket"
        beside = stack.enter_context(servers.fresh(home, fast=f"unix:{home}/fast.sock"))
        keys = {SOCKET: beside.administrator.key()}
        behind = {**found.servers, SOCKET: beside.fast}
        for number, name in enumerate(EVERYBODY):
            if name != ALONE and name not in behind:
                continue
            gateway = servers.gateway(conditions.folder / f"envoy-{number}", behind.get(name))
            server = stack.enter_context(gateway)
            headers = (f"x-api-key: {keys.get(name, found.key)}", "accept: */*", "user-agent: bench")
            burst = Load(address=server.address, path=_PATH, headers=headers, seconds=conditions.seconds)
            asked[name] = (server, burst)
        yield asked


MEASURES = (
    Measure(
        name="envoy",
        title="Through Envoy, 64 requests in flight",
        how="Envoy has one worker, on the same core as the server; the CPU is both processes'",
        columns=(CPU, KERNEL, RATE),
        run=_busy,
        goals=(
            Goal(
                text="requests/s through Envoy to Go by hand",
                row=FAST,
                column="rate",
                against=HANDWRITTEN,
                bound=1.15,
                at_least=True,
            ),
        ),
    ),
    Measure(
        name="one",
        title="Through Envoy, one request in flight",
        how="the whole way from the client to the client",
        columns=(P50, P99, P999),
        run=_one,
        goals=(
            Goal(text="p50 through Envoy to Go by hand", row=FAST, column="p50_us", against=HANDWRITTEN, bound=1.0),
        ),
    ),
    Measure(
        name="offered",
        title="Through Envoy, at a fixed rate",
        how="requests are sent when they are due, whatever is still unanswered, so that waiting is counted",
        columns=(P50, P99, P999, Column(name="answered", heading="answered, %", digits=1)),
        run=_offered,
    ),
)
