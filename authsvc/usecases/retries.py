"""Safe retries: what was done once is recalled, and what another change has overtaken is begun anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from authsvc.domain.administration import Actor
from authsvc.domain.errors import (
    AdministratorsChangedError,
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
)
from authsvc.ports import Recalled, Registry
from authsvc.usecases.uninterrupted import uninterrupted

T = TypeVar("T")
P = TypeVar("P")

ATTEMPTS = 5  # at a change that others overtake

# What a call may meet because the same call was made a moment ago.
_CHANGED = (AdministratorsChangedError, ConflictError)
_OVERTAKEN = (*_CHANGED, AlreadyExistsError, FailedPreconditionError, NotFoundError)


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


async def current(
    prepare: Callable[[], Awaitable[P]], store: Callable[[P], Coroutine[Any, Any, T]], *, version: str
) -> T:
    """
    Prepare a change of what there is now, and store it; begin anew where another change came in between.

    A caller that means one version is told instead.
    """
    for _ in range(ATTEMPTS - 1):
        prepared = await prepare()
        try:
            return await uninterrupted(store(prepared))
        except _CHANGED:
            if version:
                raise
    return await uninterrupted(store(await prepare()))
