"""Web origins: `scheme://host[:port]`, and the patterns an allow-list may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_ORIGINS = 64
MAX_ORIGIN_LENGTH = 255

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<wildcard>\*\.)?"
    rf"(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
)
_BARE_WILDCARD = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+(?::[1-9][0-9]{{0,4}})?")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a browser sent: lower-cased, the default port made explicit."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginPattern:
    """One entry of an allow-list; a wildcard stands for one or more whole labels, never for none."""

    scheme: str
    host: str
    port: int
    wildcard: bool
    text: str

    def matches(self, origin: Origin) -> bool:
        """Whether the origin is the listed one, or below it where the entry is a wildcard."""
        if (self.scheme, self.port) != (origin.scheme, origin.port):
            return False
        return origin.host.endswith("." + self.host) if self.wildcard else origin.host == self.host


def parse_origin(header: str) -> Origin | None:
    """Read one `Origin` header; `null`, several, user info, a path or a trailing dot are none."""
    # ASCII first: lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN).
    match = _ORIGIN.fullmatch(header.lower()) if len(header) <= MAX_ORIGIN_LENGTH and header.isascii() else None
    if match is None or match["wildcard"]:
        return None
    port = _port(match["scheme"], match["port"])
    return None if port is None else Origin(scheme=match["scheme"], host=match["host"], port=port)


def parse_pattern(text: str) -> OriginPattern | None:
    """
    Read one entry of an allow-list.

    `*.example.com` without a scheme means https. A wildcard needs at least two labels behind it,
    so that nobody allows a whole top-level domain.
    """
    if len(text) > MAX_ORIGIN_LENGTH or not text.isascii():
        return None
    lowered = text.lower()
    match = _ORIGIN.fullmatch("https://" + lowered if _BARE_WILDCARD.fullmatch(lowered) else lowered)
    if match is None or (match["wildcard"] and not _may_have_subdomains(match["host"])):
        return None
    port = _port(match["scheme"], match["port"])
    if port is None:
        return None
    return OriginPattern(
        scheme=match["scheme"], host=match["host"], port=port, wildcard=match["wildcard"] is not None, text=lowered
    )


def allowed(patterns: Sequence[OriginPattern], origin: Origin) -> bool:
    """Whether any entry matches; an empty list matches nobody."""
    return any(pattern.matches(origin) for pattern in patterns)


def _may_have_subdomains(host: str) -> bool:
    # A host whose last label is a number is an address: `*.0.0.1` would match 10.0.0.1.
    return "." in host and not host.startswith("[") and not host.rpartition(".")[2].isdigit()


def _port(scheme: str, text: str | None) -> int | None:
    if text is None:
        return _DEFAULT_PORTS[scheme]
    port = int(text)
    return port if port <= _MAX_PORT else None
