"""The requests that are sent. A Check has 528 bytes on the wire and thirteen headers, as Envoy sends them."""

from __future__ import annotations

import struct

from authsvc_client.v1.auth_service_pb2 import (
    AuthorizeRequest,
    BatchAuthorizeItem,
    BatchAuthorizeRequest,
    BatchAuthorizeResponse,
)
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, RequestContext

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse

SIZE = 528  # bytes of the length-prefixed message
TARGET = "/api/v1/sessions/abc?x=1"
BATCH = 100  # items


def check_request(
    key: str,
    api: str = "bench",
    target: str = TARGET,
    *,
    method: str = "GET",
    bearer: bool = False,
    environment: str = "",
) -> bytes:
    """Return the message that asks about one request of this key."""
    request = CheckRequest()
    attributes = request.attributes
    attributes.source.address.socket_address.address = "10.0.0.1"
    attributes.source.address.socket_address.port_value = 44444
    attributes.context_extensions["api"] = api
    if environment:
        attributes.context_extensions["environment"] = environment
    http = attributes.request.http
    http.id, http.method, http.path, http.host = "1234567890", method, target, "api.example.com"
    http.scheme, http.protocol = "https", "HTTP/1.1"
    headers = {
        ":method": method,
        ":path": target,
        ":authority": http.host,
        ":scheme": "https",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "user-agent": "curl/8",
        **({"authorization": f"Bearer {key}"} if bearer else {"x-api-key": key}),
        "x-envoy-internal": "true",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "https",
        "x-request-id": "6c2b7f0e-30b7-4a52-9d7b-5e1f6f5f8e11",
    }
    for name, value in headers.items():
        http.headers[name] = value
    # The id makes up for the length of the key and of the names.
    http.id += "0" * (SIZE - 5 - request.ByteSize())
    return request.SerializeToString()


def batch_request(key: str) -> bytes:
    """Return the message that asks about a hundred requests of this key."""
    context = RequestContext(environment="live", source_ip="10.0.0.1")
    asked = AuthorizeRequest(api="bench", credential=key, method="GET", path=TARGET, context=context)
    items = [BatchAuthorizeItem(correlation_id=str(number), request=asked) for number in range(BATCH)]
    return BatchAuthorizeRequest(items=items).SerializeToString()


def framed(message: bytes) -> bytes:
    """Return the message as gRPC sends it."""
    return struct.pack(">BI", 0, len(message)) + message


def allowed(answer: bytes) -> bool:
    """Whether an answer lets the request pass, with what an allow must carry."""
    response = CheckResponse.FromString(answer)
    return response.status.code == 0 and len(response.ok_response.headers) >= 6


def refused_with(answer: bytes) -> int:
    """Return the HTTP status of a refusal; 0 where it is none."""
    return CheckResponse.FromString(answer).denied_response.status.code


def batch_allowed(answer: bytes) -> bool:
    """Whether every item of a batch is allowed."""
    results = BatchAuthorizeResponse.FromString(answer).results
    verdicts = [result.response.decision.verdict for result in results]
    return verdicts == [VERDICT_ALLOW] * BATCH
