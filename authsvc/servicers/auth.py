"""AuthService: the door for backends. A denial is a response; RPC errors are for faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from authsvc_client.v1.auth_service_pb2 import (
    AuthenticateRequest,
    AuthorizeRequest,
    BatchAuthorizeError,
    BatchAuthorizeItem,
    BatchAuthorizeRequest,
    BatchAuthorizeResult,
)
from google.protobuf.message import DecodeError, Message

from authsvc.domain.api import Apis
from authsvc.domain.decision import Deny, Outcome
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.question import Question, Settled
from authsvc.ports import RecordUsage, uncounted
from authsvc.servicers import auth_answers, auth_wire, faults
from authsvc.servicers.decision_ids import DecisionIds
from authsvc.servicers.method import Method, Refusal, Waiting
from authsvc.telemetry import DecisionCounters
from authsvc.usecases.authorize import Authorize, Miss

MAX_BATCH = 100
_MAX_CORRELATION_ID = 64  # bytes

RequestT = TypeVar("RequestT", bound=AuthenticateRequest | AuthorizeRequest)
MessageT = TypeVar("MessageT", bound=Message)


class AuthDoor:
    """What the three methods share: asking, counting, and the decision's message."""

    def __init__(
        self,
        apis: Apis,
        authorize: Authorize,
        counters: DecisionCounters,
        stale: Callable[[], bool],
        record: RecordUsage = uncounted,
    ) -> None:
        self.apis = apis
        self._record = record
        self._authorize = authorize
        self._counters = counters
        self._stale = stale
        self._ids = DecisionIds()

    def ask(self, question: Question | Settled) -> Outcome | Miss:
        """Answer without waiting, or say what must be loaded."""
        if isinstance(question, Settled):
            return Outcome(api=question.api, decision=question.decision, bearer=None, route=question.route)
        return self._authorize.now(question)

    async def wait(self, miss: Miss, budget: float) -> Outcome:
        """Load and answer."""
        return await self._authorize.later(miss, budget)

    def respond(self, outcome: Outcome) -> bytes:
        """Count the decision and put it into words: an AuthorizeResponse, or an AuthenticateResponse."""
        decision = outcome.decision
        reason = decision.reason.value if isinstance(decision, Deny) else None
        self._counters.count("" if outcome.api is None else outcome.api.name, reason or "ok")
        self._record(outcome.bearer, outcome.api, outcome.route, reason, outcome.sender)
        return auth_answers.response(outcome, self._ids.next(), stale=self._stale())


def refusal(error: BaseException) -> Refusal:
    """Return a fault as an RPC error with a text that is safe to send."""
    faults.report(error)
    return Refusal(*faults.status_of(error))


class Single(Generic[RequestT]):
    """`Authenticate` or `Authorize`: one question, one answer."""

    def __init__(
        self,
        door: AuthDoor,
        path: str,
        request: type[RequestT],
        read: Callable[[Apis, RequestT], Question | Settled],
    ) -> None:
        self.path = path
        self._door = door
        self._request = request
        self._read = read

    def now(self, payload: bytes) -> bytes | Refusal | Waiting[Miss]:
        """See `Method`."""
        try:
            answer = self._door.ask(self._read(self._door.apis, _parse(self._request, payload)))
            if isinstance(answer, Miss):
                return Waiting(answer)
            return self._door.respond(answer)
        except Exception as error:  # noqa: BLE001 - every fault has one table
            return refusal(error)

    async def later(self, waiting: Waiting[Miss], budget: float) -> bytes | Refusal:
        """See `Method`."""
        try:
            outcome = await self._door.wait(waiting.work, budget)
            return self._door.respond(outcome)
        except Exception as error:  # noqa: BLE001 - every fault has one table
            return refusal(error)

    def fault(self, error: BaseException) -> Refusal:
        """See `Method`."""
        return refusal(error)


Batch = list[tuple[str, Outcome | Miss | Exception]]


class BatchAuthorize:
    """Many questions, each with its own answer or its own error; none fails the others."""

    path = "/authsvc.v1.AuthService/BatchAuthorize"

    def __init__(self, door: AuthDoor) -> None:
        self._door = door

    def now(self, payload: bytes) -> bytes | Refusal | Waiting[Batch]:
        """See `Method`."""
        try:
            batch = [self._ask(item) for item in _items(payload)]
            if any(isinstance(answer, Miss) for _, answer in batch):
                return Waiting(batch)
            return self._respond(batch)
        except Exception as error:  # noqa: BLE001 - every fault has one table
            return refusal(error)

    async def later(self, waiting: Waiting[Batch], budget: float) -> bytes | Refusal:
        """See `Method`. What was answered at once stays answered; the rest is loaded together."""
        try:
            answers = await asyncio.gather(*(self._settle(answer, budget) for _, answer in waiting.work))
            return self._respond([(name, answer) for (name, _), answer in zip(waiting.work, answers, strict=True)])
        except Exception as error:  # noqa: BLE001 - every fault has one table
            return refusal(error)

    def fault(self, error: BaseException) -> Refusal:
        """See `Method`."""
        return refusal(error)

    def _ask(self, item: BatchAuthorizeItem) -> tuple[str, Outcome | Miss | Exception]:
        name = item.correlation_id
        if len(name.encode()) > _MAX_CORRELATION_ID:
            return "", InvalidInputError(f"correlation_id: at most {_MAX_CORRELATION_ID} bytes")
        try:
            return name, self._door.ask(auth_wire.authorization(self._door.apis, item.request))
        except Exception as error:  # noqa: BLE001 - it becomes this item's error
            return name, error

    async def _settle(self, answer: Outcome | Miss | Exception, budget: float) -> Outcome | Miss | Exception:
        if not isinstance(answer, Miss):
            return answer
        try:
            return await self._door.wait(answer, budget)
        except Exception as error:  # noqa: BLE001 - it becomes this item's error
            return error

    def _respond(self, batch: Batch) -> bytes:
        return b"".join([self._result(name, answer) for name, answer in batch])

    def _result(self, correlation_id: str, answer: Outcome | Miss | Exception) -> bytes:
        if isinstance(answer, Outcome):
            return auth_answers.result(correlation_id, self._door.respond(answer))
        error = answer if isinstance(answer, Exception) else AssertionError()
        told = refusal(error)
        code: int = told.code.value[0]
        return auth_answers.failed(
            BatchAuthorizeResult(correlation_id=correlation_id, error=BatchAuthorizeError(code=code, message=told.text))
        )


def _items(payload: bytes) -> Sequence[BatchAuthorizeItem]:
    items = _parse(BatchAuthorizeRequest, payload).items
    if not 0 < len(items) <= MAX_BATCH:
        raise InvalidInputError(f"items: 1 to {MAX_BATCH}")
    return items


def _parse(message: type[MessageT], payload: bytes) -> MessageT:
    try:
        return message.FromString(payload)
    except DecodeError:
        raise InvalidInputError("the request cannot be read") from None


def auth_methods(door: AuthDoor) -> tuple[Method[Miss], Method[Miss], Method[Batch]]:
    """Return the methods of AuthService."""
    return (
        Single(
            door,
            "/authsvc.v1.AuthService/Authenticate",
            AuthenticateRequest,
            auth_wire.authentication,
        ),
        Single(
            door,
            "/authsvc.v1.AuthService/Authorize",
            AuthorizeRequest,
            auth_wire.authorization,
        ),
        BatchAuthorize(door),
    )
