"""The heartbeat: it asks for ever, believes no late answer, and lets no unfit database be served from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from authsvc.clock import DatabaseClock
from authsvc.domain.errors import StartupError, UnavailableError
from authsvc.heartbeat import BUDGET, FIRST_RETRY, LAST_RETRY, PERIOD, Heartbeat
from authsvc.ports import Head
from tests.support.builders import NOW
from tests.support.cache_world import World, position

ANSWERS, SILENT = "the database answers", "the database does not answer"
UNFIT = "pepper 'a' is not the one this database was made with"


class Patient:
    """A heartbeat in a world that stands still, with what it asked and told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admitted = 0
        self.refusal: BaseException | None = None
        self.told: list[bool] = []
        self.deaf: Exception | None = None
        clock = cast("DatabaseClock", world.clock)
        self.heart = Heartbeat(world.store, world.cache, clock, self._admit, self._tell)

    async def _admit(self) -> None:
        self.admitted += 1
        if self.refusal is not None:
            raise self.refusal

    async def _tell(self, answers: bool) -> None:  # noqa: FBT001 - as the heartbeat calls it
        self.told.append(answers)
        if self.deaf is not None:
            raise self.deaf

    def first(self) -> asyncio.Task[bool]:
        """Start the first beat."""
        return self.world.start(self.heart.first())

    def run(self) -> asyncio.Task[None]:
        """Beat from now on."""
        return self.world.start(self.heart.run())

    @property
    def beats(self) -> int:
        """Return how often the database was asked."""
        return len(self.world.store.heads)

    def answer(self, now: int = NOW, seq: int = 1) -> None:
        """Let the database answer the last question."""
        self.world.store.heads[-1].answer.set_result(Head(revision=position(seq), now=now))
        self.world.loop.turn()

    def fail(self, error: BaseException | None = None) -> None:
        """Let the last question fail."""
        self.world.store.heads[-1].fail(error)
        self.world.loop.turn()

    def until_next(self, step: float = 0.01, most: float = 60.0) -> float:
        """Let time pass until the database is asked again; return how long that took."""
        beats, started = self.beats, self.world.clock.seconds
        while self.beats == beats and self.world.clock.seconds < started + most:
            self.world.advance(step)
        return self.world.clock.seconds - started

    def alive(self) -> bool:
        """Whether the cache may be used."""
        try:
            self.world.cache.get(cast("Any", b""))
        except UnavailableError:
            return False
        return True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """A heartbeat that has not beaten, and draws no lots."""
    monkeypatch.setattr("authsvc.heartbeat.random.uniform", lambda _, high: high)
    with World(confirmed=False) as world:
        yield Patient(world)


def test_the_first_answer_opens_the_cache(patient: Patient) -> None:
    """Lease and clock are set to when the question was sent, and health hears of it."""
    first = patient.first()
    sent = patient.world.clock.seconds
    patient.world.advance(0.25)
    before = patient.alive()
    patient.answer()

    assert first.result()
    assert not before
    assert patient.alive()
    assert 0.25 == patient.world.cache.staleness
    assert [(NOW, sent)] == patient.world.clock.anchors
    assert [True] == patient.told


def test_a_database_is_admitted_once(patient: Patient) -> None:
    """What can be wrong with it is looked at on first contact, not every second."""
    patient.first()
    patient.answer()
    patient.run()
    for _ in range(3):
        patient.until_next()
        patient.answer()

    assert 1 == patient.admitted
    assert 4 == patient.beats
    assert [True] == patient.told


def test_an_unfit_database_at_the_start_is_an_error(patient: Patient) -> None:
    """The process exits with the reason."""
    patient.refusal = StartupError(UNFIT)
    first = patient.first()
    patient.answer()

    assert isinstance(first.exception(), StartupError)
    assert not patient.alive()
    assert [] == patient.told


@pytest.mark.parametrize("silent_first", [pytest.param(True, id="silent-before"), pytest.param(False, id="at-once")])
def test_an_unfit_database_later_is_told_once_and_never_served_from(
    patient: Patient, caplog: pytest.LogCaptureFixture, *, silent_first: bool
) -> None:
    """The operator hears the reason, also when the database was only silent before; the process goes on."""
    if silent_first:
        patient.first()
        patient.fail()
    patient.refusal = StartupError(UNFIT)
    running = patient.run()
    for _ in range(5):
        patient.until_next()
        patient.answer()

    assert not running.done()
    assert not patient.alive()
    assert [False] == patient.told
    assert ([SILENT] if silent_first else []) + [UNFIT] == caplog.messages
    assert 5 == patient.admitted


def test_an_unfit_database_that_is_repaired_is_served_from(patient: Patient) -> None:
    """As after `authsvc migrate`, without a restart."""
    patient.refusal = StartupError(UNFIT)
    patient.run()
    patient.until_next()
    patient.answer()
    patient.refusal = None
    patient.until_next()
    patient.answer()

    assert patient.alive()
    assert [False, True] == patient.told


def test_a_database_lost_while_it_is_admitted_is_asked_again(patient: Patient) -> None:
    """It has not been found fit."""
    patient.refusal = UnavailableError("gone")
    first = patient.first()
    patient.answer()
    after = patient.alive()
    patient.refusal = None
    patient.run()
    patient.until_next()
    patient.answer()

    assert not first.result()
    assert not after
    assert patient.alive()
    assert 2 == patient.admitted


def test_it_beats_every_second(patient: Patient) -> None:
    """From the end of one answer to the next question."""
    patient.first()
    patient.answer()
    patient.run()
    gaps = []
    for _ in range(5):
        gaps.append(patient.until_next())
        patient.answer()

    assert pytest.approx([PERIOD] * 5, abs=0.02) == gaps


def test_it_beats_early_but_never_late(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease counts on the period; a spread keeps processes from beating as one."""
    spans: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        spans.append((low, high))
        return low

    monkeypatch.setattr("authsvc.heartbeat.random.uniform", draw)
    patient.first()
    patient.answer()
    patient.run()

    assert pytest.approx(0.9 * PERIOD, abs=0.02) == patient.until_next()
    assert {(0.9, 1.0)} == set(spans)


@pytest.mark.parametrize("lost_at", [pytest.param("start", id="at-the-start"), pytest.param("later", id="later")])
def test_a_lost_database_is_asked_less_and_less_often(patient: Patient, lost_at: str) -> None:
    """A tenth of a second at first, doubled up to five, for ever; an answer brings the period back."""
    if lost_at == "later":
        patient.first()
        patient.answer()
    patient.run()
    patient.until_next()
    patient.fail()
    gaps = []
    for _ in range(9):
        gaps.append(patient.until_next())
        patient.fail()
    patient.until_next()
    patient.answer()
    expected = [min(FIRST_RETRY * 2**n, LAST_RETRY) for n in range(10)]
    # At the start the question that has just failed was the first retry.
    expected = expected[1:] if lost_at == "start" else expected[:9]

    assert pytest.approx(expected, abs=0.03) == gaps
    assert pytest.approx(PERIOD, abs=0.02) == patient.until_next()


def test_silence_is_told_once_and_its_end_too(patient: Patient, caplog: pytest.LogCaptureFixture) -> None:
    """One line each, however long it lasts."""
    caplog.set_level("INFO", "authsvc.heartbeat")
    patient.first()
    patient.answer()
    patient.run()
    for _ in range(4):
        patient.until_next()
        patient.fail()
    patient.until_next()
    patient.answer()

    assert [True, False, True] == patient.told
    assert [ANSWERS, SILENT, ANSWERS] == caplog.messages


def test_a_hung_question_is_given_up(patient: Patient) -> None:
    """After its budget, though the driver ignores that it was cancelled; the next one is asked meanwhile."""
    patient.first()
    patient.answer()
    patient.run()
    patient.until_next()
    hung = patient.world.store.heads[-1]
    patient.world.advance(BUDGET - 0.01)
    waiting = patient.told[-1]
    patient.world.advance(0.02)
    asked = patient.beats
    patient.until_next()
    patient.answer()

    assert waiting
    assert [True, False, True] == patient.told
    assert asked + 1 == patient.beats
    assert hung.answer.cancelled()


class Stubborn:
    """A store whose questions go on when they are cancelled, and fail in the end."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.running = 0

    async def head(self) -> Head:
        """Hold on to the connection as a frozen server does."""
        self.running += 1
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue
        self.running -= 1
        raise UnavailableError("at last")


def test_a_question_that_cannot_be_cancelled_blocks_nothing(patient: Patient) -> None:
    """And whatever becomes of it, nobody complains that it was not looked at."""
    stubborn = Stubborn()
    patient.heart._store = cast("Any", stubborn)
    first = patient.first()
    patient.world.advance(BUDGET + 0.01)
    given_up, still = first.done(), stubborn.running
    stubborn.release.set()
    patient.world.loop.turn()

    assert given_up
    assert not first.result()
    assert (1, 0) == (still, stubborn.running)
    assert [] == patient.world.loop.faults


def test_an_answer_that_comes_too_late_is_none(patient: Patient) -> None:
    """After the process stood still it would set the clock ahead by as long, for good."""
    first = patient.first()
    patient.world.clock.seconds += 600
    patient.answer()

    assert not first.result()
    assert not patient.alive()
    assert [] == patient.world.clock.anchors


def test_a_failed_beat_renews_nothing(patient: Patient) -> None:
    """The lease runs on from the last answer."""
    patient.first()
    patient.answer()
    patient.run()
    for _ in range(20):
        patient.until_next()
        patient.fail()

    assert patient.world.cache.staleness > 60
    assert not patient.alive()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("a bug"), id="bug"),
        pytest.param(TimeoutError(), id="timeout"),
        pytest.param(asyncio.CancelledError(), id="cancelled-inside"),
    ],
)
def test_nothing_makes_a_beat_the_last(patient: Patient, error: BaseException) -> None:
    """Whatever a question ends with, the next one is asked."""
    patient.first()
    patient.answer()
    running = patient.run()
    patient.until_next()
    patient.fail(error)
    patient.until_next()
    patient.answer()

    assert not running.done()
    assert [True, False, True] == patient.told
    assert patient.alive()


def test_a_listener_that_fails_does_not_end_the_beats(patient: Patient) -> None:
    """Health that cannot be set is no reason to lose the lease."""
    patient.deaf = ValueError("deaf")
    running = patient.run()
    for _ in range(4):
        patient.until_next()
        patient.answer()

    assert not running.done()
    assert 4 == patient.beats


def test_beating_ends_when_it_is_cancelled(patient: Patient) -> None:
    """In the middle of a question too, and takes that with it."""
    running = patient.run()
    patient.until_next()
    running.cancel()
    patient.world.loop.turn()

    assert running.cancelled()
    assert patient.world.store.heads[-1].answer.cancelled()
