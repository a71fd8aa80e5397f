"""Read one organization."""

from __future__ import annotations

from authsvc.domain import inputs
from authsvc.domain.administration import Organization
from authsvc.ports import Registry


class GetOrganization:
    """Finds an organization by its id or its name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, *, organization_id: str = "", name: str = "") -> Organization:
        """Return the organization with this id, else the one with this name."""
        if organization_id:
            return await self._registry.get_organization(inputs.organization_id(organization_id, "id"))
        return await self._registry.get_organization(inputs.organization_name(name))
