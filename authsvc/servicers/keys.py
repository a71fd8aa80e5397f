"""KeyService: translate, delegate, translate back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from authsvc_client.v1 import key_service_pb2 as pb
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceServicer

from authsvc.domain.administration import Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.updating import KEY_FIELDS
from authsvc.ports import Clock
from authsvc.servicers import imports, wire
from authsvc.servicers.admin_access import caller
from authsvc.servicers.page_tokens import PageTokens
from authsvc.telemetry import ImportCounters
from authsvc.usecases.bulk_revoke_keys import BulkRevocation, BulkRevokeKeys
from authsvc.usecases.create_key import CreateKey, KeyRequest
from authsvc.usecases.delete_key import DeleteKey, Deletion
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.import_keys import ImportKeys
from authsvc.usecases.list_keys import ListKeys
from authsvc.usecases.revoke_key import Revocation, RevokeKey
from authsvc.usecases.rotate_key import RotateKey, Rotation
from authsvc.usecases.update_key import KeyChange, UpdateKey

# A page ends early rather than outgrow what clients receive by default (4 MiB).
PAGE_BYTES = 1024 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUseCases:
    """What the servicer delegates to."""

    create: CreateKey
    get: GetKey
    list: ListKeys
    update: UpdateKey
    rotate: RotateKey
    revoke: RevokeKey
    bulk_revoke: BulkRevokeKeys
    delete: DeleteKey
    take_over: ImportKeys


class KeyServicer(KeyServiceServicer):
    """The methods not written here answer UNIMPLEMENTED."""

    def __init__(
        self, use: KeyUseCases, clock: Clock, page_tokens: PageTokens, imported: ImportCounters | None = None
    ) -> None:
        self._use = use
        self._imported = imported or ImportCounters()
        self._clock = clock
        self._page_tokens = page_tokens

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        created = await self._use.create(
            caller(),
            KeyRequest(
                api=wire.word(request.api, "api"),
                organization_id=request.organization_id,
                wanted=wire.wanted_key(request),
                request_id=request.request_id,
                preset=wire.word(request.preset, "preset"),
                body=wire.body_of(request),
            ),
        )
        return pb.CreateKeyResponse(
            key=wire.key_message(created.changed.value, self._clock.now()),
            secret="" if created.secret is None else created.secret.reveal(),
            secret_already_shown=created.secret is None,
            revision=str(created.changed.revision),
        )

    async def GetKey(self, request: pb.GetKeyRequest, context: Context) -> pb.GetKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        return pb.GetKeyResponse(key=wire.key_message(await self._use.get(caller(), request.id), self._clock.now()))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        administrator = caller()
        binding = _binding(administrator, request)
        page = await self._use.list(
            administrator,
            wire.key_filter(request.filter),
            wire.page_size(request.page_size),
            self._page_tokens.open(binding, request.page_token),
        )
        response, last = self._page(page.items, page.next_token)
        response.next_page_token = self._page_tokens.seal(binding, last)
        return response

    async def UpdateKey(self, request: pb.UpdateKeyRequest, context: Context) -> pb.UpdateKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        fields = wire.masked_fields(request.update_mask, KEY_FIELDS)
        changed = await self._use.update(
            caller(),
            KeyChange(
                key_id=request.id,
                fields=fields,
                wanted=wire.wanted_key(wire.only(request.key, fields)),
                etag=wire.word(request.etag, "etag"),
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        return pb.UpdateKeyResponse(
            key=wire.key_message(changed.value, self._clock.now()), revision=str(changed.revision)
        )

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Context) -> pb.RotateKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        rotated = await self._use.rotate(
            caller(),
            Rotation(
                key_id=request.id,
                grace=wire.grace(request.grace) if request.HasField("grace") else None,
                etag=wire.word(request.etag, "etag"),
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        now, pair = self._clock.now(), rotated.changed.value
        return pb.RotateKeyResponse(
            key=wire.key_message(pair.key, now),
            secret="" if rotated.secret is None else rotated.secret.reveal(),
            secret_already_shown=rotated.secret is None,
            revision=str(rotated.changed.revision),
            predecessor=wire.key_message(pair.predecessor, now),
        )

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        revoked = await self._use.revoke(
            caller(),
            Revocation(
                key_id=request.id,
                reason=request.reason,
                include_successor=request.include_successor,
                etag=wire.word(request.etag, "etag"),
                force=request.force,
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        now, successor = self._clock.now(), revoked.successor
        return pb.RevokeKeyResponse(
            key=wire.key_message(revoked.value, now),
            revision=str(revoked.changed.revision),
            successor=None if successor is None else wire.key_message(successor, now),
        )

    async def BulkRevokeKeys(self, request: pb.BulkRevokeKeysRequest, context: Context) -> pb.BulkRevokeKeysResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        revoked = await self._use.bulk_revoke(
            caller(),
            BulkRevocation(
                key_ids=tuple(request.ids),
                where=wire.key_filter(request.filter) if request.HasField("filter") else None,
                reason=request.reason,
                expected_count=request.expected_count if request.HasField("expected_count") else None,
                dry_run=request.dry_run,
                force=request.force,
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        return pb.BulkRevokeKeysResponse(
            revoked=len(revoked.key_ids),
            already_dead=revoked.already_dead,
            remaining=revoked.remaining,
            key_ids=revoked.key_ids,
            revision="" if revoked.revision is None else str(revoked.revision),
        )

    async def DeleteKey(self, request: pb.DeleteKeyRequest, context: Context) -> pb.DeleteKeyResponse:  # noqa: ARG002, N802
        """See key_service.proto."""
        changed = await self._use.delete(
            caller(),
            Deletion(
                key_id=request.id,
                reason=request.reason,
                etag=wire.word(request.etag, "etag"),
                force=request.force,
                request_id=request.request_id,
                body=wire.body_of(request),
            ),
        )
        return pb.DeleteKeyResponse(
            key=wire.key_message(changed.value, self._clock.now()), revision=str(changed.revision)
        )

    async def ImportKeys(  # noqa: N802
        self,
        request_iterator: AsyncIterator[pb.ImportKeysRequest],
        context: Context,  # noqa: ARG002
    ) -> pb.ImportKeysResponse:
        """See key_service.proto."""
        return await imports.import_keys(self._use.take_over, caller(), request_iterator, self._imported)

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
