"""Refusals are written down one by one, then as counts, and always within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from authsvc import refusals
from authsvc.domain.administration import Actor, Page
from authsvc.domain.audit import AuditEvent
from authsvc.domain.errors import UnavailableError
from authsvc.ports import AuditFilter, Refusal
from authsvc.refusals import BURST, BURST_OF_ALL, MERGED, MERGED_EVERY, WAITING, Refusals
from authsvc.telemetry import AuditCounters
from tests.support.doors import until
from tests.support.fakes import FakeClock
from tests.support.stored import ACTOR, key_id

PLAIN = Refusal(actor=ACTOR, action="key.revoke", target_kind="key", target_id=key_id(1), reason="no such key")


@dataclass
class FakeTrail:
    """Keeps what `ports.AuditStore` promises; `fail` loses the database, `broken` is a bug."""

    written: list[list[Refusal]] = field(default_factory=list)
    fail: bool = False
    broken: int = 0

    async def write_refusals(self, refusals: Any) -> None:
        """Write refusals down."""
        if self.broken:
            self.broken -= 1
            raise RuntimeError("canary")
        if self.fail:
            raise UnavailableError("the database is not available")
        if refusals:
            self.written.append(list(refusals))

    async def list_audit_events(self, where: AuditFilter, limit: int, after: int | None) -> Page[AuditEvent]:
        """Nothing here lists."""
        raise NotImplementedError


@dataclass
class Scene:
    """Refusals over a fake trail and a clock that stands still."""

    trail: FakeTrail = field(default_factory=FakeTrail)
    clock: FakeClock = field(default_factory=FakeClock)
    counters: AuditCounters = field(default_factory=AuditCounters)

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.refusals = Refusals(self.trail, self.clock.monotonic, self.counters)

    def flood(self, number: int, **changes: Any) -> None:
        """Refuse the same thing many times."""
        for _ in range(number):
            self.refusals.note(replace(PLAIN, **changes))

    async def written(self) -> list[Refusal]:
        """Write what is due, and return all that was written."""
        while await self.refusals.flush() and self.refusals._waiting:
            pass
        return [refusal for batch in self.trail.written for refusal in batch]


def caller(number: int) -> Actor:
    """Return one of many callers."""
    return replace(ACTOR, key_id=key_id(number))


async def test_the_first_ones_are_written_as_they_are() -> None:
    """Who, from where, what, under which request, and why."""
    scene = Scene()
    scene.flood(BURST)

    assert [PLAIN] * BURST == await scene.written()


async def test_what_comes_faster_is_counted() -> None:
    """One event a minute for a caller and an action; what differed between them is left out."""
    scene = Scene()
    scene.flood(BURST)
    scene.flood(1000)
    scene.flood(500, action="key.create", actor=replace(ACTOR, address="192.0.2.9"))
    scene.flood(1, action="key.create")

    at_once = await scene.written()
    scene.clock.seconds += MERGED_EVERY
    later = (await scene.written())[len(at_once) :]

    anybody = replace(ACTOR, request_id="")
    assert len(at_once) == BURST
    assert later == [
        replace(PLAIN, actor=anybody, target_id="", count=1000),
        replace(PLAIN, actor=replace(anybody, address=""), target_id="", action="key.create", count=501),
    ]
    assert scene.counters.merged == 1501


async def test_after_a_while_they_are_written_one_by_one_again() -> None:
    """At a steady pace, ten a minute."""
    scene = Scene()
    scene.flood(BURST + 5)
    await scene.written()

    scene.clock.seconds += 12.5
    scene.flood(5)

    assert len(await scene.written()) == BURST + 2


async def test_many_callers_share_a_bound() -> None:
    """Whoever holds many keys cannot fill the trail with them either."""
    scene = Scene()
    for number in range(10_000):
        scene.refusals.note(replace(PLAIN, actor=caller(number)))

    at_once = len(await scene.written())
    scene.clock.seconds += MERGED_EVERY
    counts = (await scene.written())[at_once:]

    assert at_once == BURST_OF_ALL
    assert len(counts) == MERGED + 1
    assert sum(refusal.count for refusal in counts) == 10_000 - BURST_OF_ALL
    assert (counts[-1].actor.key_id, counts[-1].action) == ("", refusals.FOLDED)
    assert len(scene.refusals._callers) <= refusals.CALLERS


async def test_a_day_of_flood_is_a_bounded_number_of_events() -> None:
    """Whatever is refused, and however often."""
    scene = Scene()
    for _ in range(60):
        scene.flood(200)
        scene.clock.seconds += 1
        await scene.written()

    events = await scene.written()
    assert len(events) <= BURST + 10 + 1
    assert sum(event.count for event in events) + sum(r.count for r in scene.refusals._merged.values()) == 60 * 200


async def test_a_lost_database_costs_no_count() -> None:
    """They wait, in bounded memory, and are written when it is back."""
    scene = Scene()
    scene.trail.fail = True
    for number in range(3 * WAITING):
        scene.clock.seconds += 1.0
        scene.refusals.note(replace(PLAIN, actor=caller(number)))
        await scene.refusals.flush()
    assert scene.counters.write_failures == 3 * WAITING
    assert len(scene.refusals) <= WAITING + 2 * (MERGED + 1)

    scene.trail.fail = False
    scene.clock.seconds += MERGED_EVERY
    written = await scene.written()

    assert sum(refusal.count for refusal in written) == 3 * WAITING
    assert written[0].actor == caller(0)


async def test_what_is_left_is_written_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the background every second, and counts before their time at the end; a bug is survived."""
    monkeypatch.setattr(refusals, "TICK", 0.001)
    scene = Scene()
    scene.trail.broken = 1
    async with scene.refusals.running():
        scene.flood(1)
        await until(lambda: bool(scene.trail.written))
        scene.flood(BURST + 5)

    assert sum(refusal.count for batch in scene.trail.written for refusal in batch) in (BURST + 5, BURST + 6)
    assert len(scene.refusals) == 0


async def test_a_lost_database_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """What is lost is told."""
    scene = Scene()
    scene.trail.fail = True
    async with scene.refusals.running():
        scene.flood(1)

    assert "not in the audit trail" in caplog.text
