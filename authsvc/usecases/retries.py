"""Safe retries by `request_id`: what was done once is recalled, not done again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from authsvc.domain.administration import Actor
from authsvc.domain.errors import AlreadyExistsError, ConflictError, FailedPreconditionError, NotFoundError
from authsvc.ports import Recalled, Registry

T = TypeVar("T")

# What a call may meet because the same call was made a moment ago.
_OVERTAKEN = (AlreadyExistsError, ConflictError, FailedPreconditionError, NotFoundError)


async def once(
    registry: Registry,
    actor: Actor,
    work: Callable[[], Awaitable[T]],
    recall: Callable[[Recalled], Awaitable[T]],
) -> T:
    """
    Do the work, or tell what an earlier call under the actor's request id has left behind.

    The work is asked for last: an earlier call has changed what it would find.
    """
    if not actor.request_id:
        return await work()
    earlier = await registry.recall(actor)
    if earlier is None:
        try:
            return await work()
        except _OVERTAKEN:
            earlier = await registry.recall(actor)
            if earlier is None:
                raise
    return await recall(earlier)
