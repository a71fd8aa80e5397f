"""What the cache keeps: its bounds, its entries, the loads under way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from authsvc.domain.decision import Bearer
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.telemetry import CacheCounters


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


Target = str | Digest


@dataclass(slots=True)
class Entry:
    """A cached key. Times are seconds of the monotonic clock."""

    bearer: Bearer
    others: tuple[Digest, ...]  # under which it may be stored too
    also: tuple[str, ...]  # the ids of `Loaded.also`
    expires: float
    touched: float  # when it was last moved to the young end

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is dropped with it: ids whose changes concern it, and digests under which a second record may come."""
        return (*targets_of(self.bearer.record, self.also), *self.others)


@dataclass(slots=True)
class Flight:
    """One load in progress."""

    digests: Sequence[Digest]
    started: float
    patience: float  # how long it may wait for its turn; whoever joins it is no more patient
    proven: bool  # a key is cached under its digest, so it is no junk
    task: asyncio.Task[Answer] = field(init=False)
    asked: bool = False  # the database has the question
    detached: bool = False  # an invalidation came after its start: nobody new may join
    superseded: bool = False  # a later load of the same digest was started: nothing of it is kept
    least: int = 0  # the newest position that an overtaken load of the digest has answered as of


Answer = tuple[Bearer | None, Revision]  # what a load found, and as of when


class Positives(OrderedDict[Digest, Entry]):
    """
    The LRU, the least recently used first, with an index from what entries are dropped with to their digests.

    An `OrderedDict` itself, because `get` is then one atomic step that needs no lock, and because a
    library's cache around one takes a quarter of what a key may take.
    """

    def __init__(self, size: int, counters: CacheCounters) -> None:
        super().__init__()
        self._size = size
        # Most ids have one digest, and a set of one is large.
        self.index: dict[Target, Digest | set[Digest]] = {}
        self._counters = counters

    def under(self, target: Target) -> tuple[Digest, ...]:
        """Return the digests of the entries that have this target."""
        held = self.index.get(target, ())
        return (held,) if isinstance(held, bytes) else tuple(held)

    def enter(self, digest: Digest, entry: Entry) -> None:
        """Add an entry that is not there, and drop the oldest ones for it."""
        while len(self) >= self._size:
            oldest, evicted = self.popitem(last=False)
            self._counters.evictions += 1
            self.unindex(oldest, evicted)
        self[digest] = entry
        for target in entry.targets:
            held = self.index.setdefault(target, digest)
            if isinstance(held, set):
                held.add(digest)
            elif held != digest:
                self.index[target] = {held, digest}

    def unindex(self, digest: Digest, entry: Entry) -> None:
        """Forget where an entry is found that was taken out."""
        for target in entry.targets:
            held = self.index.get(target)
            if isinstance(held, set):
                held.discard(digest)
                if len(held) == 1:
                    self.index[target] = held.pop()
            elif held == digest:
                del self.index[target]


def targets_of(record: KeyRecord, also: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids whose changes concern a record, each once: `also` are those of the text's other records."""
    return (record.id, record.organization_id, *(id_ for id_ in set(also) if id_ != record.organization_id))
