"""The local limiter: buckets in this process's memory, counted by `domain.quotas`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from authsvc.domain.decision import Bearer
from authsvc.domain.quotas import Limit, State, Verdict, forgettable, spend

_NANOS_PER_SECOND = 1_000_000_000


class LocalLimiter:
    """
    Counts per process: N processes together let through up to N times a limit.

    `capacity` bounds the buckets. When it is reached, those that have recovered are dropped, which
    changes nothing; if that is not enough, the oldest are.
    """

    def __init__(self, capacity: int = 200_000, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._capacity = capacity
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[Limit, State]] = {}
        self._swept = 0

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take one request from every limit, or from none when one refuses; the tightest verdict first."""
        return self._ask(bearer, keep=True) if bearer.limits else ()

    def peek(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Say what `spend` would."""
        return self._ask(bearer, keep=False)

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._buckets)

    def _ask(self, bearer: Bearer, *, keep: bool) -> tuple[Verdict, ...]:
        now, allowed = self._now(), True
        verdicts: list[Verdict] = []
        states: list[State] = []
        with self._lock:
            buckets = self._buckets
            for bucket, limit in bearer.limits:
                kept = buckets.get(bucket)
                # A limit that was changed starts afresh: its old state is in other units.
                known = kept[1] if kept is not None and (kept[0] is limit or kept[0] == limit) else None
                verdict, state = spend(limit, known, now)
                allowed = allowed and verdict.allowed
                verdicts.append(verdict)
                states.append(state)
            if keep and allowed:
                for (bucket, limit), state in zip(bearer.limits, states, strict=True):
                    buckets[bucket] = (limit, state)
                if len(buckets) > self._capacity:
                    self._make_room(now)
        if len(verdicts) > 1:
            verdicts.sort(key=_tightness)
        return tuple(verdicts)

    def _make_room(self, now: int) -> None:
        # Looking at every bucket is worth it once a second at most.
        if now - self._swept >= _NANOS_PER_SECOND:
            self._swept = now
            self._buckets = {
                bucket: kept for bucket, kept in self._buckets.items() if not forgettable(kept[0], kept[1], now)
            }
        while len(self._buckets) > self._capacity:
            del self._buckets[next(iter(self._buckets))]


def _tightness(verdict: Verdict) -> tuple[bool, int, int]:
    return verdict.allowed, -verdict.retry_ns, verdict.remaining
