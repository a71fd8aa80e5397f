"""What a listener needs from a method of the data plane: raw bytes in, raw bytes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import grpc


@dataclass(frozen=True, slots=True)
class Refusal:
    """An RPC error: a code and a fixed text that is safe to send."""

    code: grpc.StatusCode
    text: str


WaitingT = TypeVar("WaitingT")


@dataclass(slots=True)
class Waiting(Generic[WaitingT]):
    """What `now` could not answer; `later` takes it back."""

    work: WaitingT


class Method(Protocol[WaitingT]):
    """
    One unary RPC of the data plane.

    No call raises an exception: a fault is rendered where its meaning is known. What is no exception to
    Python (a cancellation, an interrupt) may leave `later`; a listener answers it with `fault`.
    """

    path: str  # `/package.Service/Method`

    def now(self, payload: bytes) -> bytes | Refusal | Waiting[WaitingT]:
        """Answer without waiting, from any thread, or say that it takes waiting."""

    async def later(self, waiting: Waiting[WaitingT], budget: float) -> bytes | Refusal:
        """Answer on the event loop, within `budget` seconds."""

    def fault(self, error: BaseException) -> bytes | Refusal:
        """Render a fault of the listener itself: overload, a deadline, a bug."""
