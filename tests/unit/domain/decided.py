"""One good attempt and every way to break it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from authsvc.domain.decision import (
    Decision,
    Deny,
    decide,
)
from authsvc.domain.network import Network, parse_network
from authsvc.domain.origins import OriginPattern, parse_pattern
from authsvc.domain.reasons import Reason
from tests.support.builders import (
    api,
    attempt,
    bearer,
    limit,
    record,
    route,
    verdict,
)


def patterns(*texts: str) -> tuple[OriginPattern, ...]:
    """Return an allow-list."""
    return tuple(pattern for pattern in map(parse_pattern, texts) if pattern is not None)


def networks(*texts: str) -> tuple[Network, ...]:
    """Return a list of networks."""
    return tuple(network for network in map(parse_network, texts) if network is not None)


FULL = verdict(allowed=False, remaining=0, retry_ns=5)


@dataclass(frozen=True)
class Broken:
    """What to change for one objection."""

    reason: Reason
    record: dict[str, Any] = field(default_factory=dict)
    attempt: dict[str, Any] = field(default_factory=dict)
    api: dict[str, Any] = field(default_factory=dict)


def decided(*broken: Broken) -> Decision:
    """Decide the good attempt of the good key, with all that is broken broken."""
    changes: dict[str, dict[str, Any]] = {"record": {}, "attempt": {}, "api": {}}
    for part in broken:
        changes["record"] |= part.record
        changes["attempt"] |= part.attempt
        changes["api"] |= part.api
    shop = api(**changes["api"])
    return decide(bearer(record(**changes["record"]), shop), attempt(api=shop, **changes["attempt"]))


def reason_of(decision: Decision) -> Reason | None:
    """Return why, or None for an allow."""
    return decision.reason if isinstance(decision, Deny) else None


# One way to trip each rule, such that any two of them can be broken at once.
BROKEN = {
    "key_status": Broken(Reason.INVALID_KEY, record={"revoked_at": 1}),
    "organization": Broken(Reason.ORGANIZATION_SUSPENDED, record={"organization_active": False}),
    "resource": Broken(Reason.WRONG_ORGANIZATION, attempt={"organization_id": "org_other"}),
    "route": Broken(Reason.ROUTE_NOT_CONFIGURED, attempt={"required": None}),
    "environment": Broken(Reason.WRONG_ENVIRONMENT, attempt={"environment": "test"}),
    "kind": Broken(Reason.KIND_NOT_ALLOWED, attempt={"route": route(kinds=frozenset({"publishable"}))}),
    "origin": Broken(Reason.ORIGIN_NOT_ALLOWED, record={"origins": ()}),
    "ip": Broken(Reason.IP_NOT_ALLOWED, record={"networks": ()}),
    "scope": Broken(Reason.INSUFFICIENT_SCOPE, record={"scopes": ()}),
    "rate": Broken(Reason.RATE_LIMITED, record={"limits": (limit(),)}, attempt={"spend": lambda _: (FULL,)}),
}

BROWSER = {
    "kind": "publishable",
    "scopes": ("things:create",),
    "origins": patterns("*.a.example", "http://localhost:3000"),
}


CREATE = {"required": ("things:create",), "route": route(method="POST", scopes=("things:create",))}
