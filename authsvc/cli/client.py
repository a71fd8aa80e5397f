"""Calls to a running service's administration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from authsvc_client.v1.organization_service_pb2 import GetOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from google.protobuf.message import Message

from authsvc.cli.errors import REFUSED, UNREACHABLE, USAGE, CommandError
from authsvc.cli.secrets import read_private_key
from authsvc.config import Settings
from authsvc.domain.inputs import is_organization_id
from authsvc.domain.key_text import presentable
from authsvc.domain.secret import Secret

TIMEOUT = 15.0  # seconds: longer than the service's own bound, so that its answer is the one we hear

ResponseT = TypeVar("ResponseT", bound=Message)
StubT = TypeVar("StubT")

# Keys do not go through a proxy that happens to be configured for the web.
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
_STATUS = {
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNREACHABLE,
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.UNIMPLEMENTED: USAGE,
}


class Client:
    """One command's connection. Plaintext to this machine only; TLS, with the system's roots, to any other."""

    def __init__(self, settings: Settings) -> None:
        self._target = str(settings.admin_target)
        self._secret = _administrator_key(settings)
        if settings.admin_target.is_local:
            self._channel = grpc.insecure_channel(self._target, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(self._target, grpc.ssl_channel_credentials(), options=_OPTIONS)

    @classmethod
    def from_environment(cls) -> Client:
        """Read where the service is and which key to use."""
        return cls(Settings.from_environment(os.environ))

    def stub(self, kind: Callable[[grpc.Channel], StubT]) -> StubT:
        """Return a service's stub."""
        return kind(self._channel)

    def call(
        self, method: Callable[..., ResponseT], request: Message | Iterator[Message], timeout: float | None = None
    ) -> ResponseT:
        """Call a method with a message, or with several; what goes wrong ends the command."""
        metadata = (("authorization", f"Bearer {self._secret.reveal()}"),)
        try:
            return method(request, timeout=TIMEOUT if timeout is None else timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise _ended(error, self._target) from None

    def organization_id(self, id_or_name: str) -> str:
        """Return the id of an organization that is named by either."""
        if not id_or_name or is_organization_id(id_or_name):
            return id_or_name
        get: Any = self.stub(OrganizationServiceStub).GetOrganization
        organization_id: str = self.call(get, GetOrganizationRequest(name=id_or_name)).organization.id
        return organization_id


def _administrator_key(settings: Settings) -> Secret:
    if settings.admin_key is not None:
        secret: Secret | None = Secret(settings.admin_key.get_secret_value())
    else:
        secret = read_private_key(settings.admin_key_file)
    if secret is None:
        raise CommandError(
            f"no administrator key: set AUTHSVC_ADMIN_KEY, or run `authsvc init` to make {settings.admin_key_file}",
            USAGE,
        )
    # Anything else would not pass as gRPC metadata, and the error would quote it.
    if not presentable(secret.reveal()):
        raise CommandError("the administrator key is malformed: it must be one key, without anything around it", USAGE)
    return secret


def _ended(error: grpc.RpcError, target: str) -> CommandError:
    code: grpc.StatusCode = error.code()
    text: str = error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and not _is_ours(text):
        return CommandError(
            f"nothing answers at {target}: start the service, or set AUTHSVC_ADMIN_TARGET to its admin address",
            UNREACHABLE,
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CommandError(f"{target} did not answer in time: try again", UNREACHABLE)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CommandError(
            f"{target} does not know this command: AUTHSVC_ADMIN_TARGET must be the admin address, not the data one",
            USAGE,
        )
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return CommandError(f"{text} Check AUTHSVC_ADMIN_KEY, or the file admin.key in AUTHSVC_HOME.".strip(), REFUSED)
    return CommandError(text or code.name.lower().replace("_", " "), _STATUS.get(code, REFUSED))


def _is_ours(text: str) -> bool:
    # What the service says of its database, and not what gRPC says of a socket.
    words = ("connect", "socket", "dns", "endpoint", "goaway", "handshake")
    return not any(word in text.lower() for word in words)
