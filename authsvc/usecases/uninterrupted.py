"""Work that is finished even when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_RUNNING: set[asyncio.Task[Any]] = set()


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """
    Wait for the work; a caller that is cancelled leaves it running to its end.

    For what must not stop half-way: a change that is stored and not yet told to the cache.
    """
    task = asyncio.create_task(work)
    _RUNNING.add(task)  # the loop itself keeps weak references only
    task.add_done_callback(_finished)
    return await asyncio.shield(task)


def _finished(task: asyncio.Task[Any]) -> None:
    _RUNNING.discard(task)
    if not task.cancelled():
        task.exception()  # asked for, because nobody may be waiting any more
