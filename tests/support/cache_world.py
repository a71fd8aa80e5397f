"""
A cache whose surroundings stand still until a test moves them.

Time is a number, the database answers when it is told to, and the event loop reads that same time:
nothing in here sleeps, and nothing depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.domain.api import Api
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.ports import Absent, Head, Loaded
from authsvc.telemetry import CacheCounters
from tests.support import builders

T = TypeVar("T")

EPOCH = builders.REVISION.epoch
OTHER_EPOCH = "00000000-0000-0000-0000-000000000002"
MICROS = 1_000_000


def digest(number: int) -> Digest:
    """Return a digest; equal for equal numbers."""
    return Digest(number.to_bytes(32, "big"))


def position(seq: int, epoch: str = EPOCH) -> Revision:
    """Return a position of the change log."""
    return Revision(epoch=epoch, seq=seq)


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.ahead = 0.0  # of the time of day, against the monotonic one
        self.anchors: list[tuple[Micros, float]] = []

    def now(self) -> Micros:
        """Return the time of day."""
        return builders.NOW + int((self.seconds + self.ahead) * MICROS)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds

    def anchor(self, database_now: Micros, sent: float) -> None:
        """Note what it was set to."""
        self.anchors.append((database_now, sent))


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that lives in a `FakeClock`'s time and runs only when told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.faults: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        """Return the fake time."""
        return self._clock.seconds

    def turn(self) -> None:
        """Run everything that can run now."""
        while True:
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined] # there is no public way to ask
                return


@dataclass
class Query:
    """One question the database has and has not answered."""

    digests: Sequence[Digest]
    sent: float
    answer: asyncio.Future[Any] = field(repr=False)

    def found(self, record: KeyRecord | None, seq: int = 1, epoch: str = EPOCH, also: tuple[str, ...] = ()) -> None:
        """Answer it."""
        self.answer.set_result(Loaded(record=record, as_of=position(seq, epoch), also=also))

    def fail(self, error: BaseException | None = None) -> None:
        """Let it fail."""
        self.answer.set_exception(error or UnavailableError("the database is not available"))


class HandStore:
    """A `KeyStore` that keeps every question until the test answers it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.loads: list[Query] = []
        self.heads: list[Query] = []

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Keep the question."""
        loaded: Loaded = await self._keep(self.loads, digests)
        return loaded

    async def head(self) -> Head:
        """Keep the question."""
        head: Head = await self._keep(self.heads, ())
        return head

    async def _keep(self, kept: list[Query], digests: Sequence[Digest]) -> Any:
        query = Query(digests, self._clock.seconds, asyncio.get_running_loop().create_future())
        kept.append(query)
        return await query.answer

    @property
    def open(self) -> list[Query]:
        """Return the loads that are not answered."""
        return [query for query in self.loads if not query.answer.done()]


class World:
    """One process's cache in front of a `HandStore`; `confirmed` tells whether the database was heard of."""

    def __init__(
        self,
        cache: type[CachedKeyStore] = CachedKeyStore,
        *,
        confirmed: bool = True,
        api: Api | None = None,
        **bounds: Any,
    ) -> None:
        self.clock = FakeClock()
        self.loop = SteppedLoop(self.clock)
        self.store = HandStore(self.clock)
        self.counters = CacheCounters()
        self.settings = CacheSettings(**bounds)
        self.api = api or builders.api()
        self.cache = cache(self.store, self._bearer, self.clock, self.settings, self.counters)
        if confirmed:
            self.cache.confirm(position(1), self.clock.seconds)

    def _bearer(self, record: KeyRecord, as_of: Revision) -> Bearer | None:
        return bearer_of(record, self.api, as_of) if record.api == self.api.name else None

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work in the loop and let it go as far as it can."""
        task = self.loop.create_task(work)
        # Whether it is looked at is the test's business; what the cache itself starts is the cache's.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self.loop.turn()
        return task

    def ask(
        self, number: int = 0, at_least: Revision | None = None, budget: float = 60.0
    ) -> asyncio.Task[Bearer | None]:
        """Ask as a door does: what is known, else what the database says."""
        return self.start(self._ask(digest(number), budget, at_least))

    def ask_patiently(self, number: int = 0, budget: float = 60.0) -> asyncio.Task[Bearer | None]:
        """Ask as the administration does: what the database says, whatever is known."""
        return self.start(self.cache.fetch((digest(number),), budget, None, patient=True))

    async def _ask(self, of: Digest, budget: float, at_least: Revision | None) -> Bearer | None:
        known = self.cache.get(of)
        if at_least is None and known is not None:
            return None if isinstance(known, Absent) else known
        return await self.cache.fetch((of,), budget, at_least)

    def loop_tasks(self) -> set[asyncio.Task[Any]]:
        """Return every task that has not ended."""
        return asyncio.all_tasks(self.loop)

    def advance(self, seconds: float) -> None:
        """Let time pass, then whatever that made due."""
        self.clock.seconds += seconds
        self.loop.turn()

    def load(self, number: int = 0, seq: int = 1, also: tuple[str, ...] = (), **changes: Any) -> Bearer | None:
        """Ask for a key that is not cached, and answer."""
        task = self.ask(number)
        query = self.store.loads[-1]
        query.found(builders.record(**changes), seq, also=also)
        self.loop.turn()
        assert [digest(number)] == list(query.digests)
        return task.result()

    def junk(self, number: int, seq: int = 1) -> None:
        """Ask for a key that does not exist."""
        task = self.ask(number)
        self.store.loads[-1].found(None, seq)
        self.loop.turn()
        assert task.result() is None

    def confirm(self, seq: int = 1, epoch: str = EPOCH) -> None:
        """Let the heartbeat hear from the database, this instant."""
        self.cache.confirm(position(seq, epoch), self.clock.seconds)

    def close(self) -> None:
        """End what still runs."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.turn()
        self.loop.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """End; nothing may have failed where nobody looks."""
        self.close()
        assert failure is not None or not self.loop.faults


def refused(task: asyncio.Task[Any]) -> bool:
    """Whether a request ended as unavailable: neither a bearer nor "unknown"."""
    return task.done() and isinstance(task.exception(), UnavailableError)
