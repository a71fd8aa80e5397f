"""
Rate-limit arithmetic: (state, now) → (verdict, new state). Time is monotonic nanoseconds.

`gcra` allows a burst, then a steady pace, and remembers one instant. `sliding_window` never allows
more than N in any window and remembers N instants; it is for products that promise exactly that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

NANOS_PER_SECOND = 1_000_000_000
MAX_WINDOW_COUNT = 1000  # instants a sliding window may have to remember
MAX_COUNT = 1_000_000_000

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"(?P<count>[1-9][0-9]{0,9})/(?P<unit>second|minute|hour|day)")


class Algorithm(StrEnum):
    """How a limit is counted."""

    GCRA = "gcra"
    SLIDING_WINDOW = "sliding_window"


class Subject(StrEnum):
    """Whose requests a limit counts together."""

    KEY = "key"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    At most `count` requests a `period`; `name` tells limits of one subject apart.

    What follows from the others is worked out once: a limit is made with the configuration or a key's
    record, and asked for every request.
    """

    name: str
    subject: Subject
    algorithm: Algorithm
    count: int
    period_ns: int
    burst: int  # requests allowed at once (gcra)
    interval_ns: int = field(init=False, repr=False, compare=False)  # gcra: from one request to the next
    capacity_ns: int = field(init=False, repr=False, compare=False)  # gcra: what a burst may run ahead
    period_s: int = field(init=False, repr=False, compare=False)  # seconds, rounded up
    arithmetic: Arithmetic = field(init=False, repr=False, compare=False)
    shape: str = field(init=False, repr=False, compare=False)  # all of the above, as a text to find buckets by

    def __post_init__(self) -> None:
        """Work out what follows."""
        # Rounded up, so that rounding never lets more through than was promised.
        interval = -(-self.period_ns // self.count)
        object.__setattr__(self, "interval_ns", interval)
        object.__setattr__(self, "capacity_ns", interval * self.burst)
        shape = f"{self.subject}/{self.algorithm}/{self.count}/{self.period_ns}/{self.burst}/{self.name}"
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "period_s", -(-self.period_ns // NANOS_PER_SECOND))
        object.__setattr__(self, "arithmetic", _ARITHMETIC[self.algorithm])


@dataclass(slots=True)
class Verdict:
    """What one limit says; durations in nanoseconds. Not frozen: it is made for every limited request."""

    allowed: bool
    limit: Limit
    remaining: int  # requests that would pass right now, after this one
    reset_ns: int  # until the full allowance is back
    retry_ns: int  # until one more request would pass; 0 when allowed


State = int | tuple[int, ...]  # gcra: theoretical arrival time; sliding window: instants, oldest first
Arithmetic = Callable[[Limit, State | None, int], tuple[Verdict, State]]  # see `spend`


def parse_rate(text: str) -> tuple[int, int] | None:
    """Read `10/minute` as (count, period in nanoseconds)."""
    match = _RATE.fullmatch(text)
    if match is None or int(match["count"]) > MAX_COUNT:
        return None
    return int(match["count"]), _SECONDS[match["unit"]] * NANOS_PER_SECOND


def spend(limit: Limit, state: State | None, now: int) -> tuple[Verdict, State]:
    """Ask for one request; the returned state is to be kept only when every limit allowed it."""
    return limit.arithmetic(limit, state, now)


def recovers(limit: Limit, state: State) -> int:
    """Return when the limit has all of its room again: from then on dropping the state changes nothing."""
    if isinstance(state, int):
        return state
    return state[-1] + limit.period_ns if state else 0


def _gcra(limit: Limit, state: State | None, now: int) -> tuple[Verdict, State]:
    arrival = state if isinstance(state, int) and state > now else now
    ahead = arrival - now + limit.interval_ns
    room = limit.capacity_ns - ahead
    if room < 0:
        return Verdict(False, limit, 0, arrival - now, -room), arrival
    return Verdict(True, limit, room // limit.interval_ns, ahead, 0), now + ahead


def _sliding_window(limit: Limit, state: State | None, now: int) -> tuple[Verdict, State]:
    instants = state if isinstance(state, tuple) else ()
    # Callers read the clock before they take their turn; out of order, the instants could not be searched.
    now = max(now, instants[-1]) if instants else now
    # Half-open: a request made exactly one period ago no longer counts.
    live = instants[bisect_right(instants, now - limit.period_ns) :]
    if len(live) >= limit.count:
        retry = live[-limit.count] + limit.period_ns - now
        return Verdict(False, limit, 0, live[-1] + limit.period_ns - now, retry), live
    return Verdict(True, limit, limit.count - len(live) - 1, limit.period_ns, 0), (*live, now)


_ARITHMETIC: dict[Algorithm, Arithmetic] = {Algorithm.GCRA: _gcra, Algorithm.SLIDING_WINDOW: _sliding_window}
