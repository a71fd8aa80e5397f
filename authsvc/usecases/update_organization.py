"""Change an organization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import OPERATORS, Actor, Changed, Organization, OrganizationStatus
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import FailedPreconditionError, NotFoundError
from authsvc.ports import KeyCache, OrganizationUpdate, Recalled, Registry
from authsvc.usecases.create_key import NO_SUCH_ORGANIZATION
from authsvc.usecases.create_organization import free_name, plan_of
from authsvc.usecases.get_key import check_etag
from authsvc.usecases.retries import current, once

# What would lock administrators out, or hide that they are administrators.
_NOT_OF_OPERATORS = frozenset({"name", "plan", "networks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationChange:
    """Which fields of which organization to change, and to what. An empty etag is whichever is current."""

    organization_id: str
    fields: frozenset[str]
    name: str
    plan: str
    networks: inputs.WantedNetworks | None
    metadata: Mapping[str, str]
    etag: str
    request_id: str
    body: bytes


class UpdateOrganization:
    """When it returns, this instance decides by the changed organization, for all of its keys."""

    def __init__(self, registry: Registry, keys: KeyCache, apis: Apis) -> None:
        self._registry = registry
        self._keys = keys
        self._apis = apis

    async def __call__(self, caller: Administrator, request: OrganizationChange) -> Changed[Organization]:
        """Change the organization."""
        inputs.organization_id(request.organization_id, "id")
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        return await once(self._registry, actor, lambda: self._work(request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> Changed[Organization]:
        organization = await self._registry.get_organization(earlier.target_id)
        self._keys.invalidate(earlier.revision, organization.id)
        return Changed(value=organization, revision=earlier.revision)

    async def _work(self, request: OrganizationChange, actor: Actor) -> Changed[Organization]:
        async def prepare() -> tuple[Organization, OrganizationUpdate]:
            found = await self._organization(request)
            return found, self._update(found, request)

        return await current(prepare, lambda prepared: self._store(*prepared, actor), version=request.etag)

    async def _organization(self, request: OrganizationChange) -> Organization:
        try:
            found = await self._registry.get_organization(request.organization_id)
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_ORGANIZATION) from error
        check_etag(found.etag, request.etag)
        if found.status is OrganizationStatus.DELETED:
            raise FailedPreconditionError("the organization is deleted")
        if found.name == OPERATORS and request.fields & _NOT_OF_OPERATORS:
            raise FailedPreconditionError("of the operators' organization only the metadata can change")
        return found

    def _update(self, found: Organization, request: OrganizationChange) -> OrganizationUpdate:
        fields = request.fields
        return OrganizationUpdate(
            name=free_name(request.name) if "name" in fields else found.name,
            plan=plan_of(request.plan, self._apis) if "plan" in fields else found.plan,
            networks=inputs.networks(request.networks) if "networks" in fields else found.networks,
            metadata=inputs.labels(request.metadata) if "metadata" in fields else found.metadata,
        )

    async def _store(self, found: Organization, update: OrganizationUpdate, actor: Actor) -> Changed[Organization]:
        changed = await self._registry.update_organization(found.id, found.etag, update, actor)
        self._keys.invalidate(changed.revision, found.id)
        return changed
