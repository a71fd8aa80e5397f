"""Plain counters. Each instance is written by one thread, or under its owner's lock."""

from __future__ import annotations

from collections.abc import Callable


class DecisionCounters:
    """Decisions of one door, by API and reason; an allow has the reason `ok`."""

    def __init__(self, door: str) -> None:
        self.door = door
        self.by_reason: dict[tuple[str, str], int] = {}

    def count(self, api: str, reason: str) -> None:
        """Add one decision."""
        label = (api, reason)
        self.by_reason[label] = self.by_reason.get(label, 0) + 1


def _ignore(_: float) -> None:
    """Take a duration nobody wants to hear of."""


class CacheCounters:
    """What the cache did."""

    __slots__ = (
        "corrupt",
        "evictions",
        "hits",
        "joined",
        "load_failures",
        "load_timeouts",
        "loads",
        "negative_hits",
        "observe_load",
        "shed",
    )

    def __init__(self, observe_load: Callable[[float], None] = _ignore) -> None:
        self.hits = 0
        self.negative_hits = 0
        self.loads = 0
        self.joined = 0
        self.load_failures = 0
        self.corrupt = 0
        self.load_timeouts = 0
        self.shed = 0
        self.evictions = 0
        self.observe_load = observe_load  # takes the seconds a load took; off the hot path


class RehashCounters:
    """What became of keys that were found in an older form."""

    __slots__ = ("done", "dropped", "failed", "overtaken")

    def __init__(self) -> None:
        self.done = 0
        self.overtaken = 0  # somebody else was first
        self.dropped = 0
        self.failed = 0


class ImportCounters:
    """What became of records that were to be imported."""

    __slots__ = ("imported", "present", "rejected")

    def __init__(self) -> None:
        self.imported = 0
        self.present = 0
        self.rejected = 0


class UsageCounters:
    """What became of counted usage, besides being stored."""

    __slots__ = ("flush_failures", "folded", "spikes", "uses_dropped")

    def __init__(self) -> None:
        self.flush_failures = 0
        self.folded = 0
        self.uses_dropped = 0
        self.spikes: dict[str, int] = {}  # by API


class AuditCounters:
    """How the administration refused, and what became of refusals besides being written down."""

    __slots__ = ("merged", "refusals", "write_failures")

    def __init__(self) -> None:
        self.refusals: dict[str, int] = {}  # by gRPC code
        self.merged = 0
        self.write_failures = 0

    def refused(self, code: str) -> None:
        """Add one call that ended with an error."""
        self.refusals[code] = self.refusals.get(code, 0) + 1


class ListenerCounters:
    """What a listener did with calls, besides answering them."""

    __slots__ = ("cancelled", "faults", "in_flight", "late", "overloaded", "unsent")

    def __init__(self) -> None:
        self.in_flight = 0
        self.overloaded = 0
        self.faults = 0
        self.late = 0
        self.cancelled = 0
        self.unsent = 0
