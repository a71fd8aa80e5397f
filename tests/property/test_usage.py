"""Usage: whatever happens between a decision and its row, the sums are the same."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.reasons import Reason
from authsvc.domain.usage import MINUTE
from authsvc.telemetry import UsageCounters
from authsvc.usage.flusher import Flusher
from authsvc.usage.recorder import Recorder
from tests.support.builders import route
from tests.support.fakes import FakeClock
from tests.support.usage import SHOP, FakeUsageStore, bearer

BEARERS = [None, *(bearer(number) for number in range(5))]
ROUTES = [None, *(route(path=path) for path in ("/a", "/b", "/c"))]
REASONS = [None, Reason.RATE_LIMITED]

record = st.tuples(
    st.just("record"), st.sampled_from(BEARERS), st.sampled_from(ROUTES), st.sampled_from(REASONS), st.integers(1, 5)
)
event = st.sampled_from(["collect", "flush", "lose", "forget", "minute", "busy"]).map(lambda name: (name,))


@given(st.lists(st.one_of(record, event), max_size=40))
def test_what_was_recorded_is_stored_or_waits(happens: list[tuple[object, ...]]) -> None:
    """Under any order of decisions, flushes, failures before and after the commit, minutes and busy threads."""
    clock, store, counters = FakeClock(), FakeUsageStore(), UsageCounters()
    recorder = Recorder(clock.now, counters, most=4, spare=2)
    ids = itertools.count()
    flusher = Flusher(recorder, store, clock, lambda: str(next(ids)), counters)

    async def happen(name: object, *details: object) -> int:
        if name == "record":
            who, where, reason, times = details
            for _ in range(times):  # type: ignore[call-overload]  # as drawn
                recorder.record(who, SHOP, where, reason, None)  # type: ignore[arg-type]  # as drawn
            return times  # type: ignore[return-value]  # as drawn
        recorder.collect()
        store.fail, store.forget = name == "lose", name == "forget"
        if name in ("flush", "lose", "forget"):
            await flusher.flush()
        for slate in recorder._slates.values():
            slate.busy = name == "busy"
        clock.micros += MINUTE if name == "minute" else 1
        return 0

    async def run() -> int:
        total = 0
        for what in happens:
            total += await happen(*what)
            assert total == sum(store.counts.values()) + waiting(recorder, flusher, store)
        store.fail = store.forget = False
        for slate in recorder._slates.values():
            slate.busy = False
        await flusher.finish()
        return total

    recorded = asyncio.run(run())

    assert recorded == sum(store.counts.values())
    assert recorder.empty


def waiting(recorder: Recorder, flusher: Flusher, store: FakeUsageStore) -> int:
    """Return how many decisions are in memory and not in the database."""
    unsure = flusher._unsure
    kept = 0 if unsure is None or unsure.id in store.ids else sum(unsure.counts.values())
    cells = [slate.cells for slate in recorder._slates.values()] + [cells for _, cells, _ in recorder._full]
    return kept + sum(recorder._counts.values()) + sum(cell.count for each in cells for cell in each.values())
