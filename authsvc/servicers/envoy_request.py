"""Envoy's CheckRequest → domain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from authsvc.domain.question import HttpRequest
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, HeaderMap

IDENTITY_PREFIX = "x-authsvc-"

_CONTROL = re.compile(r"[\0\r\n]")
_SEPARATOR = re.compile(r"[^a-z0-9]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110


class MalformedRequestError(Exception):
    """The request is not what a proxy sends."""


def http_request(payload: bytes) -> HttpRequest:
    """Read a CheckRequest. Raises `MalformedRequestError`."""
    try:
        attributes = CheckRequest.FromString(payload).attributes
        http = attributes.request.http
        # Copied: a dictionary is asked many times for a third of what the message asks once.
        fields = http.headers
        # With `encode_raw_headers` Envoy fills `header_map` instead.
        headers = {name: fields[name] for name in fields} or _joined(http.header_map)
        named = attributes.context_extensions
        extensions = {name: named[name] for name in named}
    except Exception as error:
        # Whatever the parser objects to; invalid UTF-8 in a field is such a thing.
        raise MalformedRequestError from error
    peer = attributes.source.address.socket_address.address or None
    return HttpRequest(http.method, http.path, http.host, headers, peer, extensions)


def carries_control(headers: Mapping[str, str], but: AbstractSet[str] = frozenset()) -> bool:
    """Whether any header, but those that are judged elsewhere, has a line break or NUL in its value."""
    # One look at all values together is enough for nearly every request.
    if "".join(headers.values()).isprintable():
        return False
    return any(_CONTROL.search(value) for name, value in headers.items() if name not in but)


def forged(headers: Mapping[str, str]) -> list[str]:
    """
    Return the client's headers that could pass for ours, spelled with underscores or dots too.

    Raises `MalformedRequestError` for one that is no header's name: they are named in the answer.
    """
    if "authsvc" not in "".join(headers):
        return []
    names = [name for name in headers if _SEPARATOR.sub("-", name).startswith(IDENTITY_PREFIX)]
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise MalformedRequestError
    return names


def _joined(header_map: HeaderMap) -> dict[str, str]:
    # Repeated headers are joined as Envoy joins them: a credential that is there twice contains a comma.
    joined: dict[str, str] = {}
    for header in header_map.headers:
        # ASCII only: lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN).
        name = header.key.lower() if header.key.isascii() else header.key
        value = header.raw_value.decode() if header.raw_value else header.value
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
