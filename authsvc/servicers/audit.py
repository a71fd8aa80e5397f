"""AuditService: translate, delegate, translate back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from authsvc_client.v1 import audit_service_pb2 as pb
from authsvc_client.v1.audit_service_pb2_grpc import AuditServiceServicer
from google.protobuf.struct_pb2 import Struct

from authsvc.domain.administrator import Administrator
from authsvc.domain.audit import AuditEvent, Outcome
from authsvc.domain.errors import InvalidInputError
from authsvc.ports import AuditFilter
from authsvc.servicers import wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.auth_wire import timestamp
from authsvc.servicers.page_tokens import PageTokens
from authsvc.usecases.list_audit_events import ListAuditEvents

# A page ends early rather than outgrow what clients receive by default (4 MiB).
PAGE_BYTES = 1024 * 1024

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOMES: Mapping[int, Outcome | None] = {
    pb.AUDIT_OUTCOME_UNSPECIFIED: None,
    pb.AUDIT_OUTCOME_DONE: Outcome.DONE,
    pb.AUDIT_OUTCOME_REFUSED: Outcome.REFUSED,
}
_NUMBERS = {Outcome.DONE: pb.AUDIT_OUTCOME_DONE, Outcome.REFUSED: pb.AUDIT_OUTCOME_REFUSED}


class AuditServicer(AuditServiceServicer):
    """Every method of the service."""

    def __init__(self, list_: ListAuditEvents, page_tokens: PageTokens) -> None:
        self._list = list_
        self._page_tokens = page_tokens

    async def ListAuditEvents(  # noqa: N802
        self,
        request: pb.ListAuditEventsRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ListAuditEventsResponse:
        """See audit_service.proto."""
        binding = _binding(caller(), request)
        after = self._page_tokens.open(binding, request.page_token)
        page = await self._list(
            _asked(request), wire.page_size(request.page_size), None if after is None else int(after)
        )
        response, last = _page(page.items, page.next_token)
        response.next_page_token = self._page_tokens.seal(binding, last)
        return response


def message(event: AuditEvent) -> pb.AuditEvent:
    """Return an event."""
    return pb.AuditEvent(
        seq=event.seq,
        time=timestamp(event.at),
        actor_key_id=event.actor_key_id,
        actor_organization_id=event.actor_organization_id,
        source_address=event.address,
        action=event.action,
        target_type=event.target_kind,
        target_id=event.target_id,
        organization_id=event.organization_id,
        before=_struct(event.before),
        after=_struct(event.after),
        reason=event.reason,
        request_id=event.request_id,
        revision="" if event.revision is None else str(event.revision),
        outcome=_NUMBERS[event.outcome],
        count=event.count,
        mac="" if event.mac is None else event.mac.hex(),
    )


def _struct(document: Mapping[str, Any] | None) -> Struct | None:
    if document is None:
        return None
    struct = Struct()
    struct.update(document)
    return struct


def _asked(request: pb.ListAuditEventsRequest) -> AuditFilter:
    if request.outcome not in _OUTCOMES:
        raise InvalidInputError("outcome: done, refused, or unset for both")
    words = ("organization_id", "actor_key_id", "actor_organization_id", "action", "target_id", "request_id")
    return AuditFilter(
        **{name: wire.word(getattr(request, name), name) for name in words},
        target_kind=wire.word(request.target_type, "target_type"),
        outcome=_OUTCOMES[request.outcome],
        start=wire.instant(request.start_time, "start_time") if request.HasField("start_time") else None,
        end=wire.instant(request.end_time, "end_time") if request.HasField("end_time") else None,
        oldest_first=request.oldest_first,
    )


def _page(events: Sequence[AuditEvent], next_token: str) -> tuple[pb.ListAuditEventsResponse, str]:
    """Return as many events as fit, and the position the next page begins behind."""
    response, size = pb.ListAuditEventsResponse(), 0
    for event in events:
        told = message(event)
        size += told.ByteSize()
        if size > PAGE_BYTES and response.events:
            return response, str(response.events[-1].seq)
        response.events.append(told)
    return response, next_token


def _binding(administrator: Administrator, request: pb.ListAuditEventsRequest) -> bytes:
    asked = pb.ListAuditEventsRequest()
    asked.CopyFrom(request)
    asked.ClearField("page_token")
    asked.ClearField("page_size")
    return b"ListAuditEvents\0" + administrator.record.id.encode() + b"\0" + asked.SerializeToString(deterministic=True)
