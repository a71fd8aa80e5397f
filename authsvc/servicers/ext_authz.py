"""The door that Envoy knocks at: one `Check` per HTTP request."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from authsvc.domain.api import Api, Apis
from authsvc.domain.decision import Allow, Deny, Outcome
from authsvc.domain.question import MALFORMED, Question, Settled, api_of, from_http
from authsvc.domain.reasons import Reason
from authsvc.ports import RecordUsage, uncounted
from authsvc.servicers import envoy_wire, faults
from authsvc.servicers.decision_ids import LENGTH, DecisionIds
from authsvc.servicers.envoy_request import (
    EnvoyRequest,
    MalformedRequestError,
    carries_control,
    forged,
    http_request,
)
from authsvc.servicers.method import Waiting
from authsvc.telemetry import DecisionCounters
from authsvc.usecases.authorize import Authorize, Miss

_LOG = logging.getLogger(__name__)

UNDECIDED = Deny(reason=Reason.UNAVAILABLE, detail="could not decide")
_LAST_RESORT = envoy_wire.deny(None, UNDECIDED, None, "0" * LENGTH, origin=None, grpc=False)
UNREADABLE = Outcome(api=None, decision=MALFORMED, bearer=None)


@dataclass(slots=True)
class PendingCheck:
    """A Check whose key must be loaded."""

    miss: Miss
    request: EnvoyRequest
    forged: list[str]


class Check:
    """
    `envoy.service.auth.v3.Authorization/Check`.

    Whatever happens the RPC itself succeeds: Envoy can be told to let requests pass when an RPC
    fails, never when it was answered with a denial.
    """

    path = "/envoy.service.auth.v3.Authorization/Check"

    def __init__(
        self, apis: Apis, authorize: Authorize, counters: DecisionCounters, record: RecordUsage = uncounted
    ) -> None:
        self._apis = apis
        self._authorize = authorize
        self._counters = counters
        self._record = record
        self._ids = DecisionIds()

    def now(self, payload: bytes) -> bytes | Waiting[PendingCheck]:
        """Answer at once, or say that the key must be loaded."""
        api: Api | None = None
        request: EnvoyRequest | None = None
        ours: list[str] = []
        try:
            request = http_request(payload)
            if request.remarkable:
                ours = forged(request.headers)
                question = self._second_look(request)
            else:
                question = from_http(self._apis, request)
            api = question.api
            if isinstance(question, Settled):
                return self._render(Outcome(api, question.decision, None, question.route), request, ours)
            answer = self._authorize.now(question)
            if isinstance(answer, Miss):
                return Waiting(PendingCheck(answer, request, ours))
            return self._render(answer, request, ours)
        except MalformedRequestError:
            return self._unreadable()
        except BaseException as error:  # noqa: BLE001 - no fault of any kind may become an RPC error
            return self._undecided(api, error, request)

    async def later(self, waiting: Waiting[PendingCheck], budget: float) -> bytes:
        """Load the key, then answer."""
        pending = waiting.work
        try:
            outcome = await self._authorize.later(pending.miss, budget)
            return self._render(outcome, pending.request, pending.forged)
        except Exception as error:  # noqa: BLE001 - as in `now`; a cancelled call needs no answer
            return self._undecided(pending.miss.question.api, error, pending.request)

    def fault(self, error: BaseException) -> bytes:
        """Deny with 503: the listener could not even ask."""
        return self._undecided(None, error, None)

    def _second_look(self, request: EnvoyRequest) -> Question | Settled:
        if carries_control(request.headers):
            api = api_of(self._apis, request)
            # A malformed credential is told apart: it is as good as none.
            if api is None or carries_control(request.headers, {source.header for source in api.credentials}):
                return Settled(api=api, decision=MALFORMED)
        return from_http(self._apis, request)

    def _unreadable(self) -> bytes:
        try:
            return self._render(UNREADABLE, None, [])
        except BaseException as error:  # noqa: BLE001 - as in `now`
            return self._undecided(None, error, None)

    def _undecided(self, api: Api | None, error: BaseException, request: EnvoyRequest | None) -> bytes:
        try:
            faults.report(error)
            return self._render(Outcome(api, UNDECIDED, None), request, [])
        except BaseException:  # noqa: BLE001 - even a fault in rendering one must be a denial
            return _LAST_RESORT

    def _render(self, outcome: Outcome, request: EnvoyRequest | None, ours: list[str]) -> bytes:
        api, decision = outcome.api, outcome.decision
        decision_id = self._ids.next()
        if not isinstance(decision, Allow):  # this way round: what is neither is no allow
            return self._refuse(outcome, decision, decision_id, request)
        if api is None:
            # Unreachable: nothing allows without an API. Kept, because the other way round would be an allow.
            return self._render(Outcome(None, UNDECIDED, None), request, [])
        self._counters.count(api.name, envoy_wire.ALLOWED)
        self._record(outcome.bearer, api, outcome.route, None, request)
        return envoy_wire.allow(api, decision, outcome.bearer, decision_id, ours)

    def _refuse(self, outcome: Outcome, decision: Deny, decision_id: str, request: EnvoyRequest | None) -> bytes:
        api = outcome.api
        self._counters.count("" if api is None else api.name, decision.reason)
        self._record(outcome.bearer, api, outcome.route, decision.reason, None)
        if _LOG.isEnabledFor(logging.DEBUG):
            _log(outcome, decision, decision_id)
        headers = {} if request is None else request.headers
        return envoy_wire.deny(
            api,
            decision,
            outcome.bearer,
            decision_id,
            origin=headers.get("origin"),
            grpc=_is_grpc(headers.get("content-type", "")),
        )


def _is_grpc(content_type: str) -> bool:
    # As Envoy tells it: to a client of grpc-web it sends plain HTTP.
    return content_type == "application/grpc" or content_type.startswith("application/grpc+")


def _log(outcome: Outcome, decision: Deny, decision_id: str) -> None:
    _LOG.debug(
        "denied",
        extra={
            "decision_id": decision_id,
            "api": "" if outcome.api is None else outcome.api.name,
            "reason": decision.reason.value,
            "detail": decision.detail,
            "key_id": "" if outcome.bearer is None else outcome.bearer.record.id,
        },
    )
