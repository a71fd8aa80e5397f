"""List the audit trail."""

from __future__ import annotations

from authsvc.domain import inputs
from authsvc.domain.administration import Page
from authsvc.domain.audit import AuditEvent
from authsvc.domain.errors import InvalidInputError
from authsvc.ports import AuditFilter, AuditStore


class ListAuditEvents:
    """Pages through events. Who may is decided at the gate."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def __call__(self, where: AuditFilter, limit: int, after: int | None) -> Page[AuditEvent]:
        """Return up to `limit` events behind the position `after`."""
        if where.organization_id:
            inputs.organization_id(where.organization_id)
        inputs.request_id(where.request_id)
        if where.start is not None and where.end is not None and where.start >= where.end:
            raise InvalidInputError("end_time: it must lie behind start_time")
        return await self._store.list_audit_events(where, limit, after)
