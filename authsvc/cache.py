"""
`CachedKeyStore`: key records kept in memory, in front of any `KeyStore`.

It keeps records, never decisions. Two threads may call `get`; everything else belongs to the event
loop. The rules it keeps, and why, are in docs/caching.md:

- An answer is used only while the database was heard from within `max_staleness` (the lease). Past
  it every question is `UnavailableError`: neither an allow nor "unknown".
- A load is fenced: its `as_of` must not lie before an invalidation of what it returned.
- A request joins a running load only while that is young; a load never outlives its budget in the
  eyes of those who wait, and what failed or was cancelled is never kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from authsvc.domain.decision import Bearer
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.ports import ABSENT, Absent, Clock, KeyStore, Loaded
from authsvc.telemetry import CacheCounters

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Bounds of the cache. Times are seconds."""

    max_staleness: float = 60.0  # S: how long answers outlive the last word of the database
    max_age: float = 300.0  # T: how long a record is used while the database answers
    negative_age: float = 10.0
    load_budget: float = 0.150  # below Envoy's default ext_authz timeout of 200 ms
    keys: int = 50_000
    negatives: int = 20_000
    loads: int = 8  # at once
    waiting: int = 256  # loads queued behind those
    unknown_per_second: int = 200  # loads that may find nothing
    tombstones: int = 10_000


@dataclass(slots=True)
class _Entry:
    bearer: Bearer
    expires: float


@dataclass(slots=True)
class _Flight:
    """One load in progress."""

    task: asyncio.Task[Bearer | None]
    started: float
    detached: bool = False  # an invalidation came after its start: nobody new may join


class _Positives(LRUCache[Digest, _Entry]):
    """The LRU with an index from key and organization ids to the digests they are cached under."""

    def __init__(self, size: int, counters: CacheCounters) -> None:
        super().__init__(size)
        self.index: dict[str, set[Digest]] = {}
        self._counters = counters

    def popitem(self) -> tuple[Digest, _Entry]:
        digest, entry = super().popitem()
        self._counters.evictions += 1
        self.unindex(digest, entry)
        return digest, entry

    def unindex(self, digest: Digest, entry: _Entry) -> None:
        for target in targets_of(entry.bearer.record):
            digests = self.index.get(target)
            if digests is not None:
                digests.discard(digest)
                if not digests:
                    del self.index[target]


def targets_of(record: KeyRecord) -> tuple[str, str]:
    """Return the ids whose changes concern a record."""
    return record.id, record.organization_id


class CachedKeyStore:
    """See the module. `bearer_for` joins a record with its API's rules; None when its API is unknown."""

    def __init__(
        self,
        store: KeyStore,
        bearer_for: Callable[[KeyRecord, Revision], Bearer | None],
        clock: Clock,
        settings: CacheSettings,
        counters: CacheCounters,
    ) -> None:
        self._store = store
        self._bearer_for = bearer_for
        self._monotonic = clock.monotonic
        self._settings = settings
        self._counters = counters
        self._lock = threading.Lock()
        self._found = _Positives(settings.keys, counters)
        self._absent: LRUCache[Digest, tuple[float, Revision]] = LRUCache(settings.negatives)
        self._flights: dict[Digest, _Flight] = {}
        self._tombs: dict[str, int] = {}
        self._floor = 0  # every load must be at least this new; raised when tombstones overflow
        self._absent_floor = 0  # the same for what was not found
        self._epoch: str | None = None
        self._confirmed = float("-inf")
        self._down = True
        self._slots = asyncio.Semaphore(settings.loads)
        self._unknown: list[float] = []

    # -- the hot path

    def get(self, digest: Digest) -> Bearer | Absent | None:
        """
        Return what is known of a digest without waiting; None when it must be fetched.

        Raises `UnavailableError` when nothing known may be used any more.
        """
        now = self._monotonic()
        if now - self._confirmed > self._settings.max_staleness:
            raise UnavailableError("keys cannot be checked right now")
        with self._lock:
            try:
                entry = self._found[digest]
            except KeyError:
                absent = self._absent.get(digest)
                if absent is not None and now < absent[0]:
                    self._counters.negative_hits += 1
                    return ABSENT
                return None
            if now < entry.expires or self._down:
                self._counters.hits += 1
                return entry.bearer
        return None

    # -- loads

    async def fetch(self, digests: Sequence[Digest], budget: float, at_least: Revision | None) -> Bearer | None:
        """
        Return the bearer stored under any of the digests, loading it if need be; None when there is none.

        The first digest is the one it is cached under. `budget` is in seconds; a caller that names a
        revision gets an answer at least as new. Raises `UnavailableError`.
        """
        if at_least is not None:
            known = self._newer(digests[0], at_least)
            if known is not None:
                return None if isinstance(known, Absent) else known
        flight = self._join(digests, fresh=at_least is not None)
        left = min(budget, self._settings.load_budget - (self._monotonic() - flight.started))
        # wait(), not wait_for(): a caller that gives up must not cancel what others wait for.
        done, _ = await asyncio.wait({flight.task}, timeout=max(left, 0))
        if not done:
            self._counters.load_timeouts += 1
            raise UnavailableError("keys cannot be checked right now")
        bearer = flight.task.result()
        if at_least is not None and self._newer(digests[0], at_least) is None:
            raise UnavailableError("this instance has not reached the revision asked for")
        return bearer

    def _newer(self, digest: Digest, at_least: Revision) -> Bearer | Absent | None:
        known = self.get(digest)
        if isinstance(known, Bearer):
            as_of = known.as_of
        elif known is ABSENT:
            with self._lock:
                absent = self._absent.get(digest)
            if absent is None:
                return None
            as_of = absent[1]
        else:
            return None
        return known if as_of.epoch == at_least.epoch and as_of.seq >= at_least.seq else None

    def _join(self, digests: Sequence[Digest], *, fresh: bool) -> _Flight:
        now = self._monotonic()
        flight = self._flights.get(digests[0])
        if flight and not flight.detached and not fresh and now - flight.started < self._settings.load_budget:
            self._counters.joined += 1
            return flight
        if len(self._flights) >= self._settings.loads + self._settings.waiting or self._too_many_unknown(now):
            self._counters.shed += 1
            raise UnavailableError("too many keys are being looked up")
        flight = _Flight(asyncio.create_task(self._load(digests, now)), now)
        self._flights[digests[0]] = flight
        flight.task.add_done_callback(lambda task: self._landed(digests[0], task))
        return flight

    async def _load(self, digests: Sequence[Digest], started: float) -> Bearer | None:
        async with self._slots:
            sent = self._monotonic()
            if sent - started >= self._settings.load_budget:
                raise UnavailableError("keys cannot be checked right now")
            self._counters.loads += 1
            try:
                loaded = await self._store.load(digests)
            except UnavailableError:
                self._counters.load_failures += 1
                self.lost()
                raise
            finally:
                self._counters.observe_load(self._monotonic() - sent)
        self.confirm(loaded.as_of, sent)
        bearer = None if loaded.record is None else self._bearer_for(loaded.record, loaded.as_of)
        if self._monotonic() - started < self._settings.load_budget:
            self._admit(digests[0], loaded, bearer)
        return bearer

    def _admit(self, digest: Digest, loaded: Loaded, bearer: Bearer | None) -> None:
        as_of, now = loaded.as_of, self._monotonic()
        with self._lock:
            if as_of.epoch != self._epoch or as_of.seq < self._floor:
                return
            if bearer is None:
                self._unknown.append(now)
                self._drop(digest)
                if as_of.seq >= self._absent_floor:
                    self._absent[digest] = (now + self._settings.negative_age, as_of)
                return
            if any(as_of.seq < self._tombs.get(target, 0) for target in targets_of(bearer.record)):
                return
            old = self._found.get(digest)
            if old is not None and old.bearer.as_of.seq > as_of.seq:
                return
            self._absent.pop(digest, None)
            self._drop(digest)
            # A spread, so that records loaded together do not all expire together.
            age = self._settings.max_age * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
            self._found[digest] = _Entry(bearer, now + age)
            for target in targets_of(bearer.record):
                self._found.index.setdefault(target, set()).add(digest)

    def _landed(self, digest: Digest, task: asyncio.Task[Bearer | None]) -> None:
        flight = self._flights.get(digest)
        if flight is not None and flight.task is task:
            del self._flights[digest]
        # Asked for here, because nobody may be waiting any more.
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, UnavailableError):
            self._counters.load_failures += 1
            _LOG.error("a key could not be loaded", extra={"fault": type(error).__name__})

    def _too_many_unknown(self, now: float) -> bool:
        self._unknown = [instant for instant in self._unknown if instant > now - 1]
        return len(self._unknown) >= self._settings.unknown_per_second

    # -- what the database says

    def confirm(self, head: Revision, sent: float) -> None:
        """Note that the database answered a question sent at `sent` (monotonic seconds)."""
        with self._lock:
            if self._epoch is not None and head.epoch != self._epoch:
                _LOG.error("the database is another one than before: every cached key is dropped")
                self._flush(0)
                self._floor = self._absent_floor = 0
            self._epoch = head.epoch
            # The time the question was sent: the answer may have been on its way for long.
            self._confirmed = max(self._confirmed, sent)
            self._down = False

    def lost(self) -> None:
        """Note that the database did not answer; the lease runs on from the last time it did."""
        self._down = True

    @property
    def staleness(self) -> float:
        """Return the seconds since the database was last heard from; infinite before the first time."""
        return self._monotonic() - self._confirmed

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Forget what is cached of these keys and organizations, and refuse loads older than the change."""
        with self._lock:
            for target in targets:
                self._tombs[target] = max(self._tombs.get(target, 0), revision.seq)
                for digest in tuple(self._found.index.get(target, ())):
                    entry = self._found.get(digest)
                    if entry is not None and entry.bearer.as_of.seq < revision.seq:
                        self._drop(digest)
            for flight in self._flights.values():
                flight.detached = True
            if len(self._tombs) > self._settings.tombstones:
                self._flush(revision.seq)

    def invalidate_absent(self, revision: Revision) -> None:
        """Forget every digest that was not found: a change has stored keys that callers may already hold."""
        with self._lock:
            self._absent.clear()
            self._absent_floor = max(self._absent_floor, revision.seq)

    def _flush(self, floor: int) -> None:
        self._found = _Positives(self._settings.keys, self._counters)
        self._absent.clear()
        self._tombs.clear()
        self._floor = max(self._floor, floor)
        for flight in self._flights.values():
            flight.detached = True

    def _drop(self, digest: Digest) -> None:
        entry = self._found.pop(digest, None)
        if entry is not None:
            self._found.unindex(digest, entry)

    def __len__(self) -> int:
        """Return how many keys are cached."""
        return len(self._found)
