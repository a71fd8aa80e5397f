"""Create an organization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import OPERATORS, Changed, Organization
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import AlreadyExistsError, InvalidInputError
from authsvc.ports import NewOrganization, Registry
from authsvc.usecases.retries import refuse_replay


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationRequest:
    """What is asked for; an empty plan is none."""

    name: str
    plan: str
    networks: inputs.WantedNetworks | None
    metadata: Mapping[str, str]
    request_id: str


class CreateOrganization:
    """`new_id` makes the 26 characters behind `org_`."""

    def __init__(self, registry: Registry, apis: Apis, new_id: Callable[[], str]) -> None:
        self._registry = registry
        self._apis = apis
        self._new_id = new_id

    async def __call__(self, caller: Administrator, request: OrganizationRequest) -> Changed[Organization]:
        """Store the organization under a name nobody else has."""
        refuse_replay(request.request_id)
        new = NewOrganization(
            id=f"org_{self._new_id()}",
            name=inputs.organization_name(request.name),
            plan=self._plan(request.plan),
            networks=inputs.networks(request.networks),
            metadata=inputs.labels(request.metadata),
        )
        if new.name == OPERATORS:
            raise AlreadyExistsError("name: reserved for the operators' own organization")
        return await self._registry.create_organization(new, caller.actor(request.request_id))

    def _plan(self, plan: str) -> str | None:
        if plan and not any(plan in api.plans for api in self._apis.by_name.values()):
            raise InvalidInputError("plan: no API has a plan of this name")
        return plan or None
