"""
Keeps a service under mixed load and tells whether what it holds stays the same.

Hits, misses, denials, rate limits, cancelled calls, keys created and revoked, through both listeners of
a real process whose cache is small, so that it is full from the beginning. Use: `python -m tools.soak
[--minutes N]`; the exit status is 1 when memory, descriptors or threads grow, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import service
from tests.support.service import MIB, Service
from tools.soak_load import Load

EVERY = 5.0  # seconds between two samples
# Bytes that the fit may gain over the whole run: allocators go up in steps, what is remembered of revoked keys
# fills tables of thousands, and garbage of misses waits for a collector that seldom runs (`server.py`).
ROOM = 8 * MIB
MORE = 2  # descriptors or threads: a pool may open one more
LEAST = 20  # samples, for a verdict
_SMALL_CACHE = "\ncache: {keys: 100, negatives: 100}\n"
COUNTERS = ("authsvc_cache_size", "authsvc_listener_waiting", "authsvc_usage_pending")
FAULTS = "authsvc_listener_faults_total"


@dataclass(frozen=True)
class Sample:
    """What the process held at one moment."""

    at: float  # seconds since the beginning
    memory: int  # bytes
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Verdict:
    """What came of the samples after the first tenth of the time."""

    growth: float  # bytes: the median of the last tenth less that of the first
    slope: float  # bytes a second, of the least squares
    gained: float  # bytes: the slope over the whole time
    descriptors: float  # likewise, the medians' difference
    threads: float

    @property
    def flat(self) -> bool:
        """Whether nothing grows. Memory must grow by the fit and at its ends: a single step is no slope."""
        return min(self.growth, self.gained) <= ROOM and max(self.descriptors, self.threads) <= MORE


def verdict(samples: Sequence[Sample]) -> Verdict:
    """Judge at least `LEAST` samples, in order; the first tenth of the time is warming up."""
    if len(samples) < LEAST:
        raise ValueError(f"at least {LEAST} samples are needed")
    end = samples[-1].at
    seen = [sample for sample in samples if sample.at >= end / 10]
    slope = statistics.linear_regression([each.at for each in seen], [each.memory for each in seen]).slope
    tenth = max(len(seen) // 10, 1)

    def grown(of: Callable[[Sample], int]) -> float:
        first, last = seen[:tenth], seen[-tenth:]
        return statistics.median(map(of, last)) - statistics.median(map(of, first))

    return Verdict(
        growth=grown(lambda sample: sample.memory),
        slope=slope,
        gained=slope * (end - seen[0].at),
        descriptors=grown(lambda sample: sample.descriptors),
        threads=grown(lambda sample: sample.threads),
    )


def main(arguments: Sequence[str]) -> int:
    """Run it and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long; ten suffice to show a leak")
    seconds = parser.parse_args(arguments).minutes * 60
    with (
        tempfile.TemporaryDirectory(prefix="authsvc-soak-") as folder,
        service.service(Path(folder), _SMALL_CACHE) as served,
    ):
        service.warm(served)
        load = Load(served)
        with load.running():
            samples = _watch(served, seconds)
        if not served.alive or len(samples) < LEAST:
            print(f"it ended after {len(samples)} samples")
            return 1
        faults = served.metrics()[FAULTS]
    found = verdict(samples)
    print(report(found, samples))
    for (what, outcome), count in sorted(load.told.items(), key=str):
        print(f"{count:10,} {what}: {outcome}{' WRONG' if (what, outcome) in load.wrong else ''}")
    sound = not faults and not load.wrong
    print(f"faults: {faults:.0f}; {'flat' if found.flat else 'NOT FLAT'}{'' if sound else ', WRONG ANSWERS OR FAULTS'}")
    return 0 if found.flat and sound else 1


def report(found: Verdict, samples: Sequence[Sample]) -> str:
    """Return the verdict in words."""
    return (
        f"{len(samples)} samples in {samples[-1].at / 60:.1f} min; "
        f"resident {samples[0].memory / MIB:.1f} MiB at first, {samples[-1].memory / MIB:.1f} MiB at last\n"
        f"after the first tenth: {found.growth / MIB:+.2f} MiB, slope {found.slope * 3600 / MIB:+.2f} MiB an hour, "
        f"{found.descriptors:+.0f} descriptors, {found.threads:+.0f} threads"
    )


def _watch(served: Service, seconds: float) -> list[Sample]:
    """Sample until the time is up or the process has ended."""
    began, samples, pause = time.monotonic(), list[Sample](), threading.Event()
    every = min(EVERY, seconds / (2 * LEAST))
    while (at := time.monotonic() - began) < seconds and served.alive:
        held, counters = served.held(), served.metrics()
        samples.append(Sample(at, held.memory, held.descriptors, held.threads))
        told = [f"{held.memory / MIB:.1f} MiB", f"{held.descriptors} descriptors", f"{held.threads} threads"]
        told += [f"{name.removeprefix('authsvc_')} {counters[name]:.0f}" for name in COUNTERS]
        print(f"{at:7.0f} s ", *told, sep="  ", flush=True)
        pause.wait(every)
    return samples


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
