"""OrganizationService: translate, delegate, translate back."""

from __future__ import annotations

from typing import Any

import grpc
from authsvc_client.v1 import organization_service_pb2 as pb
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceServicer

from authsvc.domain.administrator import Administrator
from authsvc.servicers import wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.page_tokens import PageTokens
from authsvc.usecases.create_organization import CreateOrganization, OrganizationRequest
from authsvc.usecases.get_organization import GetOrganization
from authsvc.usecases.list_organizations import ListOrganizations

Context = grpc.aio.ServicerContext[Any, Any]

_NO_FILTER = frozenset[str]()


class OrganizationServicer(OrganizationServiceServicer):
    """The methods not written here answer UNIMPLEMENTED."""

    def __init__(
        self, create: CreateOrganization, get: GetOrganization, list_: ListOrganizations, page_tokens: PageTokens
    ) -> None:
        self._create = create
        self._get = get
        self._list = list_
        self._page_tokens = page_tokens

    async def CreateOrganization(  # noqa: N802
        self,
        request: pb.CreateOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.CreateOrganizationResponse:
        """See organization_service.proto."""
        changed = await self._create(
            caller(),
            OrganizationRequest(
                name=request.name,
                plan=wire.word(request.plan, "plan"),
                networks=wire.wanted_networks(request.networks) if request.HasField("networks") else None,
                metadata=request.metadata,
                request_id=request.request_id,
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
        organization = await self._get(organization_id=request.id, name=request.name)
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
        page = await self._list(wire.page_size(request.page_size), after)
        return pb.ListOrganizationsResponse(
            organizations=map(wire.organization_message, page.items),
            next_page_token=self._page_tokens.seal(binding, page.next_token),
        )


def _binding(administrator: Administrator) -> bytes:
    return b"ListOrganizations\0" + administrator.record.id.encode()
