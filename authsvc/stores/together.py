"""
Changes of one process that share a transaction.

All changes queue for the position, and whoever has it holds it until the commit has reached the disk. Those that come
meanwhile take it together and wait for one commit. docs/decisions/0059 tells what that is worth.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from authsvc.domain.administration import Actor
from authsvc.stores.change import Work

T = TypeVar("T")

# Of one transaction, for whose end everybody else waits, in other processes too.
MOST = 16  # changes
HOLD = 0.25  # seconds, by what the last one took


class RefusedError(Exception):
    """A change raised what is its cause, and nothing of its transaction was stored."""


@dataclass(slots=True, eq=False)
class Wanted(Generic[T]):
    """A change that somebody waits for. `work` only writes, within the change's transaction: it may be done again."""

    actor: Actor
    work: Work[T]
    events: int  # audit rows that it writes
    until: float = 0.0  # when it is too late to begin, in monotonic seconds
    taken: bool = False  # it is being made
    alone: bool = False  # it, or one beside it, was refused
    made: asyncio.Future[T] = field(init=False, default_factory=lambda: asyncio.get_running_loop().create_future())

    def give_up(self) -> None:
        """Tell that it was too late to begin, unless it is being made."""
        if not self.taken:
            self.fail(TimeoutError())

    def fail(self, error: BaseException) -> None:
        """Tell that it was not made, or that nobody knows, if somebody waits still."""
        if not self.made.done():
            self.made.set_exception(error)


class Together:
    """
    Puts changes together. How many wait is bounded by the administration's calls.

    `commit` makes changes in one transaction and returns what they return; it raises `RefusedError` when one of them
    cannot be made. `start` runs the work that leads. `patience` is how many seconds a change waits until it is begun.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Wanted[Any]]], Awaitable[Sequence[Any]]],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        patience: float,
    ) -> None:
        self._commit = commit
        self._start = start
        self._patience = patience
        self._waiting: deque[Wanted[Any]] = deque()
        self._leader: asyncio.Task[None] | None = None
        self._most = MOST

    async def make(self, wanted: Wanted[T]) -> T:
        """Make a change, alone or with others. Raises what it raises, and `TimeoutError` when it was not begun."""
        wanted.until = time.monotonic() + self._patience
        late = asyncio.get_running_loop().call_later(self._patience, wanted.give_up)
        self._waiting.append(wanted)
        if self._leader is None or self._leader.done():
            self._leader = self._start(self._lead())
        try:
            return await wanted.made
        finally:
            late.cancel()

    async def _lead(self) -> None:
        while group := self._next():
            began = time.monotonic()
            await self._make(group)
            each = (time.monotonic() - began) / len(group)
            self._most = max(1, min(MOST, int(HOLD / each) if each else MOST))

    def _next(self) -> Sequence[Wanted[Any]]:
        group: list[Wanted[Any]] = []
        while self._waiting and len(group) < self._most:
            if group and (self._waiting[0].alone or group[0].alone):
                break
            wanted = self._waiting.popleft()
            if time.monotonic() >= wanted.until:
                wanted.give_up()
            if not wanted.made.done():
                wanted.taken = True
                group.append(wanted)
        return group

    async def _make(self, group: Sequence[Wanted[Any]]) -> None:
        try:
            results = await self._commit(group)
        except RefusedError as error:
            self._refused(group, error.__cause__ or error)
        except Exception as error:  # noqa: BLE001 - it is told to those who wait
            for wanted in group:
                wanted.fail(error)
        except BaseException:
            for wanted in group:
                wanted.made.cancel()
            raise
        else:
            for wanted, result in zip(group, results, strict=True):
                if not wanted.made.done():
                    wanted.made.set_result(result)

    def _refused(self, group: Sequence[Wanted[Any]], error: BaseException) -> None:
        if len(group) == 1:
            group[0].fail(error)
            return
        # By one of them. Only each by itself leaves the others alone; they go on with the time that they have left.
        for wanted in reversed(group):
            wanted.taken, wanted.alone = False, True
            self._waiting.appendleft(wanted)
