"""The Check that is sent: 528 bytes on the wire, thirteen headers as Envoy sends them."""

from __future__ import annotations

import struct

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, CheckResponse

SIZE = 528  # bytes of the length-prefixed message


def check_request(key: str, api: str = "bench", target: str = "/api/v1/sessions/abc?x=1") -> bytes:
    """Return the message that asks about one request of this key."""
    request = CheckRequest()
    attributes = request.attributes
    attributes.source.address.socket_address.address = "10.0.0.1"
    attributes.source.address.socket_address.port_value = 44444
    attributes.context_extensions["api"] = api
    http = attributes.request.http
    http.id, http.method, http.path, http.host = "1234567890", "GET", target, "api.example.com"
    http.scheme, http.protocol = "https", "HTTP/1.1"
    headers = {
        ":method": "GET",
        ":path": target,
        ":authority": http.host,
        ":scheme": "https",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "user-agent": "curl/8",
        "x-api-key": key,
        "x-envoy-internal": "true",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "https",
        "x-request-id": "6c2b7f0e-30b7-4a52-9d7b-5e1f6f5f8e11",
    }
    for name, value in headers.items():
        http.headers[name] = value
    # The id makes up for the length of the key and of the API's name.
    http.id += "0" * (SIZE - 5 - request.ByteSize())
    return request.SerializeToString()


def framed(message: bytes) -> bytes:
    """Return the message as gRPC sends it."""
    return struct.pack(">BI", 0, len(message)) + message


def allowed(answer: bytes) -> bool:
    """Whether an answer lets the request pass, with what an allow must carry."""
    response = CheckResponse.FromString(answer)
    return response.status.code == 0 and len(response.ok_response.headers) == 6
