"""The local limiter: buckets in this process's memory, counted by `domain.quotas`."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from authsvc.domain.decision import Bearer
from authsvc.domain.quotas import Limit, State, Verdict, spend

_LOOKS = 64  # at buckets, for each new one


class LocalLimiter:
    """
    Counts per process: N processes together let through up to N times a limit.

    `capacity` bounds the buckets. Near it those that have recovered are dropped, which changes
    nothing; only when none has, another is.
    """

    def __init__(self, capacity: int = 200_000, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._capacity = capacity
        self._ample = capacity - capacity // 10
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[Limit, State]] = {}
        # When each bucket recovers, or earlier: spending puts that off, and only `_make_room` looks.
        self._recovery: list[tuple[int, str]] = []

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
                    if bucket not in buckets:
                        self._make_room(now)
                        heapq.heappush(self._recovery, (_recovers(limit, state), bucket))
                    buckets[bucket] = (limit, state)
        if len(verdicts) > 1:
            verdicts.sort(key=_tightness)
        return tuple(verdicts)

    def _make_room(self, now: int) -> None:
        """Make room for one more bucket."""
        buckets, looks = self._buckets, 0
        while len(buckets) >= self._ample:
            full = len(buckets) >= self._capacity
            noted, bucket = self._recovery[0]
            # Begun early and a few looks at a time, so that there is never much to look at when it is full.
            if not full and (noted > now or looks == _LOOKS):
                return
            looks += 1
            recovers = _recovers(*buckets[bucket])
            if recovers > noted and noted <= now:
                heapq.heapreplace(self._recovery, (recovers, bucket))
            else:
                heapq.heappop(self._recovery)
                del buckets[bucket]


def _recovers(limit: Limit, state: State) -> int:
    """Return when dropping the state changes nothing any more."""
    if isinstance(state, int):
        return state
    return state[-1] + limit.period_ns if state else 0


def _tightness(verdict: Verdict) -> tuple[bool, int, int]:
    return verdict.allowed, -verdict.retry_ns, verdict.remaining
