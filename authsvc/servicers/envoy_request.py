"""Envoy's CheckRequest → domain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from authsvc.domain.question import HttpRequest
from authsvc.servicers._envoy.authsvc_check_reading_pb2 import AttributesReading, CheckReading, Entry
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest, HeaderMap

IDENTITY_PREFIX = "x-authsvc-"

_IDENTITY_WORD = "authsvc"
_IDENTITY_BYTES = _IDENTITY_WORD.encode()
_CONTROL = re.compile(r"[\0\r\n]")
_SEPARATOR = re.compile(r"[^a-z0-9]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110


class MalformedRequestError(Exception):
    """The request is not what a proxy sends."""


@dataclass(slots=True)
class EnvoyRequest(HttpRequest):
    """A request as Envoy describes it; `remarkable` says that its headers deserve a second look."""

    attributes: AttributesReading
    remarkable: bool

    def peer(self) -> str | None:
        """Return the direct peer of Envoy, whatever x-forwarded-for says."""
        return self.attributes.source.address.socket_address.address or None


def http_request(payload: bytes) -> EnvoyRequest:
    """Read a CheckRequest. Raises `MalformedRequestError`."""
    try:
        attributes = CheckReading.FromString(payload).attributes
        http = attributes.request.http
        entries = http.headers
        names, values = entries.key[:], entries.value[:]
        if names and len(names) == len(values):
            headers = dict(zip(names, values, strict=False))
        else:
            headers = _headers(payload)
            names, values = list(headers), list(headers.values())
        named = attributes.context_extensions
        # An operator configures few different ones, and every request carries one of them.
        extensions = _extension(named[0]) if len(named) == 1 else _extensions(tuple(named))
        method, target, host = http.method, http.path, http.host
    except Exception as error:
        # Whatever the parser objects to; invalid UTF-8 in a field is such a thing.
        raise MalformedRequestError from error
    # One look at everything and one at all values is enough for nearly every request.
    text = "".join(values)
    ours = _IDENTITY_BYTES in payload and _IDENTITY_WORD in "".join(names)
    remarkable = ours or "\n" in text or "\r" in text or "\0" in text
    return EnvoyRequest(method, target, host, headers, extensions, attributes, remarkable)


def carries_control(headers: Mapping[str, str], but: AbstractSet[str] = frozenset()) -> bool:
    """Whether any header, but those that are judged elsewhere, has a line break or NUL in its value."""
    return any(_CONTROL.search(value) for name, value in headers.items() if name not in but)


def forged(headers: Mapping[str, str]) -> list[str]:
    """
    Return the client's headers that could pass for ours, spelled with underscores or dots too.

    Raises `MalformedRequestError` for one that is no header's name: they are named in the answer.
    """
    names = [name for name in headers if _SEPARATOR.sub("-", name).startswith(IDENTITY_PREFIX)]
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise MalformedRequestError
    return names


@lru_cache(maxsize=1024)
def _extensions(entries: tuple[bytes, ...]) -> Mapping[str, str]:
    return {entry.key: entry.value for entry in map(Entry.FromString, entries)}


@lru_cache(maxsize=1024)
def _extension(entry: bytes) -> Mapping[str, str]:
    return _extensions((entry,))


def _headers(payload: bytes) -> dict[str, str]:
    """Read headers that do not come as a map of names and values that are all there."""
    http = CheckRequest.FromString(payload).attributes.request.http
    # With `encode_raw_headers` Envoy fills `header_map` instead.
    return dict(http.headers) or _joined(http.header_map)


def _joined(header_map: HeaderMap) -> dict[str, str]:
    # Repeated headers are joined as Envoy joins them: a credential that is there twice contains a comma.
    joined: dict[str, str] = {}
    for header in header_map.headers:
        # ASCII only: lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN).
        name = header.key.lower() if header.key.isascii() else header.key
        value = header.raw_value.decode() if header.raw_value else header.value
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
