"""
`CachedKeyStore`: key records kept in memory, in front of any `KeyStore`.

It keeps records, never decisions. Two threads may call `get`; everything else belongs to the event
loop. The rules it keeps, and why, are in docs/caching.md:

- What is kept is used only while the database was heard from within `max_staleness` (the lease). Past
  it the database is asked, or, where it is known to be lost, every question is `UnavailableError`:
  neither an allow nor "unknown".
- A load is fenced: its `as_of` must not lie before an invalidation of what it returned, and of two
  loads of one digest only the later is kept.
- A request joins a running load only while that is young; a load never outlives its budget in the
  eyes of those who wait, and what failed or was cancelled is never kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from cachetools import LRUCache

from authsvc.cache.entries import Answer, CacheSettings, Entry, Flight, Positives, targets_of
from authsvc.domain.decision import Bearer
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.ports import ABSENT, Absent, Clock, CorruptRecordError, KeyStore
from authsvc.telemetry import CacheCounters

_LOG = logging.getLogger(__name__)

# Seconds between two moves of one entry in the LRU: a key in use needs no more, and most hits then change nothing.
_TOUCH = 1.0

# What is in use is loaded anew in the last fifth of its age, so that no request has to wait for it then.
_AHEAD = 0.2
_REFRESH = 1.0  # seconds between two looks for it

_UNAVAILABLE = "keys cannot be checked right now"
_OVERLOADED = "too many keys are being looked up"


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
        self._max_staleness = settings.max_staleness
        self._ahead = settings.max_age * _AHEAD
        self._strict = settings.max_staleness < settings.load_budget  # what is under way may be too old to join
        self._counters = counters
        self._lock = threading.Lock()
        self._found = Positives(settings.keys, counters)
        self._absent: LRUCache[Digest, tuple[float, Revision]] = LRUCache(settings.negatives)
        self._ageing: dict[Digest, None] = {}  # in use, and near its end
        self._flights: dict[Digest, Flight] = {}
        self._tombs: dict[str, int] = {}
        self._floor = 0  # every load must be at least this new; raised when tombstones overflow
        self._absent_floor = 0  # the same for what was not found
        self._epoch: str | None = None
        self._since = float("-inf")  # when the epoch changed; what was asked before is never kept
        self._head = 0  # the last position heard of, and when
        self._heard = self._confirmed = float("-inf")
        self._down = True
        self._slots = asyncio.Semaphore(settings.loads)
        self._running = 0  # loads, those that wait for a slot included
        self._guesses = 0  # loads that the database has and that may find nothing
        self._unknown: deque[float] = deque()  # when loads found nothing, within the last second

    # -- the hot path

    def get(self, digest: Digest) -> Bearer | Absent | None:
        """
        Return what is known of a digest without waiting; None when it must be fetched.

        Raises `UnavailableError` when nothing known may be used any more and the database is lost.
        """
        now = self._monotonic()
        if now - self._confirmed > self._max_staleness:
            if self._down:
                raise UnavailableError(_UNAVAILABLE)
            return None
        # No lock: one step of the dictionary, on an entry whose bearer never changes.
        entry = self._found.get(digest)
        if entry is None:
            return self._known_absent(digest, now)
        # Bounded in both states: a key nobody used for hours is not fresh because the database went away.
        if now < entry.expires or (self._down and now < entry.expires + self._max_staleness):
            self._counters.hits += 1
            if now - entry.touched > _TOUCH:
                self._touch(digest, entry, now)
            return entry.bearer
        return None

    def _known_absent(self, digest: Digest, now: float) -> Absent | None:
        with self._lock:
            absent = self._absent.get(digest)
        if absent is not None and now < absent[0]:
            self._counters.negative_hits += 1
            return ABSENT
        return None

    def _touch(self, digest: Digest, entry: Entry, now: float) -> None:
        with self._lock:
            if self._found.get(digest) is entry:
                entry.touched = now
                self._found.move_to_end(digest)
                if now > entry.expires - self._ahead and len(self._ageing) < self._settings.keys:
                    self._ageing[digest] = None

    # -- loads

    async def keep_fresh(self) -> None:
        """Refresh every second, until cancelled."""
        while True:
            await asyncio.sleep(_REFRESH)
            await self.refresh()

    async def refresh(self) -> None:
        """
        Load anew what was used lately and is near the end of its age, one after the other.

        It is a question like a request's own, with the same fence. When it fails what is cached is used to its end.
        """
        with self._lock:
            ageing, self._ageing = self._ageing, {}
        for digest in ageing:
            entry = self._found.get(digest)
            if entry is None or self._down or entry.expires - self._monotonic() > self._ahead:
                continue
            with suppress(Exception):  # told by `_landed`
                await self.fetch((digest, *entry.others), self._settings.load_budget, None)

    async def fetch(
        self, digests: Sequence[Digest], budget: float, at_least: Revision | None, *, patient: bool = False
    ) -> Bearer | None:
        """
        Return the bearer stored under any of the digests, loading it if need be; None when there is none.

        The first digest is the one it is cached under. `budget` is in seconds, at most `load_budget` of a load for
        all but patient callers; who names a revision gets an answer at least as new. Raises `UnavailableError`.
        """
        known = None if at_least is None else self._newer(digests[0], at_least)
        if known is not None:
            return None if isinstance(known, Absent) else known
        now = self._monotonic()
        patience = budget if patient else self._settings.load_budget
        flight = self._join(digests, now, patience, fresh=at_least is not None or self._strict)
        until = min(now + budget, flight.started + patience)
        # wait(), not wait_for(): a caller that gives up must not cancel what others wait for.
        done, _ = await asyncio.wait({flight.task}, timeout=max(until - now, 0))
        # An answer that comes with the end of the wait is late too: the whole process may have stood still.
        late = not done or self._monotonic() > until
        self._counters.load_timeouts += late
        # The load's own cancellation, let through, would look like the caller's.
        if late or flight.task.cancelled():
            raise UnavailableError(_UNAVAILABLE)
        bearer, as_of = flight.task.result()
        if at_least is not None and not as_of.reaches(at_least):
            raise UnavailableError("this instance has not reached the revision asked for")
        return bearer

    def _newer(self, digest: Digest, at_least: Revision) -> Bearer | Absent | None:
        known = self.get(digest)
        if isinstance(known, Bearer):
            return known if known.as_of.reaches(at_least) else None
        with self._lock:
            absent = self._absent.get(digest) if known is ABSENT else None
        return known if absent is not None and absent[1].reaches(at_least) else None

    def _join(self, digests: Sequence[Digest], now: float, patience: float, *, fresh: bool) -> Flight:
        old = self._flights.get(digests[0])
        young = old is not None and not old.detached and now - old.started < self._settings.load_budget
        # What the database has not been asked yet, it will answer as of later than now.
        if old is not None and young and patience <= old.patience and not (fresh and old.asked):
            self._counters.joined += 1
            return old
        proven = digests[0] in self._found
        if self._running >= self._settings.loads + self._settings.waiting or not (proven or self._may_guess(now)):
            self._counters.shed += 1
            raise UnavailableError(_OVERLOADED)
        if old is not None:
            old.superseded = True
        flight = self._flights[digests[0]] = Flight(digests, now, patience, proven)
        flight.task = asyncio.create_task(self._load(flight))
        flight.task.add_done_callback(lambda _: self._landed(flight))
        self._running += 1
        return flight

    async def _load(self, flight: Flight) -> Answer:
        async with self._slots:
            sent = self._monotonic()
            if sent - flight.started >= flight.patience:
                raise UnavailableError(_UNAVAILABLE)
            if not (flight.proven or self._may_guess(sent)):
                self._counters.shed += 1
                raise UnavailableError(_OVERLOADED)
            flight.asked = True
            self._counters.loads += 1
            self._guesses += not flight.proven
            try:
                loaded = await self._store.load(flight.digests)
            except CorruptRecordError:
                self._counters.corrupt += 1  # an answer, of which nothing can be made: the database is not lost
                raise
            except UnavailableError:
                self._counters.load_failures += 1
                self.lost()
                raise
            finally:
                self._guesses -= not flight.proven
                self._counters.observe_load(self._monotonic() - sent)
        self.confirm(loaded.as_of, sent)
        bearer = None if loaded.record is None else self._bearer_for(loaded.record, loaded.as_of)
        if bearer is None:
            self._unknown.append(self._monotonic())
        if flight.superseded:
            self._outdate(flight.digests[0], loaded.as_of)
        elif self._admits(flight, sent, loaded.as_of):
            self._admit(flight.digests, loaded.as_of, bearer, loaded.also)
        return bearer, loaded.as_of

    def _admits(self, flight: Flight, sent: float, as_of: Revision) -> bool:
        young = self._monotonic() - flight.started < self._settings.load_budget
        return young and as_of.epoch == self._epoch and sent > self._since and as_of.seq >= flight.least

    def _outdate(self, digest: Digest, as_of: Revision) -> None:
        """See that nobody later gets an older answer than this one, which is given and not kept."""
        current = self._flights.get(digest)
        if current is not None:
            current.detached, current.least = True, max(current.least, as_of.seq)
        with self._lock:
            entry, absent = self._found.get(digest), self._absent.get(digest)
            if entry is not None and entry.bearer.as_of.seq < as_of.seq:
                self._drop(digest)
            if absent is not None and absent[1].seq < as_of.seq:
                del self._absent[digest]

    def _admit(self, digests: Sequence[Digest], as_of: Revision, bearer: Bearer | None, also: tuple[str, ...]) -> None:
        now, digest = self._monotonic(), digests[0]
        with self._lock:
            if bearer is None:
                if as_of.seq >= max(self._floor, self._absent_floor):
                    self._drop(digest)
                    self._absent[digest] = (now + self._settings.negative_age, as_of)
                return
            tombs = (self._tombs.get(target, 0) for target in targets_of(bearer.record, also))
            # What may be stored under several digests may have got a second record meanwhile.
            floor = max(self._floor, self._absent_floor if len(digests) > 1 else 0)
            if as_of.seq < max(floor, *tombs):
                return
            self._absent.pop(digest, None)
            self._drop(digest)
            # A spread, so that records loaded together do not all expire together.
            age = self._settings.max_age * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
            self._found.enter(digest, Entry(bearer, tuple(digests[1:]), also, now + age, now))

    def _landed(self, flight: Flight) -> None:
        self._running -= 1
        if self._flights.get(flight.digests[0]) is flight:
            del self._flights[flight.digests[0]]
        error = None if flight.task.cancelled() else flight.task.exception()  # asked for, if nobody waits any more
        if error is not None and not isinstance(error, UnavailableError):
            self._counters.load_failures += 1
            _LOG.error("a key could not be loaded", extra={"fault": type(error).__name__})

    def _may_guess(self, now: float) -> bool:
        while self._unknown and self._unknown[0] <= now - 1:
            self._unknown.popleft()
        return len(self._unknown) + self._guesses < self._settings.unknown_per_second

    # -- what the database says

    def confirm(self, head: Revision, sent: float) -> None:
        """Note that the database answered a question sent at `sent` (monotonic seconds)."""
        with self._lock:
            if self._epoch not in (None, head.epoch) and (sent < self._confirmed or sent <= self._since):
                return  # the former database, and late: the present one was asked after it
            back = head.epoch == self._epoch and head.seq < self._head and sent > self._heard
            self._follow(head, back=back)
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
            self._follow(revision)
            for target in targets:
                self._tombs[target] = max(self._tombs.get(target, 0), revision.seq)
                for digest in self._found.under(target):
                    entry = self._found.get(digest)
                    if entry is not None and entry.bearer.as_of.seq < revision.seq:
                        self._drop(digest)
            self._detach()
            if len(self._tombs) > self._settings.tombstones:
                # Changes are told in any order: an earlier one than this may be the newest.
                self._flush(max(self._tombs.values()))

    def invalidate_absent(self, revision: Revision, digests: Iterable[Digest]) -> None:
        """
        Forget every digest that was not found: a change has stored keys that callers may already hold.

        `digests` are those under which the keys may be stored. A text that was found under another has two records now.
        """
        with self._lock:
            self._follow(revision)
            for digest in digests:
                for found in self._found.under(digest):
                    self._drop(found)
            self._absent.clear()
            self._absent_floor = max(self._absent_floor, revision.seq)
            self._detach()

    def _follow(self, position: Revision, *, back: bool = False) -> None:
        """Note a position. In another epoch, or when the log went back, nothing is left to compare with."""
        now = self._monotonic()
        if back or self._epoch not in (None, position.epoch):
            _LOG.error("the database has lost changes or is another one: every cached key is dropped")
            self._flush(0)
            self._floor = self._absent_floor = self._head = 0
            self._since = now
        self._epoch = position.epoch
        if position.seq > self._head:
            self._head, self._heard = position.seq, now

    def _flush(self, floor: int) -> None:
        self._found = Positives(self._settings.keys, self._counters)
        self._absent.clear()
        self._tombs.clear()
        self._floor = max(self._floor, floor)
        self._detach()

    def _detach(self) -> None:
        for flight in self._flights.values():
            flight.detached = True

    def _drop(self, digest: Digest) -> None:
        entry = self._found.pop(digest, None)
        if entry is not None:
            self._found.unindex(digest, entry)

    def __len__(self) -> int:
        """Return how many keys are cached."""
        return len(self._found)
