"""
The cache's protocol as a state machine: one process, one database, everything in small steps.

The oracle does not look at how the cache works. Every version of a key carries a number, every answer
of the database says when it was given, and each answer to a request is held against what had been
acknowledged, committed and heard when that request *started*. Invariants by their names:

- I1 whoever starts after a change was acknowledged gets that version or a later one
- I2 nothing is answered from a read older than age and lease together allow, nor from a stale flight
- I3 of two requests, one after the other, the second never gets an older answer
- I4 what is cached is what the database held at its position
- I5 a fault is `UnavailableError`; "unknown" is an answer of the database, and young
- I6 nothing is answered from memory unless the database was heard from within the lease
- I7 everything is within its bound, and the index is what is cached
- I8 the database has at most so many loads at once, and one for a digest unless there is a reason
- I9 an expired key is refused, whatever is cached
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from authsvc.cache import CachedKeyStore
from authsvc.domain.decision import Bearer, check_status
from authsvc.domain.errors import UnavailableError
from authsvc.domain.keys import KeyRecord, Revision
from tests.support import builders
from tests.support.cache_model import Change, Database, Probe, Read, Request, violated
from tests.support.cache_world import Query, World, digest

S, T, TN, L = 8.0, 16.0, 4.0, 1.0
SPREAD = 1.1
ORGANIZATION = builders.record().organization_id
EXPIRES = builders.NOW + 1_040 * 1_000_000  # of key 1: 40 s after the start
OFTEN = (0, 0, 0, 0, 0, 1, 2)
NUMBERS = (0, 1, 2)  # two keys of one organization, and one that is still to be made
INDEX = st.integers(min_value=0, max_value=2)


def key_id(number: int) -> str:
    """Return the id of a key."""
    return f"key_{number}"


class CacheProtocol(RuleBasedStateMachine):
    """Rules that can happen in any order, and what must hold through all of them."""

    cache: ClassVar[type[CachedKeyStore]] = CachedKeyStore
    acknowledges_first: ClassVar[bool] = False  # before the cache has heard of the change

    @initialize(keys=st.sampled_from([1, 2, 50]), tombstones=st.sampled_from([1, 4, 50]), loads=st.sampled_from([1, 3]))
    def begin(self, keys: int, tombstones: int, loads: int) -> None:
        """Start a process with small bounds."""
        self.world = World(
            self.cache,
            confirmed=False,
            max_staleness=S,
            max_age=T,
            negative_age=TN,
            load_budget=L,
            keys=keys,
            negatives=1,
            loads=loads,
            waiting=3,
            tombstones=tombstones,
        )
        self.database = Database()
        self.reads: list[tuple[Query, Read]] = []
        self.given: list[Read] = []
        self.changes: list[Change] = []
        self.told_first: list[Change] = []
        self.probes: list[Probe] = []
        self.requests: list[Request] = []
        self.acknowledged: Counter[int] = Counter()
        self.announced = {0, 1}
        self.answered: dict[int, Revision] = {}
        self.heard = float("-inf")
        self.flying: dict[int, float] = {}  # when the load started that others can join
        self.beat()

    @property
    def now(self) -> float:
        """Return the time."""
        return self.world.clock.seconds

    # -- the database

    @precondition(lambda self: self.database.up)
    @rule(
        numbers=st.sampled_from([(0,), (0,), (0,), (0, 1), (2,), ()]),
        how=st.sampled_from(["elsewhere", "here", "here", "at once", "at once", "at once"]),
    )
    def change(self, numbers: tuple[int, ...], how: str) -> None:
        """Change a key, all of an organization, or something else; store the key that was not there."""
        creates = numbers == (2,) and 2 not in self.database.versions
        position = self.database.commit(*numbers)
        # Nobody hears of a key that another process has stored: it is new to all but whoever holds it.
        if how == "elsewhere":
            return
        targets = {0: ("key_else",), 1: tuple(map(key_id, numbers)), 2: (ORGANIZATION,)}[len(numbers)]
        versions = {number: self.database.versions[number] for number in numbers}
        self._committed(Change(position, versions, targets, creates))
        if how == "at once":
            self.tell(-1)

    def _committed(self, change: Change) -> None:
        self.changes.append(change)
        if self.acknowledges_first:
            self._acknowledge(change)

    def _acknowledge(self, change: Change) -> None:
        self.announced |= {2} if change.creates else set()
        for number, version in change.versions.items():
            self.acknowledged[number] = max(self.acknowledged[number], version)

    @precondition(lambda self: self.changes)
    @rule(index=INDEX)
    def tell(self, index: int) -> None:
        """Tell the cache of a change, in whatever order, and acknowledge it."""
        change = self.changes.pop(index % len(self.changes))
        if change.creates:
            self.world.cache.invalidate_absent(change.position, ())
        else:
            self.world.cache.invalidate(change.position, *change.targets)
        self._acknowledge(change)
        self.flying.clear()

    @rule(what=st.sampled_from(["up", "up", "down", "evict", "evict", "restore"]), number=st.sampled_from(OFTEN))
    def disturb(self, what: str, number: int) -> None:
        """Lose the database, get it or another one back, or need the room of a cached key."""
        if what == "evict":
            self.world.cache._drop(digest(number))
        elif what == "restore" and self.database.up:
            self.database.restore()
        else:
            # What it has answered may still arrive.
            self.database.up = what != "down"

    # -- loads

    @precondition(lambda self: self.world.store.open)
    @rule(index=INDEX, how=st.sampled_from(["read", "deliver", "deliver", "deliver", "fail"]))
    def answer(self, index: int, how: str) -> None:
        """Let a question go a step further."""
        query = self.world.store.open[index % len(self.world.store.open)]
        read = next((read for other, read in self.reads if other is query), None)
        if how == "fail":
            query.fail()
        elif read is None or how == "read":
            if read is None:
                self._read(query)
            return
        else:
            self._deliver(query, read)
        self.reads = [pair for pair in self.reads if pair[0] is not query]
        self.flying.pop(int.from_bytes(query.digests[0], "big"), None)
        self._settle()

    def _read(self, query: Query) -> None:
        if self.database.up:
            number = int.from_bytes(query.digests[0], "big")
            found = Read(number, self.now, self.database.position, self.database.versions.get(number))
            self.reads.append((query, found))

    def _deliver(self, query: Query, read: Read) -> None:
        epoch = self.world.cache._epoch
        self.given.append(read)
        self.heard = max(self.heard, query.sent)
        record = None if read.version is None else self._record(read)
        query.found(record, read.position.seq, read.position.epoch)
        self._settle()
        if epoch != self.world.cache._epoch:
            self.flying.clear()

    def _record(self, read: Read) -> KeyRecord:
        return builders.record(
            id=key_id(read.number),
            organization_id=ORGANIZATION,
            expires_at=EXPIRES if read.number == 1 else None,
            metadata={"version": str(read.version), "given": str(self.given.index(read))},
        )

    @rule()
    def refresh(self) -> None:
        """Load anew what is in use, as every second."""
        self.world.start(self.world.cache.refresh())
        self._settle()

    # -- the heartbeat

    @precondition(lambda self: len(self.probes) < 2)
    @rule()
    def send_probe(self) -> None:
        """Ask the database whether it is there; it may never see that."""
        self.probes.append(Probe(self.now, self.database.position if self.database.up else None))

    @precondition(lambda self: self.probes)
    @rule(index=INDEX, after=st.sampled_from([0.0, 0.25, 8.25]))
    def end_probe(self, index: int, after: float) -> None:
        """Let the answer arrive, perhaps long after it was given, or give up."""
        self.advance(after, beats=False)
        probe = self.probes.pop(index % len(self.probes))
        if probe.head is None:
            self.world.cache.lost()
        else:
            self._hear(probe.head, probe.sent)

    @rule()
    def beat(self) -> None:
        """Do all three at once."""
        if self.database.up:
            self._hear(self.database.position, self.now)
        else:
            self.world.cache.lost()

    def _hear(self, head: Revision, sent: float) -> None:
        self.world.cache.confirm(head, sent)
        self.heard = max(self.heard, sent)
        self.flying.clear()

    # -- time

    @rule(seconds=st.sampled_from([0.25, 0.25, 0.25, 0.5, 1.0, 8.25, 34.0]), beats=st.booleans())
    def advance(self, seconds: float, *, beats: bool) -> None:
        """Let time pass."""
        self.world.clock.seconds += seconds
        self._settle()
        if beats:
            self.beat()

    # -- requests

    @rule(
        number=st.sampled_from(OFTEN),
        how=st.sampled_from(["", "at least", "patiently", "read", "read", "deliver", "deliver"]),
    )
    def request(self, number: int, how: str) -> None:
        """Ask for a key; where that makes a question, let that come as far as it is told."""
        asked = len(self.world.store.loads)
        self._request(number, how)
        if len(self.world.store.loads) > asked and how in ("read", "deliver"):
            self.answer(-1, "read")
            if how == "deliver":
                self.answer(-1, "deliver")

    def _request(self, number: int, how: str) -> None:
        # As of a revision that the caller has from somewhere, or not.
        revision = self.database.position if how == "at least" else None
        joined = self.world.counters.joined
        owed = (self.acknowledged[number], self.answered.get(number), self.heard, number in self.announced)
        task = self.world.ask_patiently(number) if how == "patiently" else self.world.ask(number, revision)
        self.requests.append(Request(number, self.now, *owed, revision, task, waited=not task.done()))
        if not task.done() and joined == self.world.counters.joined:
            if how not in ("at least", "patiently") and self.now - self.flying.get(number, float("-inf")) < L:
                violated("I8", "a load that could have been joined")
            self.flying[number] = self.now
        self._settle()

    def _settle(self) -> None:
        self.world.loop.turn()
        ended = [request for request in self.requests if request.task.done()]
        self.requests = [request for request in self.requests if not request.task.done()]
        for request in ended:
            self._judge(request)

    def _judge(self, request: Request) -> None:
        error = request.task.exception()
        if error is not None:
            if not isinstance(error, UnavailableError):
                violated("I5", f"a request failed with {error!r}")
            return
        bearer = request.task.result()
        if bearer is None:
            self._judge_absence(request)
        else:
            self._judge_bearer(request, bearer)
        if not request.waited and request.started - request.heard > S:
            violated("I6", f"answered from memory {request.started - request.heard} s after the last word")

    def _judge_absence(self, request: Request) -> None:
        if request.exists:
            violated("I1", "a key that exists is unknown")
        allowed = L if request.waited else TN + L
        absences = [read for read in self.given if read.number == request.number and read.version is None]
        if not any(read.at >= request.started - allowed for read in absences):
            violated("I5", "unknown, and the database did not say so")

    def _judge_bearer(self, request: Request, bearer: Bearer) -> None:
        metadata, as_of = bearer.record.metadata, bearer.as_of
        if int(metadata["version"]) < request.acknowledged:
            violated("I1", f"version {metadata['version']} after {request.acknowledged} was acknowledged")
        age = request.started - self.given[int(metadata["given"])].at
        if age > (L if request.waited else T * SPREAD + S):
            violated("I2", f"answered from a read {age} s old")
        if request.answered and request.answered.epoch == as_of.epoch and request.answered.seq > as_of.seq:
            violated("I3", f"answered as of {as_of.seq} after {request.answered.seq}")
        if request.at_least and (request.at_least.epoch != as_of.epoch or request.at_least.seq > as_of.seq):
            violated("I3", f"answered as of {as_of} to one who knows {request.at_least}")
        expired = bearer.record.expires_at is not None and self.world.clock.now() >= bearer.record.expires_at
        if expired and check_status(bearer, builders.attempt(now=self.world.clock.now())) is None:
            violated("I9", "an expired key is let through")
        before = self.answered.get(request.number)
        if before is None or (before.epoch, before.seq) < (as_of.epoch, as_of.seq):
            self.answered[request.number] = as_of

    # -- what holds all the time

    @invariant()
    def cached_is_what_was_stored(self) -> None:
        """Hold every entry against the past."""
        for of, entry in self.world.cache._found.items():
            number, bearer = int.from_bytes(of, "big"), entry.bearer
            if str(self.database.past[bearer.as_of].get(number)) != bearer.record.metadata["version"]:
                violated("I4", f"key {number} was not so at {bearer.as_of.seq}")

    @invariant()
    def bounds_hold(self) -> None:
        """Count everything that could grow."""
        cache, settings = self.world.cache, self.world.settings
        index = {of for target in cache._found.index for of in cache._found.under(target)}
        if len(cache) > settings.keys or len(cache._absent) > settings.negatives or index != set(cache._found):
            violated("I7", "entries")
        if len(cache._tombs) > settings.tombstones or not all(cache._found.index.values()):
            violated("I7", "tombstones or index")
        if cache._running > settings.loads + settings.waiting or len(cache._flights) > cache._running:
            violated("I7", "flights")
        if len(self.world.store.open) > settings.loads:
            violated("I8", "loads at once")

    def teardown(self) -> None:
        """End the process; nothing may have failed unseen."""
        if hasattr(self, "world"):
            with self.world:
                pass
