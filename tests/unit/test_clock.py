"""The clock: the database's time, which an instance's own wrong one must not replace."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from authsvc.clock import DatabaseClock

SECOND = 1_000_000
DATABASE = 2_000_000_000 * SECOND


@dataclass
class Machine:
    """The machine's two clocks, in nanoseconds, in place of the module `time`."""

    wall: int = 1_900_000_000_000_000_000
    ticks: int = 5_000_000_000_000

    def time_ns(self) -> int:
        """Return the time of day."""
        return self.wall

    def monotonic_ns(self) -> int:
        """Return the ticks."""
        return self.ticks

    def monotonic(self) -> float:
        """Return the ticks in seconds."""
        return self.ticks / 1e9

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += int(seconds * 1e9)
        self.ticks += int(seconds * 1e9)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine of our own."""
    machine = Machine()
    monkeypatch.setattr("authsvc.clock.time", machine)
    return machine


def test_before_the_database_answers_it_is_the_machines_time(machine: Machine) -> None:
    """Nothing is decided by then; logs and the like need some time."""
    clock = DatabaseClock()
    machine.run(3)

    assert machine.wall // 1000 == clock.now()
    assert machine.ticks / 1e9 == clock.monotonic()


@pytest.mark.parametrize(
    "wall",
    [
        pytest.param(0, id="in-1970"),
        pytest.param(4_000_000_000_000_000_000, id="in-2096"),
        pytest.param(1_999_999_999_000_000_000, id="a-second-behind"),
    ],
)
def test_the_first_answer_replaces_the_machines_time(machine: Machine, wall: int) -> None:
    """In either direction, and counts on from when the question was sent."""
    machine.wall = wall
    clock = DatabaseClock()
    sent = clock.monotonic()
    machine.run(0.25)
    clock.anchor(DATABASE, sent)

    assert DATABASE + SECOND // 4 == clock.now()


def test_steps_of_the_machines_time_change_nothing(machine: Machine) -> None:
    """Only ticks are counted."""
    clock = DatabaseClock()
    clock.anchor(DATABASE, clock.monotonic())
    machine.wall -= 3600 * 10**9
    machine.ticks += 10**9

    assert DATABASE + SECOND == clock.now()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(-3600, 0, id="an-hour-back"),
        pytest.param(-1, 0, id="a-second-back"),
        pytest.param(0, 0, id="on-time"),
        pytest.param(1, 1, id="a-second-ahead"),
        pytest.param(3600, 3600, id="an-hour-ahead"),
    ],
)
def test_later_answers_only_advance_it(machine: Machine, step: int, expected: int) -> None:
    """A key once refused as expired stays refused, whatever the database's clock does."""
    clock = DatabaseClock()
    clock.anchor(DATABASE, clock.monotonic())
    machine.run(10)
    clock.anchor(DATABASE + (10 + step) * SECOND, clock.monotonic())

    assert DATABASE + (10 + expected) * SECOND == clock.now()


def test_it_never_steps_back_through_a_thousand_answers(machine: Machine) -> None:
    """Answers that were on their way for different times, from clocks that drift."""
    clock = DatabaseClock()
    clock.anchor(DATABASE, clock.monotonic())
    last = clock.now()
    for number in range(1_000):
        sent = clock.monotonic()
        machine.run((number * 37 % 500) / 1_000)
        seen = (clock.now(), clock.now())
        clock.anchor(DATABASE + machine.ticks // 1000 - 5_000 * SECOND + (number * 7919 % 2_000 - 1_000), sent)
        assert last <= seen[0] <= seen[1] <= clock.now()
        last = clock.now()


def test_a_key_that_was_refused_as_expired_stays_refused(machine: Machine) -> None:
    """Even when the database's clock is set back an hour behind its expiry."""
    clock = DatabaseClock()
    clock.anchor(DATABASE, clock.monotonic())
    expires = DATABASE + 5 * SECOND
    machine.run(5)
    refused = clock.now() >= expires
    for _ in range(100):
        machine.run(1)
        clock.anchor(DATABASE - 3600 * SECOND, clock.monotonic())

        assert clock.now() >= expires

    assert refused
