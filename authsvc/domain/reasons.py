"""Every reason for a refusal. The names are on the wire: add, never rename or reuse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a request is refused, as the caller is told."""

    UNAUTHORIZED = "unauthorized"  # no credential, a malformed one, or several
    INVALID_KEY = "invalid_key"  # unknown, revoked, deleted, expired, not yet valid: one answer for all
    ORGANIZATION_SUSPENDED = "organization_suspended"
    WRONG_ORGANIZATION = "wrong_organization"
    ROUTE_NOT_CONFIGURED = "route_not_configured"
    WRONG_ENVIRONMENT = "wrong_environment"
    KIND_NOT_ALLOWED = "kind_not_allowed"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    IP_NOT_ALLOWED = "ip_not_allowed"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    UNAVAILABLE = "unavailable"  # could not decide


@dataclass(frozen=True, slots=True)
class Wording:
    """The default HTTP status of a reason and a sentence that is safe to show."""

    status: int
    message: str


WORDING: dict[Reason, Wording] = {
    Reason.UNAUTHORIZED: Wording(401, "An API key is required."),
    Reason.INVALID_KEY: Wording(401, "The API key is not valid."),
    Reason.ORGANIZATION_SUSPENDED: Wording(403, "The organization is suspended."),
    Reason.WRONG_ORGANIZATION: Wording(403, "The API key belongs to another organization."),
    Reason.ROUTE_NOT_CONFIGURED: Wording(403, "No rule allows this request."),
    Reason.WRONG_ENVIRONMENT: Wording(403, "The API key belongs to another environment."),
    Reason.KIND_NOT_ALLOWED: Wording(403, "This kind of API key cannot make this request."),
    Reason.ORIGIN_NOT_ALLOWED: Wording(403, "The API key cannot be used from this origin."),
    Reason.IP_NOT_ALLOWED: Wording(403, "The API key cannot be used from this address."),
    Reason.INSUFFICIENT_SCOPE: Wording(403, "The API key lacks a required scope."),
    Reason.RATE_LIMITED: Wording(429, "Too many requests."),
    Reason.BAD_REQUEST: Wording(400, "The request is malformed or ambiguous."),
    Reason.UNAVAILABLE: Wording(503, "The request could not be authorized right now."),
}
