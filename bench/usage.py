"""What counting usage adds to a decision: the same Check with and without it, in interleaved rounds."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from authsvc.clock import DatabaseClock
from authsvc.servicers.ext_authz import Check
from authsvc.telemetry import DecisionCounters, UsageCounters
from authsvc.usage.recorder import Recorder
from bench.inprocess import Door, per_call
from bench.request import check_request


def cost(config: Path, rounds: int) -> dict[str, float]:
    """Return the medians, in microseconds, of a Check that is counted and of one that is not, and the ratio."""
    door = Door(config)
    recorder = Recorder(DatabaseClock().now, UsageCounters())
    counted = Check(door.apis, door.authorize, DecisionCounters("envoy"), recorder.record)
    request = check_request(door.new_key(), door.api.name)
    asyncio.run(door.warm(request))
    off, on = [], []
    for _ in range(rounds):
        off.append(per_call(lambda: door.check.now(request)))
        on.append(per_call(lambda: counted.now(request)))
    without, with_ = statistics.median(off) * 1e6, statistics.median(on) * 1e6
    alone = statistics.median(one - other for one, other in zip(on, off, strict=True)) * 1e6
    return {"without_us": without, "with_us": with_, "added_us": alone, "ratio": with_ / without}


def alone(rounds: int = 15) -> float:
    """Return the median of what `record` alone takes, in microseconds, sorting included."""
    recorder = Recorder(DatabaseClock().now, UsageCounters())
    record = recorder.record
    measured = (per_call(lambda: record(None, None, None, None, None)) - per_call(lambda: None) for _ in range(rounds))
    return statistics.median(measured) * 1e6
