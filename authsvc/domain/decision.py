"""
The decision: a key, an attempt, and the rules in order.

`RULES` is the policy in reading order; the first objection wins and later rules can only deny. A
rule returns None when it has no objection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from authsvc.domain import network, origins
from authsvc.domain.api import Api, EnvironmentSource, OriginPolicy
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.quotas import Limit, Subject, Verdict
from authsvc.domain.reasons import Reason
from authsvc.domain.routes import Route
from authsvc.domain.scopes import first_missing


class Purpose(StrEnum):
    """What is being asked."""

    AUTHENTICATE = "authenticate"  # who is this?
    AUTHORIZE = "authorize"  # may they do this?


# Members that every request looks at: reading one through its class costs as much as a rule.
_AUTHENTICATE = Purpose.AUTHENTICATE
_BY_REQUEST = EnvironmentSource.REQUEST
_BY_KEY = Subject.KEY
_RATE_LIMITED = Reason.RATE_LIMITED


@dataclass(slots=True, kw_only=True, eq=False)
class Bearer:
    """
    A key record with what follows from it and its API alone, worked out once a load.

    `rules` are those of `RULES` that this record can trip. `rendered`, `described` and `told` are room
    for the doors, Envoy's and the backends', to keep their parts of the answers to this key: hence it is not frozen.
    """

    record: KeyRecord
    scopes: frozenset[str] | None  # effective: granted, within the kind's ceiling; None: everything
    limits: tuple[Limit, ...]  # all must have room
    rules: tuple[Check, ...]
    as_of: Revision
    rendered: tuple[bytes, bytes, bytes] | None = None
    described: bytes | None = None
    told: bytes | None = None


END_OF_TIME: Micros = 2**63

# Asks the limiter for one request of this bearer: the verdict of every limit, the tightest first.
Spend = Callable[[Bearer], tuple[Verdict, ...]]


def spend_unasked(_: Bearer) -> tuple[Verdict, ...]:
    """Stand where nobody has said which limiter to ask."""
    raise AssertionError("no limiter was named")


class Sender(Protocol):
    """Who sends a request."""

    def address(self, api: Api) -> str | None:
        """Return the text of the client's address, as the API says where to look for it; None when unknown."""

    def agent(self) -> str | None:
        """Return what the client says it is; None when it says nothing."""


@dataclass(slots=True)
class KnownSender:
    """A sender whose address the caller has told."""

    source_ip: str | None

    def address(self, _: Api) -> str | None:
        """Return it."""
        return self.source_ip

    def agent(self) -> str | None:
        """Return that nobody has told."""
        return None


@dataclass(slots=True)
class Attempt:
    """
    One question, resolved against its API.

    Built for every request, so neither frozen nor by keyword, each of which costs as much as several
    rules. The last three are filled in when the key is at hand. Until then every key with an end has
    reached it, and asking a limiter is a fault.
    """

    api: Api
    purpose: Purpose
    route: Route | None  # None: no rule, or none asked for
    required: tuple[str, ...] | None  # scopes that must all hold; None: no rule names any, deny
    environment: str | None
    origin: str | None
    sender: Sender
    organization_id: str | None  # of the resource, where the caller names it
    now: Micros = field(default=END_OF_TIME, kw_only=True)
    spend: Spend = field(default=spend_unasked, kw_only=True)
    verdicts: tuple[Verdict, ...] = field(default=(), kw_only=True)  # what the limits said, for the answer's headers

    @property
    def source_ip(self) -> str | None:
        """Return the client's address; few keys have a rule that asks for it."""
        return self.sender.address(self.api)


@dataclass(slots=True, kw_only=True)
class Deny:
    """A refusal, not frozen, like `Allow`. `detail` is for logs, audit and explanations, never for the caller."""

    reason: Reason
    detail: str
    required_scope: str | None = None
    verdicts: tuple[Verdict, ...] = ()


@dataclass(slots=True)
class Allow:
    """Permission. Not frozen: it is made for every request that is limited, and freezing triples its cost."""

    verdicts: tuple[Verdict, ...] = ()


ALLOW = Allow()
Decision = Allow | Deny


@dataclass(slots=True)
class Outcome:
    """
    A decision with whom it is about, as doors render it.

    `bearer` is known on many refusals too; those who were refused are never told. An allow without
    one means that the operator's configuration made the route public.
    """

    api: Api | None
    decision: Decision
    bearer: Bearer | None
    route: Route | None = None  # with the sender, for usage
    sender: Sender | None = None


Objection = Deny | None
Check = Callable[[Bearer, Attempt], Objection]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name, its check, and whether a record of this API can ever trip it."""

    name: str
    check: Check
    concerns: Callable[[KeyRecord, Api], bool]


def check_status(bearer: Bearer, attempt: Attempt) -> Objection:
    """The key is live. Every end is half-open: a key is dead at its last instant, not after it."""
    record, now = bearer.record, attempt.now
    if record.deleted_at is not None:
        return Deny(reason=Reason.INVALID_KEY, detail="deleted")
    if record.revoked_at is not None:
        return Deny(reason=Reason.INVALID_KEY, detail="revoked")
    if record.not_before is not None and now < record.not_before:
        return Deny(reason=Reason.INVALID_KEY, detail="not yet valid")
    if record.expires_at is not None and now >= record.expires_at:
        return Deny(reason=Reason.INVALID_KEY, detail="expired")
    if record.grace_ends_at is not None and now >= record.grace_ends_at:
        return Deny(reason=Reason.INVALID_KEY, detail="rotated, and the grace has ended")
    return None


def check_organization(bearer: Bearer, _: Attempt) -> Objection:
    """The organization is not suspended."""
    if not bearer.record.organization_active:
        return Deny(reason=Reason.ORGANIZATION_SUSPENDED, detail="organization suspended")
    return None


def check_resource(bearer: Bearer, attempt: Attempt) -> Objection:
    """Where the caller names the resource's organization, it is the key's own."""
    if attempt.organization_id is not None and attempt.organization_id != bearer.record.organization_id:
        return Deny(reason=Reason.WRONG_ORGANIZATION, detail="the resource belongs to another organization")
    return None


def check_route(_: Bearer, attempt: Attempt) -> Objection:
    """Some rule of the configuration covers the request."""
    if attempt.required is None:
        return Deny(reason=Reason.ROUTE_NOT_CONFIGURED, detail="no route matches")
    return None


def check_environment(bearer: Bearer, attempt: Attempt) -> Objection:
    """Where the API asks it to, the request names its environment, and it is the key's."""
    if attempt.api.environment_source is not _BY_REQUEST:
        return None
    if attempt.environment is None:
        return Deny(reason=Reason.ROUTE_NOT_CONFIGURED, detail="nothing names the environment")
    if attempt.environment != bearer.record.environment:
        return Deny(reason=Reason.WRONG_ENVIRONMENT, detail=f"the request is for {attempt.environment!r}")
    return None


def check_kind(bearer: Bearer, attempt: Attempt) -> Objection:
    """The kind may come here: named by the route, else able to hold every scope asked for."""
    record, kinds = bearer.record, attempt.route.kinds if attempt.route is not None else None
    kind = attempt.api.kinds.get(record.kind)
    if kind is None:
        return Deny(reason=Reason.KIND_NOT_ALLOWED, detail=f"kind {record.kind!r} is not configured")
    if kinds is not None:
        if record.kind in kinds:
            return None
        return Deny(reason=Reason.KIND_NOT_ALLOWED, detail=f"the route does not admit kind {record.kind!r}")
    if kind.ceiling is None or attempt.purpose is _AUTHENTICATE:
        return None
    # A bounded kind needs to be let in by something it may hold: no scopes asked is no invitation.
    if not attempt.required or not kind.ceiling.issuperset(attempt.required):
        return Deny(reason=Reason.KIND_NOT_ALLOWED, detail=f"beyond what kind {record.kind!r} can do")
    return None


def check_origin(bearer: Bearer, attempt: Attempt) -> Objection:
    """A browser's origin is on the key's list, where there is one or the kind demands one."""
    kind = attempt.api.kinds.get(bearer.record.kind)
    policy = OriginPolicy.REQUIRED if kind is None else kind.origins
    patterns = bearer.record.origins
    if policy is OriginPolicy.FORBIDDEN and attempt.origin is not None:
        return Deny(reason=Reason.ORIGIN_NOT_ALLOWED, detail="this kind is not for browsers")
    if patterns is None:
        if policy is not OriginPolicy.REQUIRED:
            return None
        return Deny(reason=Reason.ORIGIN_NOT_ALLOWED, detail="the key has no allow-list and this kind needs one")
    if attempt.origin is None:
        return Deny(reason=Reason.ORIGIN_NOT_ALLOWED, detail="no origin")
    origin = origins.parse_origin(attempt.origin)
    if origin is None or not origins.allowed(patterns, origin):
        return Deny(reason=Reason.ORIGIN_NOT_ALLOWED, detail="origin not on the key's list")
    return None


def check_ip(bearer: Bearer, attempt: Attempt) -> Objection:
    """The client's address is in the organization's networks and in the key's."""
    record, source_ip = bearer.record, attempt.source_ip
    address = None if source_ip is None else network.parse_address(source_ip)
    for owner, networks in (("organization", record.organization_networks), ("key", record.networks)):
        if networks is not None and (address is None or not network.contains(networks, address)):
            return Deny(reason=Reason.IP_NOT_ALLOWED, detail=f"address not in the {owner}'s networks")
    return None


def check_scope(bearer: Bearer, attempt: Attempt) -> Objection:
    """Every required scope is held."""
    if attempt.purpose is _AUTHENTICATE or bearer.scopes is None:
        return None
    missing = first_missing(attempt.required or (), bearer.scopes)
    if missing is not None:
        return _lacks(missing)
    return None


@lru_cache(maxsize=4096)
def _lacks(scope: str) -> Deny:
    return Deny(reason=Reason.INSUFFICIENT_SCOPE, detail=f"lacks {scope}", required_scope=scope)


def check_rate(bearer: Bearer, attempt: Attempt) -> Objection:
    """Every limit has room. The only rule with an effect, hence the last: a refusal above spends nothing."""
    verdicts = attempt.verdicts = attempt.spend(bearer)
    # Any refusal counts, wherever it stands: the order of the verdicts is for headers.
    for verdict in verdicts:
        if not verdict.allowed:
            return Deny(reason=_RATE_LIMITED, detail=f"limit {verdict.limit.name}", verdicts=verdicts)
    return None


def _always(_: KeyRecord, __: Api) -> bool:
    return True


def _can_end(record: KeyRecord, _: Api) -> bool:
    ends = (record.deleted_at, record.revoked_at, record.not_before, record.expires_at, record.grace_ends_at)
    return any(end is not None for end in ends)


def _origin_matters(record: KeyRecord, api: Api) -> bool:
    kind = api.kinds.get(record.kind)
    return record.origins is not None or kind is None or kind.origins is not OriginPolicy.OPTIONAL


# The policy, in order. The first objection wins.
RULES: tuple[Rule, ...] = (
    Rule("key_status", check_status, _can_end),
    Rule("organization", check_organization, lambda record, _: not record.organization_active),
    Rule("resource", check_resource, _always),
    Rule("route", check_route, _always),
    Rule("environment", check_environment, lambda _, api: api.environment_source is _BY_REQUEST),
    Rule("kind", check_kind, _always),
    Rule("origin", check_origin, _origin_matters),
    Rule("ip", check_ip, lambda record, _: (record.networks, record.organization_networks) != (None, None)),
    Rule("scope", check_scope, _always),
    Rule("rate", check_rate, lambda record, api: bool(limits_of(record, api))),
)

UNKNOWN_KEY = Deny(reason=Reason.INVALID_KEY, detail="no such key")


def decide(bearer: Bearer | None, attempt: Attempt) -> Decision:
    """Return the one answer behind every door. An unknown key, or one of another API, is refused."""
    if bearer is None or bearer.record.api != attempt.api.name:
        return UNKNOWN_KEY
    for check in bearer.rules:
        objection = check(bearer, attempt)
        if objection is not None:
            return objection
    return Allow(attempt.verdicts) if attempt.verdicts else ALLOW


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule says, for explanations."""

    rule: str
    objection: Objection


def explain(bearer: Bearer, attempt: Attempt) -> list[RuleVerdict]:
    """Return what every rule says, in order; the first objection is the decision's."""
    return [RuleVerdict(rule.name, rule.check(bearer, attempt)) for rule in RULES]


def bearer_of(record: KeyRecord, api: Api, as_of: Revision) -> Bearer:
    """Join a record with its API's rules."""
    return Bearer(
        record=record,
        scopes=effective_scopes(record, api),
        limits=limits_of(record, api),
        rules=_shared_rules(tuple(rule.check for rule in RULES if rule.concerns(record, api))),
        as_of=as_of,
    )


def effective_scopes(record: KeyRecord, api: Api) -> frozenset[str] | None:
    """Return what a key can really do: its grants within its kind's ceiling; None for everything."""
    kind = api.kinds.get(record.kind)
    ceiling = frozenset[str]() if kind is None else kind.ceiling
    if record.full_access:
        return ceiling
    granted = frozenset(record.scopes)
    return _shared_scopes(granted if ceiling is None else granted & ceiling)


# Most keys of a product hold one of few sets of scopes and trip the same rules: one object serves them all.
@lru_cache(maxsize=4096)
def _shared_scopes(scopes: frozenset[str]) -> frozenset[str]:
    return scopes


@lru_cache(maxsize=4096)
def _shared_rules(rules: tuple[Check, ...]) -> tuple[Check, ...]:
    return rules


@lru_cache(maxsize=4096)
def _shared_limits(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    return limits


def limits_of(record: KeyRecord, api: Api) -> tuple[Limit, ...]:
    """Return every limit on a key. All must have room."""
    kind = api.kinds.get(record.kind)
    plan = api.plans.get(record.plan or "") or api.plans.get(api.default_plan or "")
    sources = (api.limits, kind.limits if kind else (), plan.limits if plan else (), record.limits)
    return _shared_limits(tuple(limit for limits in sources for limit in limits))


def counted_for(limit: Limit, record: KeyRecord) -> str:
    """
    Return whose requests a limit counts together.

    With the whole limit, not only its name, this names the bucket: two limits in one bucket would undo each other's
    count, and a key's own generous limit would so switch off its API's strict one of the same name.
    """
    return record.id if limit.subject is _BY_KEY else f"{record.api}/{record.organization_id}"
