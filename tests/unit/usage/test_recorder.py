"""The recorder: every decision is counted once, whoever records, and memory has an end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from authsvc.domain.reasons import Reason
from authsvc.domain.usage import DAY, MINUTE, floor
from authsvc.telemetry import UsageCounters
from authsvc.usage.recorder import FLUSH_AT, SORT_AT, Recorder, _Cell, _Slate
from tests.support.builders import NOW, route
from tests.support.fakes import FakeClock
from tests.support.stored import key_id
from tests.support.usage import SHOP, bearer, caller, tally, use

THINGS = route()


@pytest.fixture
def clock() -> FakeClock:
    """A time of day that is set by hand."""
    return FakeClock()


@pytest.fixture
def counters() -> UsageCounters:
    """What became of usage."""
    return UsageCounters()


@pytest.fixture
def recorder(clock: FakeClock, counters: UsageCounters) -> Recorder:
    """An empty recorder with little room: ten counters, and five without keys."""
    return Recorder(clock.now, counters, most=10, spare=5)


def allow(recorder: Recorder, number: int = 1, address: str = "192.0.2.1", agent: str = "curl/8.0") -> None:
    """Record an allowed request of a key."""
    recorder.record(bearer(number), SHOP, THINGS, None, caller(address, agent))


def test_decisions_are_told_apart(recorder: Recorder) -> None:
    """By key, API, route and outcome; what is not known is empty."""
    known = bearer()
    recorder.record(known, SHOP, THINGS, None, caller("192.0.2.1", "curl/8.0"))
    recorder.record(known, SHOP, THINGS, None, caller("192.0.2.1", "curl/8.0"))
    recorder.record(known, SHOP, THINGS, Reason.INSUFFICIENT_SCOPE, None)
    recorder.record(None, SHOP, None, Reason.INVALID_KEY, None)
    recorder.record(None, None, None, Reason.BAD_REQUEST, None)
    recorder.collect()

    nobody = tally(organization_id="", key_id="", route="")
    assert recorder.take(100)[0] == {
        tally(): 2,
        tally(outcome="insufficient_scope"): 1,
        nobody._replace(outcome="invalid_key"): 1,
        nobody._replace(api="", outcome="bad_request"): 1,
    }


def test_a_key_that_was_loaded_again_is_the_same_key(recorder: Recorder) -> None:
    """Counters are by id, not by the object that the cache happens to hold."""
    allow(recorder)
    allow(recorder)
    recorder.collect()

    assert recorder.take(100)[0] == {tally(): 2}


def test_the_last_allowed_request_is_the_last_use(recorder: Recorder, clock: FakeClock) -> None:
    """With its address and class of client, at the time of sorting; refusals are no use."""
    allow(recorder, address="192.0.2.1", agent="curl/8.0")
    allow(recorder, address="::ffff:192.0.2.2", agent="Mozilla/5.0 (X11)")
    recorder.record(bearer(), SHOP, THINGS, Reason.RATE_LIMITED, caller("192.0.2.3", "python-requests/2"))
    recorder.record(bearer(2), SHOP, THINGS, Reason.RATE_LIMITED, caller("192.0.2.3", "python-requests/2"))
    clock.micros += 1_000_000
    recorder.collect()

    assert recorder.take(100)[1] == {key_id(1): use(at=NOW + 1_000_000, address="192.0.2.2", agent="browser")}


@pytest.mark.parametrize("address", [None, "", "not an address", "1" * 1000, "10.0.0.1:80"])
def test_only_addresses_are_kept(recorder: Recorder, address: str | None) -> None:
    """A header's text that is none is not stored."""
    recorder.record(bearer(), SHOP, THINGS, None, caller(address, None))
    recorder.collect()

    assert recorder.take(1)[1] == {key_id(1): use(address="", agent="")}


def test_decisions_belong_to_the_minute_they_were_taken_in(recorder: Recorder, clock: FakeClock) -> None:
    """What is sorted at the turn of a minute was decided before it."""
    allow(recorder)
    clock.micros = floor(NOW, MINUTE) + MINUTE
    recorder.collect()
    allow(recorder)
    recorder.collect()

    assert recorder.take(100)[0] == {tally(): 1, tally(start=clock.micros): 1}


def test_many_counters_are_collected_without_being_asked(clock: FakeClock, counters: UsageCounters) -> None:
    """What one thread keeps is bounded."""
    recorder = Recorder(clock.now, counters)
    for number in range(SORT_AT - 1):
        allow(recorder, number)
    before = len(recorder)
    allow(recorder, SORT_AT)

    assert (before, len(recorder)) == (0, SORT_AT)


def test_cells_of_a_busy_thread_wait(recorder: Recorder) -> None:
    """What a thread may be writing to is read once it no longer can; it is in no other minute for that."""
    allow(recorder)
    (slate,) = recorder._slates.values()
    slate.busy = True
    recorder.collect()
    before = len(recorder)
    slate.busy = False
    recorder.collect()

    assert (before, recorder.take(10)[0]) == (0, {tally(): 1})
    assert recorder.empty


def test_counters_beyond_the_bound_are_folded(recorder: Recorder, counters: UsageCounters) -> None:
    """First without their key, at last by day and outcome; every decision is still counted."""
    for number in range(12):
        allow(recorder, number)
    for number in range(7):
        recorder.record(None, SHOP, route(path=f"/{number}"), None, None)
    recorder.collect()
    counts, _ = recorder.take(100)

    nobody = tally(organization_id="", key_id="")
    assert sum(counts.values()) == 19
    assert counts[nobody] == 2
    assert counts[nobody._replace(start=floor(NOW, DAY), api="", route="")] == 3
    assert (len(counts), counters.folded) == (10 + 5 + 1, 9)


def test_folded_counters_do_not_grow_with_time(recorder: Recorder, clock: FakeClock) -> None:
    """However long the database is away: one more counter a day and outcome, at most."""
    for number in range(20):
        allow(recorder, number)
    recorder.collect()
    for _ in range(600):
        allow(recorder)
        clock.micros += MINUTE
        recorder.collect()

    assert len(recorder) <= 10 + 5 + 2


def test_last_uses_are_bounded(recorder: Recorder, counters: UsageCounters) -> None:
    """Those of more keys than there is room for are dropped, and that is counted."""
    for number in range(13):
        allow(recorder, number)
    recorder.collect()

    assert (len(recorder.take(100)[1]), counters.uses_dropped) == (10, 3)


def test_a_full_recorder_asks_to_be_emptied(clock: FakeClock, counters: UsageCounters) -> None:
    """Before the time has come, and once: who cannot empty it is not asked again and again."""
    asked: list[bool] = []
    recorder = Recorder(clock.now, counters)
    recorder.on_full = lambda: asked.append(True)
    for number in range(FLUSH_AT):
        allow(recorder, number)
    for _ in range(3):
        recorder.collect()
        allow(recorder)
    recorder.take(FLUSH_AT)
    recorder.collect()

    assert (recorder.full, asked) == (False, [True])


class _Shared(Recorder):
    """A control arm: one slate for all threads."""

    def record(self, *what: object) -> None:
        slate = self._slates.setdefault(0, _Slate())
        slate.busy = True
        cell = slate.cells.setdefault((None, None, None, None), _Cell(None, None))
        cell.count = self._one_more(cell)
        slate.busy = False

    def _one_more(self, cell: _Cell) -> int:
        return cell.count + 1


class _Careless(_Slate):
    """A control arm: a slate that never says that it is busy."""

    busy = property(lambda _: False, lambda *_: None)  # type: ignore[assignment]  # as it is meant


@pytest.fixture
def _hurried() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


THREADS, TIMES = 4, 20_000


def counted_by_threads(kind: Callable[..., Recorder], clock: FakeClock) -> int:
    """Record from several threads while another collects and takes; return how many decisions were counted."""
    recorder = kind(clock.now, UsageCounters())
    known, taken = bearer(), 0

    def work() -> None:
        for _ in range(TIMES):
            recorder.record(known, SHOP, THINGS, None, caller("192.0.2.1", "curl/8.0"))

    def take() -> int:
        recorder.collect()
        return sum(recorder.take(10)[0].values())

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += take()
    for thread in threads:
        thread.join()
    while not recorder.empty:
        taken += take()
    return taken


@pytest.mark.usefixtures("_hurried")
def test_threads_lose_and_double_nothing(clock: FakeClock) -> None:
    """Each decision of each thread is counted once."""
    assert THREADS * TIMES == counted_by_threads(Recorder, clock)


@pytest.mark.usefixtures("_hurried")
def test_threads_would_lose_on_one_slate(clock: FakeClock) -> None:
    """The control arm: this test would see that threads undo each other's additions."""
    assert THREADS * TIMES != counted_by_threads(_Shared, clock)


@pytest.mark.usefixtures("_hurried")
def test_threads_would_lose_if_they_were_not_waited_for(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control arm: this test would see that cells are read before they are complete."""
    monkeypatch.setattr("authsvc.usage.recorder._Slate", _Careless)

    assert THREADS * TIMES != counted_by_threads(Recorder, clock)
