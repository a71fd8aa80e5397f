"""`Api`: everything one protected product says about its keys. Built once from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsvc.domain.credentials import CredentialSource
from authsvc.domain.dialect import ErrorTemplate, problem_details
from authsvc.domain.key_text import KeyTable
from authsvc.domain.keys import Micros
from authsvc.domain.quotas import Limit
from authsvc.domain.reasons import WORDING, Reason
from authsvc.domain.routes import RouteTable


class OriginPolicy(StrEnum):
    """What a kind of key says about the `Origin` header."""

    REQUIRED = "required"  # the key must carry an allow-list, and the request an allowed origin
    OPTIONAL = "optional"  # a key with an allow-list is held to it
    FORBIDDEN = "forbidden"  # a request from a browser is refused


class EmptyScopes(StrEnum):
    """What creating a key without scopes means; stamped on the key, never decided later."""

    NONE = "none"
    FULL_ACCESS = "full_access"


class EnvironmentSource(StrEnum):
    """Who says which environment a request is for."""

    REQUEST = "request"  # context extension, route or host; a key of another environment is refused
    KEY = "from_key"  # nobody: the key's own environment is told to the upstream
    NONE = "none"  # the API has no environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of key. `ceiling` bounds what its keys can do, whatever they were granted; None: no bound."""

    name: str
    ceiling: frozenset[str] | None
    default_scopes: tuple[str, ...]
    origins: OriginPolicy
    limits: tuple[Limit, ...]
    cors: bool  # whether a browser may read this kind's refusals
    max_lifetime: Micros | None
    expiry_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A named set of limits an organization may be on."""

    name: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One entry of the catalogue."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateHeaders:
    """Which rate-limit headers an answer carries."""

    standard: bool  # RateLimit and RateLimit-Policy of the IETF draft
    legacy: bool  # X-RateLimit-Limit, -Remaining and -Reset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Api:
    """One protected product. There is one object for each, so it compares and hashes by identity."""

    name: str
    hosts: frozenset[str]
    credentials: tuple[CredentialSource, ...]
    challenge: str  # WWW-Authenticate on 401
    keys: KeyTable
    kinds: Mapping[str, Kind]
    default_kind: str
    environment_source: EnvironmentSource
    environments: frozenset[str]
    environment_by_host: Mapping[str, str]
    scopes: Mapping[str, Scope]
    presets: Mapping[str, tuple[str, ...]]
    empty_scopes: EmptyScopes
    full_access_manages_keys: bool
    routes: RouteTable
    limits: tuple[Limit, ...]
    plans: Mapping[str, Plan]
    default_plan: str | None
    rate_headers: RateHeaders
    client_address_header: str
    trusted_hops: int
    hide_credential: bool
    grace: Micros
    max_grace: Micros
    errors: Mapping[Reason, ErrorTemplate]

    def error(self, reason: Reason) -> ErrorTemplate:
        """Return how this API words a reason."""
        return self.errors.get(reason) or DEFAULT_ERRORS[reason]


DEFAULT_ERRORS: Mapping[Reason, ErrorTemplate] = {
    reason: problem_details(
        wording.status, scope=reason is Reason.INSUFFICIENT_SCOPE, retry=reason is Reason.RATE_LIMITED
    )
    for reason, wording in WORDING.items()
}


class Apis:
    """All protected products, found by name or, for listeners with exact virtual hosts only, by host."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self.by_name: Mapping[str, Api] = {api.name: api for api in apis}
        self.by_host: Mapping[str, Api] = {host: api for api in apis for host in api.hosts}


def bare_host(host: str) -> str:
    """Return a Host header's name, lower-cased and without its port; brackets of IPv6 stay."""
    # Lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN), and `isdigit` knows more digits than 0-9.
    if not host.isascii():
        return host
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
