"""Work that is finished even when nobody waits for it any more."""

from __future__ import annotations

import asyncio

import pytest

from authsvc.usecases.uninterrupted import uninterrupted


async def test_the_answer_comes_through() -> None:
    """Uncancelled, it is as if awaited, exceptions included."""

    async def fail() -> None:
        raise KeyError

    assert await uninterrupted(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(KeyError):
        await uninterrupted(fail())


async def test_a_fault_after_the_caller_left_is_nobodys() -> None:
    """The loop does not complain of an exception that was never asked for."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        raise KeyError

    call = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await asyncio.sleep(0.01)

    assert complaints == []
