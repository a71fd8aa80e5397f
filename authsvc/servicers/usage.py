"""UsageService: translate, delegate, translate back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from authsvc_client.v1 import usage_service_pb2 as pb
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY, VERDICT_UNSPECIFIED, Verdict
from authsvc_client.v1.usage_service_pb2_grpc import UsageServiceServicer

from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.usage import ALLOW, MAX_ROUTE, Dimension, UsageSum, Width
from authsvc.servicers import wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.auth_wire import timestamp
from authsvc.servicers.page_tokens import PageTokens
from authsvc.usecases.query_usage import QueryUsage, UsageRequest

Context = grpc.aio.ServicerContext[Any, Any]

_WIDTHS: Mapping[int, Width | None] = {
    pb.USAGE_BUCKET_UNSPECIFIED: None,
    pb.USAGE_BUCKET_MINUTE: Width.MINUTE,
    pb.USAGE_BUCKET_HOUR: Width.HOUR,
    pb.USAGE_BUCKET_DAY: Width.DAY,
}
_DIMENSIONS: Mapping[int, Dimension] = {
    pb.USAGE_DIMENSION_KEY: Dimension.KEY,
    pb.USAGE_DIMENSION_ORGANIZATION: Dimension.ORGANIZATION,
    pb.USAGE_DIMENSION_API: Dimension.API,
    pb.USAGE_DIMENSION_ROUTE: Dimension.ROUTE,
    pb.USAGE_DIMENSION_VERDICT: Dimension.VERDICT,
    pb.USAGE_DIMENSION_REASON: Dimension.REASON,
}
_VERDICTS: Mapping[int, bool | None] = {VERDICT_UNSPECIFIED: None, VERDICT_ALLOW: True, VERDICT_DENY: False}


class UsageServicer(UsageServiceServicer):
    """Every method of the service."""

    def __init__(self, query: QueryUsage, page_tokens: PageTokens) -> None:
        self._query = query
        self._page_tokens = page_tokens

    async def QueryUsage(self, request: pb.QueryUsageRequest, context: Context) -> pb.QueryUsageResponse:  # noqa: ARG002, N802
        """See usage_service.proto."""
        binding = _binding(caller(), request)
        page = await self._query(
            _asked(request),
            wire.page_size(request.page_size),
            self._page_tokens.open(binding, request.page_token),
        )
        return pb.QueryUsageResponse(
            rows=map(_row, page.items), next_page_token=self._page_tokens.seal(binding, page.next_token)
        )


def _asked(request: pb.QueryUsageRequest) -> UsageRequest:
    if not request.HasField("start_time"):
        raise InvalidInputError("start_time: say from when on")
    if request.bucket not in _WIDTHS:
        raise InvalidInputError("bucket: a minute, an hour, a day, or unset for the whole period")
    if request.verdict not in _VERDICTS:
        raise InvalidInputError("verdict: allow, deny, or unset for both")
    return UsageRequest(
        start=wire.instant(request.start_time, "start_time"),
        end=wire.instant(request.end_time, "end_time") if request.HasField("end_time") else None,
        width=_WIDTHS[request.bucket],
        group_by=_dimensions(request.group_by),
        api=wire.word(request.api, "api"),
        organization_id=wire.word(request.organization_id, "organization_id"),
        key_id=wire.word(request.key_id, "key_id"),
        route=_route(request.route),
        allowed=_VERDICTS[request.verdict],
        reason=wire.word(request.reason, "reason"),
    )


def _dimensions(asked: Sequence[int]) -> tuple[Dimension, ...]:
    if len(set(asked)) != len(asked) or not _DIMENSIONS.keys() >= set(asked):
        raise InvalidInputError(f"group_by: at most {len(_DIMENSIONS)} dimensions, each once")
    return tuple(_DIMENSIONS[dimension] for dimension in asked)


def _route(text: str) -> str:
    if len(text) > MAX_ROUTE or not text.isascii() or not text.isprintable():
        raise InvalidInputError(f"route: at most {MAX_ROUTE} characters of ASCII")
    return text


def _row(found: UsageSum) -> pb.UsageRow:
    values = found.values
    outcome = values.get(Dimension.REASON, "")
    return pb.UsageRow(
        time=timestamp(found.start),
        key_id=values.get(Dimension.KEY, ""),
        organization_id=values.get(Dimension.ORGANIZATION, ""),
        api=values.get(Dimension.API, ""),
        route=values.get(Dimension.ROUTE, ""),
        verdict=_verdict(outcome or values.get(Dimension.VERDICT, "")),
        reason="" if outcome == ALLOW else outcome,
        count=found.count,
    )


def _verdict(outcome: str) -> Verdict.ValueType:
    if not outcome:
        return VERDICT_UNSPECIFIED
    return VERDICT_ALLOW if outcome == ALLOW else VERDICT_DENY


def _binding(administrator: Administrator, request: pb.QueryUsageRequest) -> bytes:
    asked = pb.QueryUsageRequest()
    asked.CopyFrom(request)
    asked.ClearField("page_token")
    asked.ClearField("page_size")
    return b"QueryUsage\0" + administrator.record.id.encode() + b"\0" + asked.SerializeToString(deterministic=True)
