"""Envoy's question put straight to a running service: for what Envoy itself would refuse, change or not send."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse
from authsvc.servicers._envoy.authsvc_ext_authz_pb2_grpc import AuthorizationStub
from tests.support.stack import TIMEOUT, Answer


@dataclass(frozen=True)
class Checked(Answer):
    """An answer as the client would get it; 200 and the upstream's headers where the request would pass."""

    code: int = 0  # google.rpc.Code
    removed: tuple[str, ...] = ()  # request headers that Envoy takes away
    metadata: Any = None


def check(channel: grpc.Channel, request: CheckRequest) -> Checked:
    """Ask; the RPC itself must succeed."""
    return checked(AuthorizationStub(channel).Check(request, timeout=TIMEOUT))


def checked(message: CheckResponse) -> Checked:
    """Read an answer as Envoy reads it: the code alone lets a request pass."""
    metadata = MessageToDict(message.dynamic_metadata)
    if message.status.code == 0:
        set_headers = {option.header.key: option.header.value for option in message.ok_response.headers}
        removed = tuple(message.ok_response.headers_to_remove)
        body = json.dumps({"headers": set_headers}).encode()
        return Checked(200, {}, body, 0, removed, metadata)
    denied = message.denied_response
    headers = {option.header.key: option.header.value for option in denied.headers}
    return Checked(denied.status.code, headers, denied.body.encode(), message.status.code, (), metadata)
