"""What was kept long enough is removed in the background, whatever goes wrong in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from authsvc import housekeeping
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import Micros, Revision
from authsvc.housekeeping import BATCH, Housekeeping
from authsvc.ports import Head, Loaded

DATABASE_NOW = 1_000_000


@dataclass
class FakeExpiring:
    """Has so many rows that are past their time, of one kind."""

    rows: int = 0
    asked: list[Micros] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def head(self) -> Head:
        """Tell the database's time."""
        return Head(revision=Revision(epoch="", seq=0), now=DATABASE_NOW)

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Nothing here asks."""
        raise NotImplementedError

    async def remove_expired(self, now: Micros, most: int) -> int:
        """Remove some, or fail."""
        self.asked.append(now)
        if self.faults:
            raise self.faults.pop()
        removed = min(self.rows, most)
        self.rows -= removed
        self.enough.set()
        return removed


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pauses out."""
    for name in ("PAUSE", "EVERY"):
        monkeypatch.setattr(housekeeping, name, 0.0)


async def test_a_sweep_goes_on_until_nothing_is_left() -> None:
    """In batches, by the database's time, whatever this machine's is."""
    store = FakeExpiring(rows=2 * BATCH + 1)
    await Housekeeping(store).sweep()

    assert (0, [DATABASE_NOW] * 3) == (store.rows, store.asked)


@pytest.mark.parametrize(
    ("fault", "level", "told"),
    [
        pytest.param(
            UnavailableError("a password"),
            logging.WARNING,
            "what is past its time could not be removed; it is tried again",
            id="no-database",
        ),
        pytest.param(
            RuntimeError("a password"),
            logging.ERROR,
            "what is past its time cannot be removed: RuntimeError",
            id="a-bug",
        ),
    ],
)
async def test_a_fault_is_not_the_end(
    caplog: pytest.LogCaptureFixture, fault: Exception, level: int, told: str
) -> None:
    """It is told without its text, and the next sweep comes."""
    store = FakeExpiring(faults=[fault])
    async with Housekeeping(store).running():
        await asyncio.wait_for(store.enough.wait(), 5)

    assert [("authsvc.housekeeping", level, told)] == caplog.record_tuples
