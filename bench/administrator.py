"""Makes the keys that are measured, over the admin API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, CreateKeyResponse, RevokeKeyRequest
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from google.protobuf.message import Message

Answer = TypeVar("Answer")

_ATTEMPTS = 5
_TIMEOUT = 20.0  # seconds
SCOPES = ("sessions:read", "sessions:write")


class Administrator:
    """Creates keys of one organization, and revokes them; any thread may."""

    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self._keys = KeyServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)
        request = CreateOrganizationRequest(name=f"bench {time.time_ns()}")
        self._organization = self._ask(OrganizationServiceStub(channel).CreateOrganization, request).organization.id

    @classmethod
    @contextmanager
    def connected(cls, target: str, home: Path) -> Iterator[Administrator]:
        """Connect with the key that `authsvc init` left in `home`."""
        with grpc.insecure_channel(target) as channel:
            yield cls(channel, (home / "admin.key").read_text().strip())

    def create(self, api: str = "bench", **fields: object) -> CreateKeyResponse:
        """Make a key; for the measured API it holds every scope and is of the live environment."""
        own: dict[str, Any] = {"environment": "live", "scopes": SCOPES} if api == "bench" else {}
        request = CreateKeyRequest(api=api, organization_id=self._organization, name="bench", **{**own, **fields})
        return self._ask(self._keys.CreateKey, request)

    def key(self, api: str = "bench", **fields: object) -> str:
        """Make a key and return its text."""
        return self.create(api, **fields).secret

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        self._ask(self._keys.RevokeKey, RevokeKeyRequest(id=key_id))

    def _ask(self, method: Callable[..., Answer], request: Message) -> Answer:
        for patience in reversed(range(_ATTEMPTS)):
            try:
                return method(request, metadata=self._metadata, timeout=_TIMEOUT)
            except grpc.RpcError as error:
                # A machine that is too busy for its database to answer in time.
                if error.code() is not grpc.StatusCode.UNAVAILABLE or not patience:
                    raise
        raise AssertionError("unreachable")
