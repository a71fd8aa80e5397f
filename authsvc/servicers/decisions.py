"""DecisionService: translate, delegate, translate back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from authsvc_client.v1 import decision_service_pb2 as pb
from authsvc_client.v1.decision_service_pb2_grpc import DecisionServiceServicer

from authsvc.domain.errors import InvalidInputError
from authsvc.domain.question import ToldRequest
from authsvc.domain.scopes import MAX_SCOPES, valid_name
from authsvc.domain.secret import Secret
from authsvc.ports import Clock
from authsvc.servicers import auth_wire, wire
from authsvc.servicers.decision_ids import DecisionIds
from authsvc.usecases.explain_decision import ExplainDecision, ExplainRequest, RuleOutcome
from authsvc.usecases.identify_key import IdentifyKey

MAX_HEADERS = 100
_LIMITS = {"method": 32, "path": 8192, "host": 255, "source_ip": 45, "credential": 1024, "organization_id": 64}
_MAX_HEADER_NAME = 128
_MAX_HEADER_VALUE = 8192
_MAX_DETAIL = 512

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOME = {
    RuleOutcome.PASS: pb.RULE_OUTCOME_PASS,
    RuleOutcome.FAIL: pb.RULE_OUTCOME_FAIL,
    RuleOutcome.SKIPPED: pb.RULE_OUTCOME_SKIPPED,
}


class DecisionServicer(DecisionServiceServicer):
    """`stale` says whether the database has not been heard from for a while."""

    def __init__(
        self, explain: ExplainDecision, identify: IdentifyKey, clock: Clock, stale: Callable[[], bool]
    ) -> None:
        self._explain = explain
        self._identify = identify
        self._clock = clock
        self._stale = stale
        self._ids = DecisionIds()

    async def ExplainDecision(  # noqa: N802
        self,
        request: pb.ExplainDecisionRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ExplainDecisionResponse:
        """See decision_service.proto."""
        explanation = await self._explain(_question(request))
        outcome = explanation.outcome
        return pb.ExplainDecisionResponse(
            decision=auth_wire.decision(outcome, self._ids.next(), stale=self._stale()),
            principal=auth_wire.principal(outcome),
            rules=[
                pb.RuleVerdict(rule=rule.rule, outcome=_OUTCOME[rule.outcome], detail=rule.detail[:_MAX_DETAIL])
                for rule in explanation.rules
            ],
            key_id=explanation.key_id,
        )

    async def IdentifyKey(self, request: pb.IdentifyKeyRequest, context: Context) -> pb.IdentifyKeyResponse:  # noqa: ARG002, N802
        """See decision_service.proto."""
        key = await self._identify(Secret(request.secret))
        return pb.IdentifyKeyResponse(key=wire.key_message(key, self._clock.now()))


def _question(request: pb.ExplainDecisionRequest) -> ExplainRequest:
    for field, limit in _LIMITS.items():
        if len(getattr(request, field)) > limit:
            raise InvalidInputError(f"{field}: at most {limit} bytes")
    extensions = {}
    if request.api:
        extensions["api"] = wire.word(request.api, "api")
    if request.HasField("environment"):
        extensions["environment"] = wire.word(request.environment, "environment")
    if request.required_scopes:
        extensions["required_scopes"] = " ".join(_scopes(request.required_scopes))
    source_ip = request.source_ip if request.HasField("source_ip") else None
    return ExplainRequest(
        http=ToldRequest(
            method=request.method,
            target=request.path,
            host=request.host,
            headers=_headers(request.headers),
            told=source_ip,
            extensions=extensions,
        ),
        credential=Secret(request.credential) if request.HasField("credential") else None,
        source_ip=source_ip,
        organization_id=request.organization_id or None,
    )


def _scopes(scopes: Sequence[str]) -> Sequence[str]:
    if len(scopes) > MAX_SCOPES or not all(valid_name(scope) for scope in scopes):
        raise InvalidInputError(f"required_scopes: at most {MAX_SCOPES}, written resource:action")
    return scopes


def _headers(headers: Sequence[pb.Header]) -> dict[str, str]:
    """Return the headers as a proxy passes them on: names in lower case, repeated ones joined."""
    if len(headers) > MAX_HEADERS:
        raise InvalidInputError(f"headers: at most {MAX_HEADERS}")
    joined: dict[str, str] = {}
    for index, header in enumerate(headers):
        if not 0 < len(header.name) <= _MAX_HEADER_NAME or len(header.value) > _MAX_HEADER_VALUE:
            raise InvalidInputError(f"headers[{index}]: a name or value out of bounds")
        name = header.name.lower() if header.name.isascii() else header.name
        joined[name] = f"{joined[name]},{header.value}" if name in joined else header.value
    return joined
