"""
`python -m bench.attacks`: how long a well-behaved client waits while a listener is attacked.

The attacks are those of tests/support/attacks.py, each repeated for a while by a process of its own; the
client asks about a good key and about one that is none, two hundred times a second. The goal is a p99 of
20 ms at most, on two cores that have nothing else to do.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import grpc

from tests.support import attacks, service
from tests.support.attacks import Siege
from tests.support.doors import ALLOWED, CHECK, INVALID_KEY, LISTENERS, Answer
from tests.support.service import MIB

GOAL = 0.020  # seconds, the p99
_PAUSE = 0.005
_START_WITHIN = 30.0
_BY_NAME = {attack.__name__: attack for attack in attacks.ATTACKS}


def main(arguments: Sequence[str]) -> int:
    """Print a line for every attack; 1 when a listener missed the goal or told anything wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of each attack")
    parser.add_argument("--listener", choices=LISTENERS, action="append", help="one of the two only")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of: {', '.join(_BY_NAME)}")
    options = parser.parse_args(arguments)
    missed = 0
    print("| listener | attack | p50 ms | p99 ms | max ms | wrong | MiB after |\n|---|---|---|---|---|---|---|")
    for listener in options.listener or LISTENERS:
        for name in ("nothing", *(options.attacks or _BY_NAME)):
            # A process for each: what one attack does must not count against the next.
            with tempfile.TemporaryDirectory(prefix="authsvc-bench-") as folder:
                missed += _measure(Path(folder), listener, name, options.seconds)
    return 1 if missed else 0


def _measure(folder: Path, listener: str, name: str, seconds: float) -> bool:
    with service.service(folder) as served:
        target, may = served.targets[listener], service.check(served.keys.reader)
        with grpc.insecure_channel(target) as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            ask(may, timeout=10)  # from now on it is cached
            before = served.held().memory
            with _attacked(name, target, may):
                times, wrong = _ask(ask, may, seconds)
        grown = (served.held().memory - before) / MIB
        wrong += not served.alive
    p99 = quantile(times, 0.99)
    told = " | ".join(f"{time * 1000:.1f}" for time in (quantile(times, 0.5), p99, times[-1]))
    print(f"| {listener} | {name} | {told} | {wrong} | {grown:+.0f} |", flush=True)
    return p99 > GOAL or wrong > 0


def _ask(ask: grpc.UnaryUnaryMultiCallable[bytes, bytes], may: bytes, seconds: float) -> tuple[list[float], int]:
    """Ask at a steady rate, and return the times in order, waiting for one's turn included, and how many were wrong."""
    times, wrong = list[float](), 0
    questions = itertools.cycle([(may, ALLOWED), (service.check("shop_" + "0" * 38), INVALID_KEY)])
    due = began = time.perf_counter()
    while due - began < seconds:
        payload, expected = next(questions)
        time.sleep(max(due - time.perf_counter(), 0))
        try:
            wrong += Answer.of(ask(payload, timeout=10)).outcome != expected
        except grpc.RpcError:
            wrong += 1
        times.append(time.perf_counter() - due)
        due += _PAUSE
    return sorted(times), wrong


def quantile(times: Sequence[float], share: float) -> float:
    """Return the time that this share of the questions took at most."""
    return times[min(int(len(times) * share), len(times) - 1)]


@contextmanager
def _attacked(name: str, target: str, may: bytes) -> Iterator[None]:
    """Attack until the block ends; it begins when the attack has."""
    if name == "nothing":
        yield
        return
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    attacker = spawn.Process(target=_attack, args=(name, target, may, begun), daemon=True)
    attacker.start()
    try:
        begun.wait(_START_WITHIN)
        yield
    finally:
        attacker.terminate()
        attacker.join()


def _attack(name: str, target: str, may: bytes, begun: Event) -> None:
    begun.set()
    while True:
        siege = Siege(target, may, service.unknown, hold=lambda: time.sleep(0.2))
        with siege.open:
            _BY_NAME[name](siege)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
