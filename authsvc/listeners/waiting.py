"""What every listener does with a call that must wait: how many, for how long, and that it is answered."""

from __future__ import annotations

import asyncio
from typing import Any

from authsvc.domain.errors import UnavailableError
from authsvc.servicers.method import Method, Refusal, Waiting
from authsvc.telemetry import ListenerCounters

# Seconds. We report a timeout before the caller gives up, and start nothing that cannot end in time.
DEADLINE_MARGIN = 0.020
LEAST_BUDGET = 0.005
LONGEST_BUDGET = 2.0
MAX_WAITING = 512


def budget_of(remaining: float | None) -> float:
    """Return the seconds for a call whose caller waits for `remaining` more, or did not say."""
    return LONGEST_BUDGET if remaining is None else min(remaining - DEADLINE_MARGIN, LONGEST_BUDGET)


async def answer_within(
    method: Method[Any], waiting: Waiting[Any], budget: float, counters: ListenerCounters
) -> bytes | Refusal:
    """Answer on the event loop within `budget` seconds, or say that it was too late."""
    if budget < LEAST_BUDGET:
        counters.late += 1
        return method.fault(UnavailableError("the deadline is too close"))
    answer: bytes | Refusal | None = None
    counters.in_flight += 1
    try:
        async with asyncio.timeout(budget + DEADLINE_MARGIN) as bound:
            answer = await method.later(waiting, budget)
    except TimeoutError:
        if not bound.expired():
            raise
    finally:
        counters.in_flight -= 1
    if answer is None or asyncio.get_running_loop().time() > (bound.when() or 0):
        # Whatever was found, it comes too late to be acted on.
        counters.late += 1
        return method.fault(UnavailableError("the deadline has passed"))
    return answer


def given_up(error: BaseException) -> bool:
    """Whether the call itself was given up: what is cancelled elsewhere still leaves a client waiting for an answer."""
    task = asyncio.current_task()
    return isinstance(error, GeneratorExit) or (
        isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    )
