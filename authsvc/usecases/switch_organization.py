"""Suspend, reinstate or delete an organization."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol

from authsvc.domain import inputs
from authsvc.domain.administration import Actor, Changed, Organization
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import NotFoundError
from authsvc.ports import KeyCache, Recalled, Registry
from authsvc.usecases.create_key import NO_SUCH_ORGANIZATION
from authsvc.usecases.retries import once
from authsvc.usecases.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Which organization, and why. An empty etag is whichever is current."""

    organization_id: str
    reason: str
    etag: str
    request_id: str
    body: bytes


class _Change(Protocol):
    async def __call__(self, organization_id: str, reason: str, actor: Actor, *, etag: str) -> Changed[Organization]:
        """Change the organization in the registry."""


class SwitchOrganization(ABC):
    """When it returns, this instance decides by the changed organization, for all of its keys. See the subclasses."""

    def __init__(self, registry: Registry, keys: KeyCache) -> None:
        self._registry = registry
        self._keys = keys

    async def __call__(self, caller: Administrator, request: Switch) -> Changed[Organization]:
        """Change the organization; changing it again changes nothing."""
        inputs.organization_id(request.organization_id, "id")
        request = replace(request, reason=inputs.reason(request.reason))
        actor = caller.actor(inputs.request_id(request.request_id), request.body)

        async def work() -> Changed[Organization]:
            return await uninterrupted(self._switch(request, actor))

        return await once(self._registry, actor, work, self._recall)

    @abstractmethod
    def _change(self) -> _Change:
        """Return the registry's method."""

    async def _recall(self, earlier: Recalled) -> Changed[Organization]:
        organization = await self._registry.get_organization(earlier.target_id)
        self._keys.invalidate(earlier.revision, organization.id)
        return Changed(value=organization, revision=earlier.revision)

    async def _switch(self, request: Switch, actor: Actor) -> Changed[Organization]:
        try:
            changed = await self._change()(request.organization_id, request.reason, actor, etag=request.etag)
        except NotFoundError as error:
            raise NotFoundError(NO_SUCH_ORGANIZATION) from error
        self._keys.invalidate(changed.revision, request.organization_id)
        return changed


class SuspendOrganization(SwitchOrganization):
    """All keys of the organization are denied until it is reinstated."""

    def _change(self) -> _Change:
        return self._registry.suspend_organization


class ReinstateOrganization(SwitchOrganization):
    """Ends a suspension; keys revoked meanwhile stay revoked."""

    def _change(self) -> _Change:
        return self._registry.reinstate_organization


class DeleteOrganization(SwitchOrganization):
    """For good, and only when no key of it lives."""

    def _change(self) -> _Change:
        return self._registry.delete_organization
