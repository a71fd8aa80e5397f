"""`python -m bench`: measures side by side, in interleaved rounds, and prints what came of it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import inprocess, load, misses, servers, usage
from bench.load import BenchError, Result
from bench.request import check_request, framed

CONFIG = Path(__file__).parent / "authsvc.yaml"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; 2 when it cannot be run here."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds; medians are printed")
    parser.add_argument("--seconds", type=int, default=2, help="length of one burst of load")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the figures go")
    parser.add_argument("--skip-misses", action="store_true", help="leave out the databases of 1,000,000 keys")
    options = parser.parse_args(arguments)
    try:
        load.require()
        figures = measure(options.rounds, options.seconds, with_misses=not options.skip_misses)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(table(figures))
    return 0


def measure(rounds: int, seconds: int, *, with_misses: bool) -> dict[str, Any]:
    """Return every figure."""
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "rounds": rounds}
    with tempfile.TemporaryDirectory(prefix="authsvc-bench-") as folder:
        figures["servers"] = _servers(Path(folder), rounds, seconds)
        figures["bytes_to_bytes"] = inprocess.bytes_to_bytes(CONFIG, rounds)
        figures["usage"] = usage.cost(CONFIG, rounds)
        figures["bytes_per_cached_key"] = inprocess.memory_per_key(CONFIG)
        if with_misses:
            figures["misses"] = misses.compare(Path(folder), rounds)
    return figures


def _servers(folder: Path, rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    with ExitStack() as stack:
        empty = stack.enter_context(servers.empty_handler())
        authsvc, key = stack.enter_context(servers.service(folder))
        plain = stack.enter_context(servers.gateway("Envoy alone", folder, None))
        asking = stack.enter_context(servers.gateway("Envoy and authsvc", folder, authsvc))
        body = folder / "request.bin"
        body.write_bytes(framed(check_request(key)))
        offers: dict[str, Callable[[], Result]] = {
            server.name: lambda server=server: load.offer(  # type: ignore[misc]  # a loop variable, bound now
                load.grpc_load(server.address, body, seconds), server.pids
            )
            for server in (empty, authsvc)
        }
        headers = (f"x-api-key: {key}", "accept: */*", "user-agent: bench")
        for server, pids in ((plain, plain.pids), (asking, [*asking.pids, *authsvc.pids])):
            burst = load.Load(f"http://{server.address}/api/v1/sessions/abc", 64, 1, seconds, None, headers, http1=True)
            offers[server.name] = lambda burst=burst, pids=pids: load.offer(burst, pids)  # type: ignore[misc]  # as above
        return _interleaved(offers, rounds)


def _interleaved(offers: dict[str, Callable[[], Result]], rounds: int) -> dict[str, dict[str, float]]:
    results: dict[str, list[Result]] = {name: [] for name in offers}
    for number in range(rounds + 1):
        for name, offer in offers.items():
            result = offer()
            if number:  # the first round warms up
                results[name].append(result)
    return {
        name: {
            "rate": statistics.median(result.rate for result in found),
            "cpu_us": statistics.median(result.cpu for result in found) * 1e6,
        }
        for name, found in results.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, each beside what it is compared with."""
    found = figures["servers"]
    lines = ["| measured | requests/s | CPU µs a request | ratio of rates |", "|---|---|---|---|"]
    base = ""
    for name, result in found.items():
        if name in {"empty grpc.aio handler", "Envoy alone"}:
            base = name
        ratio = result["rate"] / found[base]["rate"]
        compared = "" if name == base else f"{ratio:.2f} of {base}"
        lines.append(f"| {name} | {result['rate']:,.0f} | {result['cpu_us']:.1f} | {compared} |")
    way = figures["bytes_to_bytes"]
    lines += [
        "",
        "| without a listener | measured | compared |",
        "|---|---|---|",
        (
            f"| request bytes to answer bytes | {way['bytes_to_bytes_us']:.1f} µs | "
            f"{way['ratio']:.1f} x the bare parse ({way['parse_us']:.2f} µs) |"
        ),
        (
            f"| the same, counted for usage | {figures['usage']['with_us']:.1f} µs | "
            f"{figures['usage']['ratio']:.3f} x uncounted ({figures['usage']['without_us']:.1f} µs) |"
        ),
        f"| memory of a cached key | {figures['bytes_per_cached_key']:.0f} bytes | |",
    ]
    for kind, miss in figures.get("misses", {}).items():
        lines.append(
            f"| a miss among 1,000,000 keys, {kind} | {miss['many_us']:.0f} µs | "
            f"{miss['ratio']:.2f} x one among 10,000 ({miss['few_us']:.0f} µs) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
