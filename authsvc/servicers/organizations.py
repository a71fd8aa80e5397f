"""OrganizationService: translate, delegate, translate back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from authsvc_client.v1 import organization_service_pb2 as pb
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceServicer

from authsvc.domain.administrator import Administrator
from authsvc.domain.updating import ORGANIZATION_FIELDS
from authsvc.servicers import wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.page_tokens import PageTokens
from authsvc.usecases.create_organization import CreateOrganization, OrganizationRequest
from authsvc.usecases.get_organization import GetOrganization
from authsvc.usecases.list_organizations import ListOrganizations
from authsvc.usecases.switch_organization import (
    DeleteOrganization,
    ReinstateOrganization,
    SuspendOrganization,
    Switch,
)
from authsvc.usecases.update_organization import OrganizationChange, UpdateOrganization

Context = grpc.aio.ServicerContext[Any, Any]

_NO_FILTER = frozenset[str]()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationUseCases:
    """What the servicer delegates to."""

    create: CreateOrganization
    get: GetOrganization
    list: ListOrganizations
    update: UpdateOrganization
    suspend: SuspendOrganization
    reinstate: ReinstateOrganization
    delete: DeleteOrganization


class OrganizationServicer(OrganizationServiceServicer):
    """Every method of the service."""

    def __init__(self, use: OrganizationUseCases, page_tokens: PageTokens) -> None:
        self._use = use
        self._page_tokens = page_tokens

    async def CreateOrganization(  # noqa: N802
        self,
        request: pb.CreateOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.CreateOrganizationResponse:
        """See organization_service.proto."""
        changed = await self._use.create(
            caller(),
            OrganizationRequest(
                name=request.name,
                plan=wire.word(request.plan, "plan"),
                networks=wire.wanted_networks(request.networks) if request.HasField("networks") else None,
                metadata=request.metadata,
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        return pb.CreateOrganizationResponse(
            organization=wire.organization_message(changed.value), revision=str(changed.revision)
        )

    async def GetOrganization(  # noqa: N802
        self,
        request: pb.GetOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.GetOrganizationResponse:
        """See organization_service.proto."""
        organization = await self._use.get(organization_id=request.id, name=request.name)
        return pb.GetOrganizationResponse(organization=wire.organization_message(organization))

    async def ListOrganizations(  # noqa: N802
        self,
        request: pb.ListOrganizationsRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ListOrganizationsResponse:
        """See organization_service.proto."""
        wire.refuse_other_fields(request.filter, _NO_FILTER)
        binding = _binding(caller())
        after = self._page_tokens.open(binding, request.page_token)
        page = await self._use.list(wire.page_size(request.page_size), after)
        return pb.ListOrganizationsResponse(
            organizations=map(wire.organization_message, page.items),
            next_page_token=self._page_tokens.seal(binding, page.next_token),
        )

    async def UpdateOrganization(  # noqa: N802
        self,
        request: pb.UpdateOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.UpdateOrganizationResponse:
        """See organization_service.proto."""
        fields = wire.masked_fields(request.update_mask, ORGANIZATION_FIELDS)
        new = wire.only(request.organization, fields)
        changed = await self._use.update(
            caller(),
            OrganizationChange(
                organization_id=request.id,
                fields=fields,
                name=new.name,
                plan=wire.word(new.plan, "plan"),
                networks=wire.wanted_networks(new.networks) if new.HasField("networks") else None,
                metadata=new.metadata,
                etag=wire.word(request.etag, "etag"),
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        return pb.UpdateOrganizationResponse(
            organization=wire.organization_message(changed.value), revision=str(changed.revision)
        )

    async def SuspendOrganization(  # noqa: N802
        self,
        request: pb.SuspendOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.SuspendOrganizationResponse:
        """See organization_service.proto."""
        changed = await self._use.suspend(caller(), _switch(request))
        return pb.SuspendOrganizationResponse(
            organization=wire.organization_message(changed.value), revision=str(changed.revision)
        )

    async def ReinstateOrganization(  # noqa: N802
        self,
        request: pb.ReinstateOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ReinstateOrganizationResponse:
        """See organization_service.proto."""
        changed = await self._use.reinstate(caller(), _switch(request))
        return pb.ReinstateOrganizationResponse(
            organization=wire.organization_message(changed.value), revision=str(changed.revision)
        )

    async def DeleteOrganization(  # noqa: N802
        self,
        request: pb.DeleteOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.DeleteOrganizationResponse:
        """See organization_service.proto."""
        changed = await self._use.delete(caller(), _switch(request))
        return pb.DeleteOrganizationResponse(
            organization=wire.organization_message(changed.value), revision=str(changed.revision)
        )


def _switch(
    request: pb.SuspendOrganizationRequest | pb.ReinstateOrganizationRequest | pb.DeleteOrganizationRequest,
) -> Switch:
    return Switch(
        organization_id=request.id,
        reason=request.reason,
        etag=wire.word(request.etag, "etag"),
        request_id=request.request_id,
        body=wire.body_of(request),
    )


def _binding(administrator: Administrator) -> bytes:
    return b"ListOrganizations\0" + administrator.record.id.encode()
