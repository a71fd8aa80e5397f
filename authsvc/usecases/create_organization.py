"""Create an organization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import OPERATORS, Actor, Changed, Organization
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import AlreadyExistsError, InvalidInputError
from authsvc.ports import NewOrganization, Recalled, Registry
from authsvc.usecases.retries import once


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationRequest:
    """What is asked for; an empty plan is none."""

    name: str
    plan: str
    networks: inputs.WantedNetworks | None
    metadata: Mapping[str, str]
    request_id: str
    body: bytes = b""


class CreateOrganization:
    """`new_id` makes the 26 characters behind `org_`."""

    def __init__(self, registry: Registry, apis: Apis, new_id: Callable[[], str]) -> None:
        self._registry = registry
        self._apis = apis
        self._new_id = new_id

    async def __call__(self, caller: Administrator, request: OrganizationRequest) -> Changed[Organization]:
        """Store the organization under a name nobody else has."""
        actor = caller.actor(inputs.request_id(request.request_id), request.body)
        return await once(self._registry, actor, lambda: self._work(request, actor), self._recall)

    async def _recall(self, earlier: Recalled) -> Changed[Organization]:
        organization = await self._registry.get_organization(earlier.target_id)
        return Changed(value=organization, revision=earlier.revision)

    async def _work(self, request: OrganizationRequest, actor: Actor) -> Changed[Organization]:
        new = NewOrganization(
            id=f"org_{self._new_id()}",
            name=free_name(request.name),
            plan=plan_of(request.plan, self._apis),
            networks=inputs.networks(request.networks),
            metadata=inputs.labels(request.metadata),
        )
        return await self._registry.create_organization(new, actor)


def free_name(name: str) -> str:
    """Return a name that is not the operators' own."""
    composed = inputs.organization_name(name)
    if composed == OPERATORS:
        raise AlreadyExistsError("name: reserved for the operators' own organization")
    return composed


def plan_of(plan: str, apis: Apis) -> str | None:
    """Return a plan that some API has; empty text is none."""
    if plan and not any(plan in api.plans for api in apis.by_name.values()):
        raise InvalidInputError("plan: no API has a plan of this name")
    return plan or None
