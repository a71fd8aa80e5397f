"""Who shares a transaction, in which order, and what each is told. The transaction is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from authsvc.stores.change import Change
from authsvc.stores.together import HOLD, MOST, RefusedError, Together, Wanted
from tests.support.stored import ACTOR

LONG = 10.0  # seconds


@dataclass
class FakeClock:
    """Stands still unless a transaction takes its time."""

    seconds: float = 1000.0

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds


class FakeCommit:
    """Holds every transaction until it is told to go on, and then takes so many seconds of the test's time."""

    def __init__(self, clock: FakeClock) -> None:
        self.groups: list[list[str]] = []
        self.go = asyncio.Event()
        self.refuses: set[str] = set()
        self.fault: BaseException | None = None
        self.takes = 0.0
        self._clock = clock

    async def __call__(self, group: Sequence[Wanted[Any]]) -> Sequence[Any]:
        """Make the changes, when told to."""
        names = [wanted.work.__name__ for wanted in group]
        self.groups.append(names)
        await self.go.wait()
        self._clock.seconds += self.takes
        if self.fault is not None:
            raise self.fault
        bad = self.refuses.intersection(names)
        if bad:
            raise RefusedError from ValueError(*bad)
        return [f"{name} made" for name in names]


def wanted(name: str) -> Wanted[str]:
    """Return a change of this name."""

    async def work(_: Change) -> str:
        raise AssertionError

    work.__name__ = name
    return Wanted(ACTOR, work, 1)


class World:
    """A fake transaction and those who wait for theirs, in the order in which they came."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.commit = FakeCommit(clock)
        self.leaders: list[asyncio.Task[None]] = []
        self.together = Together(self.commit, self.start, LONG)
        self.tasks: dict[str, asyncio.Task[str]] = {}

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the work of a leader."""
        self.leaders.append(asyncio.create_task(work))
        return self.leaders[-1]

    async def ask(self, *names: str) -> None:
        """Ask for changes, and let everything run that can."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self.together.make(wanted(name)))
        for _ in range(5):
            await asyncio.sleep(0)

    async def answers(self) -> dict[str, object]:
        """Let every transaction go on; return what each was told."""
        self.commit.go.set()
        told = await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return dict(zip(self.tasks, told, strict=True))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose time the test makes pass."""
    clock = FakeClock()
    monkeypatch.setattr("authsvc.stores.together.time", clock)
    return World(clock)


def made(*names: str) -> dict[str, object]:
    """Return what is told of changes that were made."""
    return {name: f"{name} made" for name in names}


async def test_one_that_comes_alone_is_made_at_once(world: World) -> None:
    """Nobody waits for others to come."""
    await world.ask("a")

    assert [["a"]] == world.commit.groups
    assert made("a") == await world.answers()


async def test_those_that_come_meanwhile_go_together(world: World) -> None:
    """In the order in which they came, once the first is done."""
    await world.ask("a")
    await world.ask("b", "c", "d")

    assert [["a"]] == world.commit.groups
    assert made("a", "b", "c", "d") == await world.answers()
    assert [["a"], ["b", "c", "d"]] == world.commit.groups


async def test_a_transaction_is_bounded(world: World) -> None:
    """The rest goes with the next one."""
    names = [f"n{number}" for number in range(2 * MOST)]
    await world.ask("first")
    await world.ask(*names)

    assert made("first", *names) == await world.answers()
    assert [["first"], names[:MOST], names[MOST:]] == world.commit.groups


async def test_one_that_is_refused_leaves_the_others_alone(world: World) -> None:
    """None was made, so each is made by itself, before those that came later; only its own caller is told."""
    world.commit.refuses = {"c"}
    await world.ask("a")
    await world.ask("b", "c", "d")
    world.commit.go.set()
    await world.ask("e", "f")
    told = await world.answers()

    assert isinstance(told.pop("c"), ValueError)
    assert made("a", "b", "d", "e", "f") == told
    assert [["a"], ["b", "c", "d"], ["b"], ["c"], ["d"], ["e", "f"]] == world.commit.groups


async def test_a_slow_transaction_makes_the_next_ones_smaller(world: World) -> None:
    """Others wait for its end, in other processes too: it is bounded by time as well."""
    world.commit.takes = HOLD / 4
    await world.ask("a")
    await world.ask(*"bcdefgh")
    await world.answers()

    assert [["a"], ["b", "c", "d", "e"]] == world.commit.groups[:2]


async def test_it_is_made_however_slow(world: World) -> None:
    """One by one where already one takes longer than all may."""
    world.commit.takes = 2 * HOLD
    await world.ask("a")
    await world.ask("b", "c")

    assert made("a", "b", "c") == await world.answers()
    assert [["a"], ["b"], ["c"]] == world.commit.groups


async def test_a_transaction_that_fails_is_told_to_all_of_it(world: World) -> None:
    """And is not tried again: perhaps it was committed. The next one goes on."""
    world.commit.fault = OSError("gone")
    await world.ask("a")
    await world.ask("b", "c")
    told = await world.answers()
    world.commit.fault = None
    world.tasks.clear()
    await world.ask("d")

    assert {OSError} == {type(one) for one in told.values()}
    assert [["a"], ["b", "c"], ["d"]] == world.commit.groups
    assert made("d") == await world.answers()


async def test_who_leads_may_be_cancelled(world: World) -> None:
    """At the end of the process: nobody waits for ever, and whoever comes still is led by another."""
    await world.ask("a")
    world.leaders[0].cancel()
    await asyncio.wait(world.leaders)
    gone = world.tasks.pop("a")
    await world.ask("b")

    assert made("b") == await world.answers()
    assert gone.cancelled()


async def test_whose_turn_does_not_come_is_told_and_never_made(world: World) -> None:
    """It was not begun, so that its caller can rely on it. It is so for many at once, too."""
    late = [f"late{number}" for number in range(2 * MOST)]
    await world.ask("a")
    await world.ask(*late)
    world.commit.takes = LONG
    told = await world.answers()
    world.commit.takes = 0.0
    world.tasks.clear()
    await world.ask("new")

    assert {name for name in told if isinstance(told[name], TimeoutError)} == {*late}
    assert [["a"], ["new"]] == world.commit.groups
    assert made("new") == await world.answers()


async def test_one_that_was_refused_with_others_keeps_its_patience(world: World) -> None:
    """Being made again takes no longer than waiting would: a slow database does not make it sixteen times as long."""
    world.commit.refuses = {"b"}
    world.commit.takes = 0.6 * LONG
    await world.ask("b", "c", "d", "e")
    told = await world.answers()

    assert [ValueError, TimeoutError, TimeoutError, TimeoutError] == [type(told[name]) for name in "bcde"]
    assert [["b", "c", "d", "e"], ["b"]] == world.commit.groups


async def test_its_patience_ends_though_the_leader_hangs(world: World) -> None:
    """Nobody comes to those who wait behind it, and they are told."""
    world.together = Together(world.commit, world.start, patience=0.001)
    await world.ask("a")
    await world.ask("b")

    with pytest.raises(TimeoutError):
        await world.tasks.pop("b")
    assert made("a") == await world.answers()


@pytest.mark.parametrize("begun", [False, True], ids=["waits", "is-under-way"])
async def test_one_that_is_given_up_holds_up_nobody(world: World, *, begun: bool) -> None:
    """Before its turn it is passed over; under way it is made, and nobody is told."""
    for name in ("b", "a", "c") if begun else ("a", "b", "c"):
        await world.ask(name)
    gone = world.tasks.pop("b")
    gone.cancel()
    told = await world.answers()

    assert made("a", "c") == told
    assert gone.cancelled()
    assert ([["b"], ["a", "c"]] if begun else [["a"], ["c"]]) == world.commit.groups
