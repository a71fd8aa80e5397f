"""The local limiter: buckets in this process's memory, counted by `domain.quotas`."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from authsvc.domain.decision import Bearer, counted_for
from authsvc.domain.quotas import Limit, State, Verdict, recovers, spend

_LOOKS = 64  # at buckets, for each new one

Buckets = dict[str, State]  # of one limit, by whose requests they count


class LocalLimiter:
    """
    Counts per process: N processes together let through up to N times a limit.

    A bucket belongs to a limit, so one that was changed starts afresh. `capacity` bounds the buckets. Near it
    those that have recovered are dropped, which changes nothing; only when none has, another is.
    """

    def __init__(self, capacity: int = 200_000, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._capacity = capacity
        self._ample = capacity - capacity // 10
        self._now = now
        self._lock = threading.Lock()
        self._by_shape: dict[str, Buckets] = {}
        # When each bucket recovers, or earlier: spending puts that off, and only `_make_room` looks. The
        # number tells equal instants apart.
        self._recovery: list[tuple[int, int, Limit, str]] = []
        self._entered = 0

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take one request from every limit, or from none when one refuses; the tightest verdict first."""
        limits = bearer.limits
        if len(limits) != 1:
            return self._ask(bearer, keep=True) if limits else ()
        # What `_ask` does for several, for the keys that have one limit: nearly all.
        limit = limits[0]
        owner, now = counted_for(limit, bearer.record), self._now()
        with self._lock:
            buckets = self._by_shape.get(limit.shape)
            known = None if buckets is None else buckets.get(owner)
            verdict, state = limit.arithmetic(limit, known, now)
            if buckets is not None and known is not None and verdict.allowed:
                buckets[owner] = state
            elif verdict.allowed:
                self._enter(limit, owner, state, now)
        return (verdict,)

    def peek(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Say what `spend` would."""
        return self._ask(bearer, keep=False)

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._recovery)

    def _ask(self, bearer: Bearer, *, keep: bool) -> tuple[Verdict, ...]:
        now, record = self._now(), bearer.record
        asked: list[tuple[Limit, str, State]] = []
        verdicts: list[Verdict] = []
        with self._lock:
            for limit in bearer.limits:
                owner, buckets = counted_for(limit, record), self._by_shape.get(limit.shape)
                verdict, state = spend(limit, None if buckets is None else buckets.get(owner), now)
                verdicts.append(verdict)
                asked.append((limit, owner, state))
                keep = keep and verdict.allowed
            if keep:
                for limit, owner, state in asked:
                    buckets = self._by_shape.get(limit.shape)
                    if buckets is not None and owner in buckets:
                        buckets[owner] = state
                    else:
                        self._enter(limit, owner, state, now)
        if len(verdicts) > 1:
            verdicts.sort(key=_tightness)
        return tuple(verdicts)

    def _enter(self, limit: Limit, owner: str, state: State, now: int) -> None:
        self._make_room(now)
        self._entered += 1
        heapq.heappush(self._recovery, (recovers(limit, state), self._entered, limit, owner))
        self._by_shape.setdefault(limit.shape, {})[owner] = state

    def _make_room(self, now: int) -> None:
        """Make room for one more bucket."""
        recovery, looks = self._recovery, 0
        while len(recovery) >= self._ample:
            full = len(recovery) >= self._capacity
            noted, number, limit, owner = recovery[0]
            # Begun early and a few looks at a time, so that there is never much to look at when it is full.
            if not full and (noted > now or looks == _LOOKS):
                return
            looks += 1
            buckets = self._by_shape[limit.shape]
            due = recovers(limit, buckets[owner])
            if due > noted and noted <= now:
                heapq.heapreplace(recovery, (due, number, limit, owner))
                continue
            heapq.heappop(recovery)
            del buckets[owner]
            if not buckets:
                del self._by_shape[limit.shape]


def _tightness(verdict: Verdict) -> tuple[bool, int, int]:
    return verdict.allowed, -verdict.retry_ns, verdict.remaining
