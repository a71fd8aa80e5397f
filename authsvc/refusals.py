"""Writes down what authenticated callers were refused: within bounds, and never in anybody else's way."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from authsvc.background import beside
from authsvc.domain.administration import Actor
from authsvc.domain.errors import UnavailableError
from authsvc.ports import AuditStore, Refusal
from authsvc.telemetry import AuditCounters

_LOG = logging.getLogger(__name__)

BURST = 10  # refusals of one caller that are written down one by one
PACE = 1 / 6  # more of them a second
BURST_OF_ALL = 100  # likewise, of all callers together
PACE_OF_ALL = 1.0

WAITING = 1000  # refusals that wait to be written one by one
BATCH = 20  # of them in one transaction: changes wait for it
MERGED = 100  # kinds of refusals that are counted, by caller and action
CALLERS = 1000  # whose allowance is remembered

# Seconds.
TICK = 1.0  # between transactions
MERGED_EVERY = 60.0  # between counts of one kind
LAST = 2.0  # for what is left at the end

_EVERYBODY = Actor(key_id="", organization_id="", address="", request_id="")
FOLDED = "admin.call"  # the action of what is counted for many callers together


@dataclass(slots=True)
class _Allowance:
    """So many at once, then at a steady pace."""

    left: float
    at: float

    def take(self, now: float, burst: float, pace: float) -> bool:
        """Take one, if there is one."""
        self.left = min(burst, self.left + (now - self.at) * pace)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Refusals:
    """
    Takes refusals on the event loop, keeps them in bounded memory, and writes them a second later.

    The first ones of a caller are written one by one; what comes faster than its allowance is counted by
    caller and action, and written as one event a minute. So a flood of refusals costs a bounded number of
    events. After a commit that nobody heard of, events may be written twice.
    """

    def __init__(self, store: AuditStore, monotonic: Callable[[], float], counters: AuditCounters) -> None:
        self._store = store
        self._monotonic = monotonic
        self._counters = counters
        self._waiting: deque[Refusal] = deque()
        self._merged: dict[tuple[str, str], Refusal] = {}
        self._merged_due = 0.0
        self._callers: OrderedDict[str, _Allowance] = OrderedDict()
        self._all = _Allowance(BURST_OF_ALL, monotonic())

    def note(self, refusal: Refusal) -> None:
        """Take one refusal; does not wait."""
        if len(self._waiting) < WAITING and self._allowed(refusal.actor.key_id):
            self._waiting.append(refusal)
        else:
            self._merge(refusal)

    async def flush(self, *, everything: bool = False) -> bool:
        """Write some of what waits, with the counts when it is their time; False when the database did not take it."""
        if self._merged and (everything or self._monotonic() >= self._merged_due) and len(self._waiting) < WAITING:
            self._waiting.extend(self._merged.values())
            self._merged = {}
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
        if not batch:
            return True
        try:
            await self._store.write_refusals(batch)
        except Exception as error:
            self._counters.write_failures += 1
            self._waiting.extendleft(reversed(batch))
            if not isinstance(error, UnavailableError):
                raise
            return False
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in the background, and what is left at the end."""
        try:
            async with beside(self._run()):
                yield
        finally:
            await self._finish()

    def __len__(self) -> int:
        """Return how many events wait to be written."""
        return len(self._waiting) + len(self._merged)

    def _allowed(self, key_id: str) -> bool:
        now = self._monotonic()
        own = self._callers.setdefault(key_id, _Allowance(BURST, now))
        self._callers.move_to_end(key_id)
        if len(self._callers) > CALLERS:
            self._callers.popitem(last=False)
        return own.take(now, BURST, PACE) and self._all.take(now, BURST_OF_ALL, PACE_OF_ALL)

    def _merge(self, refusal: Refusal) -> None:
        self._counters.merged += 1
        kind = (refusal.actor.key_id, refusal.action)
        if kind not in self._merged and len(self._merged) >= MERGED:
            kind = ("", FOLDED)
            refusal = replace(refusal, actor=_EVERYBODY, action=FOLDED, target_kind="", reason="of many callers")
        if not self._merged:
            self._merged_due = self._monotonic() + MERGED_EVERY
        before = self._merged.get(kind)
        self._merged[kind] = _together(before, refusal)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                while await self.flush() and self._waiting:
                    pass
            except Exception as error:  # noqa: BLE001 - a bug must not make this the last time
                _LOG.error("refusals cannot be written down: %s", type(error).__name__)

    async def _finish(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST):
                while len(self):
                    if not await self.flush(everything=True):
                        break
        if len(self):
            _LOG.error("refusals of the last moments are not in the audit trail: the database did not take them")


def _together(before: Refusal | None, refusal: Refusal) -> Refusal:
    # What differs between them is not told: one target, one request, one address.
    actor = replace(refusal.actor, request_id="", body=b"")
    if before is None:
        return replace(refusal, actor=actor, target_id="")
    address = actor.address if actor.address == before.actor.address else ""
    return replace(before, actor=replace(before.actor, address=address), count=before.count + refusal.count)
