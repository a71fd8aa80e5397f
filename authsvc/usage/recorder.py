"""Counts decisions in memory. `record` is on every request's way; everything else is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import TypeVar

from authsvc.domain.api import Api
from authsvc.domain.decision import Bearer, Sender
from authsvc.domain.keys import Micros
from authsvc.domain.network import parse_address
from authsvc.domain.routes import Route
from authsvc.domain.usage import ALLOW, DAY, MAX_ROUTE, MINUTE, Tally, Use, agent_class, floor
from authsvc.telemetry import UsageCounters

HeldT = TypeVar("HeldT")
KeyT = TypeVar("KeyT")

SORT_AT = 256  # cells of one thread
FLUSH_AT = 10_000  # distinct counters
MOST = 50_000  # distinct counters; from there on the key is no longer told apart
SPARE = 5_000  # more of them, for what is counted without its key
_LONGEST_ADDRESS = 64  # characters that are looked at; more than any address has

_What = tuple[Bearer | None, Api | None, Route | None, str | None]


class _Cell:
    """How often, and with which address and User-Agent, as they came, the first time."""

    __slots__ = ("address", "count", "user_agent")

    def __init__(self, address: str | None, user_agent: str | None) -> None:
        self.count = 1
        self.address = address
        self.user_agent = user_agent


_Cells = dict[_What, _Cell]


class _Slate:
    """Where one thread counts. Only that thread writes into `cells` and sets `busy`."""

    __slots__ = ("busy", "cells")

    def __init__(self) -> None:
        self.busy = False
        self.cells: _Cells = {}


def _nobody() -> None:
    """Stand where nobody flushes."""


class Recorder:
    """
    Counts decisions, by the minute.

    `record` may be called by any thread, each of which counts on a slate of its own, so that there is
    neither a lock on a request's way nor an addition that another thread could undo. `collect` hands
    every thread empty cells and sorts the full ones, those of a busy thread the next time: a thread
    says that it is busy before it looks for its cells, so one that is not will find the empty ones.

    No clock is read for a request either: what is collected belongs to the minute of the collection
    before, and there is one at the turn of each minute. Of a key's uses between two collections any
    may be taken for the last.

    Memory is bounded. Beyond `MOST` counters new ones are folded: they are counted without their key,
    at last by outcome and day alone. No count is ever dropped.
    """

    def __init__(
        self, now: Callable[[], Micros], counters: UsageCounters, most: int = MOST, spare: int = SPARE
    ) -> None:
        self._now = now
        self._counters = counters
        self._most = most
        self._spare = spare
        self._slates: dict[int, _Slate] = {}
        self._collecting = threading.Lock()
        self._collected = now()
        self._full: list[tuple[_Slate, _Cells, Micros]] = []
        self._counts: dict[Tally, int] = {}
        self._uses: dict[str, Use] = {}
        self.on_full: Callable[[], None] = _nobody

    def record(
        self,
        bearer: Bearer | None,
        api: Api | None,
        route: Route | None,
        reason: str | None,
        sender: Sender | None,
    ) -> None:
        """Count one decision; `reason` is that of a refusal, None for an allow. All else is None where not known."""
        slate = self._slates.get(get_ident()) or self._slates.setdefault(get_ident(), _Slate())
        what = (bearer, api, route, reason)
        slate.busy = True
        cell = slate.cells.get(what)
        if cell is not None:
            cell.count += 1
            slate.busy = False
            return
        slate.cells[what] = (
            _Cell(None, None) if api is None or sender is None else _Cell(sender.address(api), sender.agent())
        )
        slate.busy = False
        if len(slate.cells) >= SORT_AT:
            self.collect()

    def collect(self) -> None:
        """Sort what was counted, unless another thread is at it."""
        if self._collecting.acquire(blocking=False):
            try:
                self._collect()
            finally:
                self._collecting.release()

    def take(self, most: int) -> tuple[dict[Tally, int], dict[str, Use]]:
        """Remove and return up to so many counters, and so many last uses, the oldest first."""
        with self._collecting:
            return _taken(self._counts, most), _taken(self._uses, most)

    def __len__(self) -> int:
        """Return how many counters wait to be stored."""
        return len(self._counts)

    @property
    def full(self) -> bool:
        """Whether so many counters wait that they should be stored now."""
        return len(self._counts) >= FLUSH_AT

    @property
    def empty(self) -> bool:
        """Whether nothing waits, here or on a slate."""
        return not (self._counts or self._uses or self._full or any(s.cells for s in list(self._slates.values())))

    def _collect(self) -> None:
        minute, now, was_full = floor(self._collected, MINUTE), self._now(), self.full
        for slate in list(self._slates.values()):
            if slate.cells:
                full, slate.cells = slate.cells, {}
                self._full.append((slate, full, minute))
        waiting, self._full = self._full, []
        for slate, cells, at in waiting:
            if slate.busy:
                self._full.append((slate, cells, at))
            else:
                self._sort(cells, at, now)
        self._collected = now
        if self.full and not was_full:
            self.on_full()

    def _sort(self, cells: _Cells, minute: Micros, now: Micros) -> None:
        for (bearer, api, route, reason), cell in cells.items():
            organization_id = key_id = ""
            if bearer is not None:
                organization_id, key_id = bearer.record.organization_id, bearer.record.id
                if reason is None:
                    self._use(key_id, Use(now, _address(cell.address), agent_class(cell.user_agent)))
            self._count(
                Tally(
                    minute,
                    "" if api is None else api.name,
                    organization_id,
                    key_id,
                    "" if route is None else route.name[:MAX_ROUTE],
                    ALLOW if reason is None else str(reason),
                ),
                cell.count,
            )

    def _count(self, tally: Tally, count: int) -> None:
        counts = self._counts
        if tally not in counts and len(counts) >= self._most:
            self._counters.folded += count
            tally = tally._replace(organization_id="", key_id="")
            if tally not in counts and len(counts) >= self._most + self._spare:
                tally = Tally(floor(tally.start, DAY), "", "", "", "", tally.outcome)
        counts[tally] = counts.get(tally, 0) + count

    def _use(self, key_id: str, use: Use) -> None:
        if key_id in self._uses or len(self._uses) < self._most:
            self._uses[key_id] = use
        else:
            self._counters.uses_dropped += 1


def _address(text: str | None) -> str:
    return "" if text is None else _canonical(text[:_LONGEST_ADDRESS])


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    address = parse_address(text)
    return "" if address is None else str(address)


def _taken(held: dict[KeyT, HeldT], most: int) -> dict[KeyT, HeldT]:
    return {key: held.pop(key) for key in list(held)[:most]}
