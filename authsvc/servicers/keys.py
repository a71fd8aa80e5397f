"""KeyService: translate, delegate, translate back."""

from __future__ import annotations

from typing import Any

import grpc
from authsvc_client.v1 import key_service_pb2 as pb
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceServicer

from authsvc.domain.administration import Key
from authsvc.domain.administrator import Administrator
from authsvc.ports import Clock
from authsvc.servicers import wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.page_tokens import PageTokens
from authsvc.usecases.create_key import CreateKey, KeyRequest
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.list_keys import ListKeys
from authsvc.usecases.revoke_key import Revocation, RevokeKey

# A page ends early rather than outgrow what clients receive by default (4 MiB).
PAGE_BYTES = 1024 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


class KeyServicer(KeyServiceServicer):
    """The methods not written here answer UNIMPLEMENTED."""

    def __init__(
        self,
        create: CreateKey,
        get: GetKey,
        list_: ListKeys,
        revoke: RevokeKey,
        clock: Clock,
        page_tokens: PageTokens,
    ) -> None:
        self._create = create
        self._get = get
        self._list = list_
        self._revoke = revoke
        self._clock = clock
        self._page_tokens = page_tokens

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        created = await self._create(
            caller(),
            KeyRequest(
                api=wire.word(request.api, "api"),
                organization_id=request.organization_id,
                wanted=wire.wanted_key(request),
                request_id=request.request_id,
            ),
        )
        return pb.CreateKeyResponse(
            key=wire.key_message(created.changed.value, self._clock.now()),
            secret=created.secret.reveal(),
            revision=str(created.changed.revision),
        )

    async def GetKey(self, request: pb.GetKeyRequest, context: Context) -> pb.GetKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        return pb.GetKeyResponse(key=wire.key_message(await self._get(caller(), request.id), self._clock.now()))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        administrator = caller()
        binding = _binding(administrator, request)
        page = await self._list(
            administrator,
            wire.key_filter(request.filter),
            wire.page_size(request.page_size),
            self._page_tokens.open(binding, request.page_token),
        )
        response, last = self._page(page.items, page.next_token)
        response.next_page_token = self._page_tokens.seal(binding, last)
        return response

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        changed = await self._revoke(
            caller(),
            Revocation(
                key_id=request.id,
                reason=request.reason,
                include_successor=request.include_successor,
                etag=request.etag,
                force=request.force,
                request_id=request.request_id,
            ),
        )
        return pb.RevokeKeyResponse(
            key=wire.key_message(changed.value, self._clock.now()), revision=str(changed.revision)
        )

    def _page(self, keys: tuple[Key, ...], next_token: str) -> tuple[pb.ListKeysResponse, str]:
        """Return as many keys as fit, and the id the next page begins behind."""
        response, size, now = pb.ListKeysResponse(), 0, self._clock.now()
        for key in keys:
            message = wire.key_message(key, now)
            size += message.ByteSize()
            if size > PAGE_BYTES:
                return response, response.keys[-1].id
            response.keys.append(message)
        return response, next_token


def _binding(administrator: Administrator, request: pb.ListKeysRequest) -> bytes:
    chosen = request.filter.SerializeToString(deterministic=True)
    return b"ListKeys\0" + administrator.record.id.encode() + b"\0" + chosen
