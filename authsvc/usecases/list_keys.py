"""List keys."""

from __future__ import annotations

from dataclasses import replace

from authsvc.domain import inputs
from authsvc.domain.administration import Key, Page
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import NotFoundError
from authsvc.ports import KeyFilter, Registry


class ListKeys:
    """Pages through the keys a caller may see, oldest first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, caller: Administrator, where: KeyFilter, limit: int, after: str | None) -> Page[Key]:
        """Return up to `limit` keys behind the id `after`."""
        if where.organization_id is not None:
            inputs.organization_id(where.organization_id, "filter.organization_id")
        return await self._registry.list_keys(within_reach(caller, where), limit, after)


def within_reach(caller: Administrator, where: KeyFilter) -> KeyFilter:
    """Narrow a filter to what the caller may see."""
    if caller.is_operator:
        return where
    own = caller.record
    if where.organization_id not in (None, own.organization_id):
        raise NotFoundError("no such organization")
    if where.api not in (None, own.api):
        raise NotFoundError("no such API")
    return replace(where, organization_id=own.organization_id, api=own.api)
