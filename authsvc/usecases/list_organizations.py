"""List organizations."""

from __future__ import annotations

from authsvc.domain.administration import Organization, Page
from authsvc.ports import Registry


class ListOrganizations:
    """Pages through all organizations, oldest first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, limit: int, after: str | None) -> Page[Organization]:
        """Return up to `limit` organizations behind the id `after`."""
        return await self._registry.list_organizations(limit, after)
