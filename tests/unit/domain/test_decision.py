"""The policy: each rule alone, their order, and the ways to an accidental allow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from authsvc.domain.api import Api, EnvironmentSource, OriginPolicy, Plan
from authsvc.domain.decision import (
    RULES,
    UNKNOWN_KEY,
    Allow,
    Attempt,
    Decision,
    Deny,
    Purpose,
    bearer_of,
    counted_for,
    decide,
    effective_scopes,
    explain,
    limits_of,
)
from authsvc.domain.network import Network, parse_network
from authsvc.domain.origins import OriginPattern, parse_pattern
from authsvc.domain.quotas import Algorithm, Subject, Verdict
from authsvc.domain.reasons import Reason
from tests.support.builders import (
    MINUTE,
    NOW,
    PUBLISHABLE,
    REVISION,
    SECRET,
    api,
    attempt,
    bearer,
    kind,
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


def test_the_policy_in_reading_order() -> None:
    """The order is the policy: what a caller may learn depends on what was checked before."""
    expected = [
        "key_status",
        "organization",
        "resource",
        "route",
        "environment",
        "kind",
        "origin",
        "ip",
        "scope",
        "rate",
    ]

    assert expected == [rule.name for rule in RULES] == list(BROKEN)


def test_the_good_attempt_is_allowed() -> None:
    """Everything below breaks one thing of it."""
    assert Allow() == decided()


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_has_its_reason(rule: str) -> None:
    """One broken thing, one objection, and only that rule objects."""
    broken = BROKEN[rule]
    shop = api()
    objecting = [
        said.rule
        for said in explain(bearer(record(**broken.record), shop), attempt(api=shop, **broken.attempt))
        if said.objection is not None
    ]

    assert broken.reason == reason_of(decided(broken))
    # Where no route matches no scope is asked for, so an unbounded kind has nothing else to object to.
    assert [rule] == objecting


@pytest.mark.parametrize(
    ("earlier", "later"), [pytest.param(a, b, id=f"{a}-{b}") for a, b in itertools.combinations(BROKEN, 2)]
)
def test_the_earlier_objection_wins(earlier: str, later: str) -> None:
    """A later rule never changes what an earlier one said."""
    assert BROKEN[earlier].reason == reason_of(decided(BROKEN[later], BROKEN[earlier]))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"deleted_at": 1}, id="deleted"),
        pytest.param({"deleted_at": 0}, id="deleted-at-the-epoch"),
        pytest.param({"deleted_at": NOW + MINUTE}, id="deleted-by-a-clock-ahead-of-ours"),
        pytest.param({"revoked_at": 1}, id="revoked"),
        pytest.param({"revoked_at": 0}, id="revoked-at-the-epoch"),
        pytest.param({"revoked_at": NOW + MINUTE}, id="revoked-by-a-clock-ahead-of-ours"),
        pytest.param({"revoked_at": NOW, "grace_ends_at": NOW + MINUTE}, id="revoked-in-its-grace"),
        pytest.param({"not_before": NOW + 1}, id="not-yet-valid"),
        pytest.param({"expires_at": NOW}, id="expires-this-instant"),
        pytest.param({"expires_at": 0}, id="expired-at-the-epoch"),
        pytest.param({"expires_at": NOW - 1}, id="expired"),
        pytest.param({"grace_ends_at": NOW}, id="grace-ends-this-instant"),
        pytest.param({"grace_ends_at": 0}, id="grace-ended-at-the-epoch"),
        pytest.param({"expires_at": NOW, "grace_ends_at": NOW + MINUTE}, id="expired-in-its-grace"),
        pytest.param({"expires_at": NOW + MINUTE, "grace_ends_at": NOW}, id="grace-over-before-it-expires"),
    ],
)
def test_a_dead_key_is_invalid(changes: dict[str, Any]) -> None:
    """Callers are told one thing whatever ended the key; an end is never a number that counts as none."""
    assert reason_of(decided(Broken(Reason.INVALID_KEY, record=changes))) == Reason.INVALID_KEY


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"not_before": NOW}, id="valid-from-this-instant"),
        pytest.param({"not_before": 0}, id="valid-since-the-epoch"),
        pytest.param({"expires_at": NOW + 1}, id="last-microsecond"),
        pytest.param({"grace_ends_at": NOW + 1_000}, id="last-millisecond-of-the-grace"),
        pytest.param({"not_before": NOW, "expires_at": NOW + 1, "grace_ends_at": NOW + 1}, id="all-three"),
    ],
)
def test_a_live_key_passes(changes: dict[str, Any]) -> None:
    """Ends are half-open."""
    assert Allow() == decided(Broken(Reason.INVALID_KEY, record=changes))


def test_a_grace_of_fifteen_minutes_ends_exactly_then() -> None:
    """14:59.999 passes, 15:00.000 does not."""
    rotated = NOW - 15 * MINUTE
    last = {"grace_ends_at": rotated + 15 * MINUTE}

    assert Allow() == decided(Broken(Reason.INVALID_KEY, record=last, attempt={"now": NOW - 1_000}))
    assert reason_of(decided(Broken(Reason.INVALID_KEY, record=last, attempt={"now": NOW}))) == Reason.INVALID_KEY


@pytest.mark.parametrize("ended", ["deleted_at", "revoked_at", "expires_at", "grace_ends_at"])
def test_a_suspension_is_told_to_valid_keys_only(ended: str) -> None:
    """An invalid key of a suspended organization is an invalid key."""
    both = Broken(Reason.INVALID_KEY, record={ended: NOW, "organization_active": False})

    assert reason_of(decided(both)) == Reason.INVALID_KEY


FORGOTTEN = [
    pytest.param(Broken(Reason.ROUTE_NOT_CONFIGURED, attempt={"required": None, "route": None}), id="no-route"),
    pytest.param(
        Broken(Reason.ROUTE_NOT_CONFIGURED, attempt={"required": None}, record={"full_access": True}),
        id="no-route-for-full-access",
    ),
    pytest.param(Broken(Reason.WRONG_ORGANIZATION, attempt={"organization_id": ""}), id="empty-organization"),
    pytest.param(Broken(Reason.ROUTE_NOT_CONFIGURED, attempt={"environment": None}), id="environment-not-named"),
    pytest.param(
        Broken(Reason.ROUTE_NOT_CONFIGURED, attempt={"environment": None}, record={"environment": None}),
        id="environment-on-neither-side",
    ),
    pytest.param(Broken(Reason.WRONG_ENVIRONMENT, record={"environment": None}), id="key-without-environment"),
    pytest.param(Broken(Reason.WRONG_ENVIRONMENT, record={"environment": "Live"}), id="environment-in-another-case"),
    pytest.param(Broken(Reason.WRONG_ENVIRONMENT, attempt={"environment": ""}), id="empty-environment"),
    pytest.param(Broken(Reason.KIND_NOT_ALLOWED, record={"kind": "nope"}), id="unknown-kind"),
    pytest.param(Broken(Reason.KIND_NOT_ALLOWED, record={"kind": ""}), id="empty-kind"),
    pytest.param(Broken(Reason.KIND_NOT_ALLOWED, api={"kinds": {}}), id="no-kinds-configured"),
    pytest.param(
        Broken(
            Reason.KIND_NOT_ALLOWED,
            record={"kind": "retired", "origins": patterns("https://a.example")},
            attempt={
                "route": route(kinds=frozenset({"retired"}), scopes=()),
                "required": (),
                "origin": "https://a.example",
            },
        ),
        id="route-admits-a-kind-nobody-configures",
    ),
    pytest.param(
        Broken(Reason.KIND_NOT_ALLOWED, attempt={"route": route(kinds=frozenset())}), id="route-admits-no-kind"
    ),
    pytest.param(
        Broken(Reason.KIND_NOT_ALLOWED, api={"kinds": {"secret": kind(ceiling=frozenset())}}), id="empty-ceiling"
    ),
    pytest.param(
        Broken(
            Reason.KIND_NOT_ALLOWED,
            api={"kinds": {"secret": kind(ceiling=frozenset({"things:read"}))}},
            attempt={"required": (), "route": route(scopes=())},
        ),
        id="bounded-kind-where-nothing-is-required",
    ),
    pytest.param(Broken(Reason.IP_NOT_ALLOWED, record={"organization_networks": ()}), id="empty-organization-networks"),
    pytest.param(
        Broken(Reason.IP_NOT_ALLOWED, record={"networks": networks("0.0.0.0/0")}, attempt={"source_ip": None}),
        id="no-address",
    ),
    pytest.param(
        Broken(Reason.IP_NOT_ALLOWED, record={"networks": networks("0.0.0.0/0")}, attempt={"source_ip": ""}),
        id="empty-address",
    ),
    pytest.param(
        Broken(Reason.IP_NOT_ALLOWED, record={"networks": networks("0.0.0.0/0")}, attempt={"source_ip": "/run/x.sock"}),
        id="pipe",
    ),
    pytest.param(
        Broken(
            Reason.IP_NOT_ALLOWED,
            record={"networks": networks("192.0.2.0/24"), "organization_networks": networks("10.0.0.0/8")},
        ),
        id="in-the-key's-networks-only",
    ),
    pytest.param(
        Broken(
            Reason.IP_NOT_ALLOWED,
            record={"networks": networks("10.0.0.0/8"), "organization_networks": networks("192.0.2.0/24")},
        ),
        id="in-the-organization's-networks-only",
    ),
    pytest.param(Broken(Reason.INSUFFICIENT_SCOPE, record={"scopes": ("*",)}), id="star-is-no-scope"),
    pytest.param(Broken(Reason.INSUFFICIENT_SCOPE, record={"scopes": ("things:write",)}), id="write-is-not-read"),
    pytest.param(Broken(Reason.INSUFFICIENT_SCOPE, attempt={"required": ("",)}), id="empty-scope-required"),
    pytest.param(
        Broken(
            Reason.RATE_LIMITED,
            record={"limits": (limit(),)},
            attempt={"spend": lambda _: (verdict(remaining=0), FULL)},
        ),
        id="refusal-behind-an-allowance",
    ),
]


@pytest.mark.parametrize("broken", FORGOTTEN)
def test_what_is_missing_empty_or_unknown_denies(broken: Broken) -> None:
    """None is unrestricted on the key's side only; nothing passes because something was forgotten."""
    assert broken.reason == reason_of(decided(broken))


def test_nobody_is_refused() -> None:
    """An unknown key, and a key of another API, get the same answer."""
    assert decide(None, attempt()) is UNKNOWN_KEY
    assert decide(bearer(record(api="other")), attempt()) is UNKNOWN_KEY
    assert decide(bearer(record(api="")), attempt()) is UNKNOWN_KEY


@pytest.mark.parametrize(
    ("source", "environment"),
    [
        pytest.param(EnvironmentSource.KEY, "test", id="from-key"),
        pytest.param(EnvironmentSource.NONE, None, id="none"),
    ],
)
def test_the_environment_matters_only_where_the_request_names_it(
    source: EnvironmentSource, environment: str | None
) -> None:
    """Elsewhere the rule is skipped."""
    skipped = Broken(
        Reason.WRONG_ENVIRONMENT,
        api={"environment_source": source},
        record={"environment": environment},
        attempt={"environment": None},
    )

    assert Allow() == decided(skipped)


def test_an_explanation_knows_where_environments_do_not_matter() -> None:
    """It asks every rule, so a rule must not rely on being skipped."""
    shop = api(environment_source=EnvironmentSource.KEY)
    said = explain(bearer(record(), shop), attempt(api=shop, environment=None))

    assert not [verdict for verdict in said if verdict.objection is not None]


BROWSER = {
    "kind": "publishable",
    "scopes": ("things:create",),
    "origins": patterns("*.a.example", "http://localhost:3000"),
}
CREATE = {"required": ("things:create",), "route": route(method="POST", scopes=("things:create",))}


@pytest.mark.parametrize(
    ("policy", "listed", "origin", "reason"),
    [
        pytest.param("required", ("*.a.example",), "https://b.a.example", None, id="required-and-listed"),
        pytest.param("required", ("*.a.example",), "https://a.example", Reason.ORIGIN_NOT_ALLOWED, id="apex"),
        pytest.param("required", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="required-no-origin"),
        pytest.param("required", ("*.a.example",), "", Reason.ORIGIN_NOT_ALLOWED, id="required-empty-origin"),
        pytest.param("required", ("*.a.example",), "null", Reason.ORIGIN_NOT_ALLOWED, id="required-null"),
        pytest.param("required", (), "https://b.a.example", Reason.ORIGIN_NOT_ALLOWED, id="required-empty-list"),
        pytest.param("required", None, "https://b.a.example", Reason.ORIGIN_NOT_ALLOWED, id="required-no-list"),
        pytest.param("required", None, None, Reason.ORIGIN_NOT_ALLOWED, id="required-no-list-no-origin"),
        pytest.param("optional", None, None, None, id="optional-no-list-no-origin"),
        pytest.param("optional", None, "https://evil.example", None, id="optional-no-list"),
        pytest.param("optional", None, "null", None, id="optional-no-list-null"),
        pytest.param("optional", (), None, Reason.ORIGIN_NOT_ALLOWED, id="optional-empty-list"),
        pytest.param("optional", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="optional-list-no-origin"),
        pytest.param("optional", ("*.a.example",), "https://b.a.example", None, id="optional-listed"),
        pytest.param("forbidden", None, None, None, id="forbidden-no-origin"),
        pytest.param("forbidden", None, "https://a.example", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-origin"),
        pytest.param("forbidden", None, "", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-empty-origin"),
        pytest.param("forbidden", None, "null", Reason.ORIGIN_NOT_ALLOWED, id="forbidden-null"),
        pytest.param(
            "forbidden",
            ("*.a.example",),
            "https://b.a.example",
            Reason.ORIGIN_NOT_ALLOWED,
            id="forbidden-even-if-listed",
        ),
        pytest.param("forbidden", ("*.a.example",), None, Reason.ORIGIN_NOT_ALLOWED, id="forbidden-and-listed"),
    ],
)
def test_origins(policy: str, listed: tuple[str, ...] | None, origin: str | None, reason: Reason | None) -> None:
    """A list holds whoever has one; the kind says whether one is needed, or browsers are refused."""
    broken = Broken(
        Reason.ORIGIN_NOT_ALLOWED,
        api={"kinds": {"secret": kind(origins=OriginPolicy(policy))}},
        record={"origins": None if listed is None else patterns(*listed)},
        attempt={"origin": origin},
    )

    assert reason == reason_of(decided(broken))


def test_an_unknown_kind_needs_an_origin_too() -> None:
    """Rules do not rely on one another: each refuses what it does not know."""
    stranger, shop = record(kind="nope"), api()
    said = {v.rule: v.objection for v in explain(bearer(stranger, shop), attempt(api=shop))}

    assert reason_of(said["origin"] or Allow()) == Reason.ORIGIN_NOT_ALLOWED
    assert reason_of(said["scope"] or Allow()) == Reason.INSUFFICIENT_SCOPE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="what-it-is-for"),
        pytest.param({"required": ("things:read",)}, Reason.KIND_NOT_ALLOWED, id="beyond-its-ceiling"),
        pytest.param({"required": ("things:create", "things:read")}, Reason.KIND_NOT_ALLOWED, id="partly-beyond"),
        pytest.param({"required": ()}, Reason.KIND_NOT_ALLOWED, id="nothing-required"),
        pytest.param({"route": route(kinds=frozenset({"publishable"}))}, None, id="admitted-by-name"),
        pytest.param(
            {"route": route(kinds=frozenset({"publishable"})), "required": ()},
            None,
            id="admitted-where-nothing-required",
        ),
        pytest.param(
            {"route": route(kinds=frozenset({"publishable"})), "required": ("things:read",)},
            Reason.INSUFFICIENT_SCOPE,
            id="admitted-by-name-without-the-scope",
        ),
    ],
)
def test_a_bounded_kind(changes: dict[str, Any], reason: Reason | None) -> None:
    """It comes in by something it may hold, or by its name."""
    browser = Broken(
        Reason.KIND_NOT_ALLOWED, record=BROWSER, attempt=CREATE | {"origin": "http://localhost:3000"} | changes
    )

    assert reason == reason_of(decided(browser))


@pytest.mark.parametrize(
    ("grants", "full_access", "kind_name", "expected"),
    [
        pytest.param(("a:r",), False, "secret", frozenset({"a:r"}), id="granted"),
        pytest.param((), False, "secret", frozenset(), id="nothing-granted"),
        pytest.param((), True, "secret", None, id="full-access"),
        pytest.param(("a:r",), True, "secret", None, id="full-access-with-scopes"),
        pytest.param(("a:r", "things:create"), False, "publishable", frozenset({"things:create"}), id="in-the-ceiling"),
        pytest.param(("keys:write",), False, "publishable", frozenset(), id="beyond-the-ceiling"),
        pytest.param((), True, "publishable", frozenset({"things:create"}), id="full-access-within-the-ceiling"),
        pytest.param(("a:r",), True, "nope", frozenset(), id="unknown-kind"),
    ],
)
def test_effective_scopes(
    grants: tuple[str, ...], kind_name: str, expected: frozenset[str] | None, *, full_access: bool
) -> None:
    """The kind bounds its keys, whatever was written into the database."""
    held = effective_scopes(record(scopes=grants, full_access=full_access, kind=kind_name), api())

    assert expected == held


def test_the_first_missing_scope_is_named() -> None:
    """In declared order."""
    asked = {"required": ("things:read", "things:write", "things:create")}
    denied = decided(Broken(Reason.INSUFFICIENT_SCOPE, attempt=asked))

    assert Deny(reason=Reason.INSUFFICIENT_SCOPE, detail="lacks things:write", required_scope="things:write") == denied


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"record": {"scopes": ()}}, id="no-scope-asked"),
        pytest.param({"record": BROWSER, "attempt": {"origin": "http://localhost:3000"}}, id="bounded-kind"),
    ],
)
def test_authenticating_asks_for_no_scope(changes: dict[str, Any]) -> None:
    """Who is this, not what may they do; a kind's ceiling bounds what it does."""
    asked = {"purpose": Purpose.AUTHENTICATE, "route": None, "required": ()}
    broken = Broken(Reason.UNAVAILABLE, record=changes["record"], attempt=asked | changes.get("attempt", {}))

    assert Allow() == decided(broken)


@pytest.mark.parametrize("rule", ["key_status", "organization", "resource", "environment", "origin", "ip", "rate"])
def test_authenticating_skips_nothing_else(rule: str) -> None:
    """A key that is refused is nobody."""
    asking = Broken(Reason.UNAVAILABLE, attempt={"purpose": Purpose.AUTHENTICATE, "route": None, "required": ()})

    assert BROKEN[rule].reason == reason_of(decided(asking, BROKEN[rule]))


def test_a_refusal_spends_nothing() -> None:
    """Limits are asked last, and not at all once another rule has objected."""
    spent: list[object] = []

    def spend(_: object) -> tuple[Verdict, ...]:
        spent.append(1)
        return (verdict(),)

    limited = Broken(Reason.UNAVAILABLE, record={"limits": (limit(),)}, attempt={"spend": spend})
    for rule in list(BROKEN)[:-1]:
        assert BROKEN[rule].reason == reason_of(decided(limited, BROKEN[rule]))
    assert spent == []

    assert Allow(verdicts=(verdict(),)) == decided(limited)
    assert spent == [1]


def test_what_the_limits_said_goes_with_the_answer() -> None:
    """Refused or not, the headers tell."""
    said = (FULL, verdict())
    denied = decided(BROKEN["rate"], Broken(Reason.RATE_LIMITED, attempt={"spend": lambda _: said}))

    assert isinstance(denied, Deny)
    assert said == denied.verdicts


def test_every_limit_on_a_key_counts() -> None:
    """The API's, its kind's, its plan's and its own."""
    own, of_kind, of_plan, of_api = (limit(name=name) for name in ("own", "kind", "plan", "api"))
    shop = api(
        limits=(of_api,),
        kinds={"secret": kind(limits=(of_kind,))},
        plans={"gold": Plan(name="gold", limits=(of_plan,))},
    )

    assert [of_api, of_kind, of_plan, own] == list(limits_of(record(plan="gold", limits=(own,)), shop))
    assert [of_api, of_kind] == list(limits_of(record(), shop))


@pytest.mark.parametrize(
    ("plan", "default", "expected"),
    [
        pytest.param("gold", "free", ["gold"], id="its-own"),
        pytest.param(None, "free", ["free"], id="default"),
        pytest.param("gone", "free", ["free"], id="unknown-falls-to-the-default"),
        pytest.param(None, None, [], id="none"),
    ],
)
def test_plans(plan: str | None, default: str | None, expected: list[str]) -> None:
    """An organization without a plan is on the default one."""
    plans = {name: Plan(name=name, limits=(limit(name=name),)) for name in ("gold", "free")}
    shop = api(plans=plans, default_plan=default)

    assert expected == [x.name for x in limits_of(record(plan=plan), shop)]


def buckets(shop: Api, **changes: Any) -> list[tuple[str, str]]:
    """Return where each of a key's limits is counted."""
    of = record(**changes)
    return [(x.shape, counted_for(x, of)) for x in limits_of(of, shop)]


def test_a_limit_is_counted_for_its_subject() -> None:
    """Two keys of an organization share its limits and nothing else."""
    shop = api(limits=(limit(), limit(name="org", subject=Subject.ORGANIZATION)))
    (key_1, org_1), (key_2, org_2) = buckets(shop, id="key_1"), buckets(shop, id="key_2")
    _, elsewhere = buckets(shop, organization_id="org_2")

    assert key_1 != key_2
    assert org_1 == org_2 != elsewhere


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"count": 1_000_000}, id="count"),
        pytest.param({"period_ns": 1}, id="period"),
        pytest.param({"burst": 1_000}, id="burst"),
        pytest.param({"algorithm": Algorithm.SLIDING_WINDOW}, id="algorithm"),
        pytest.param({"subject": Subject.ORGANIZATION}, id="subject"),
        pytest.param({"name": "other"}, id="name"),
    ],
)
def test_two_limits_never_share_a_bucket(changes: dict[str, Any]) -> None:
    """A key's own limit under the name of its API's would have switched that one off."""
    strict, own = buckets(api(limits=(limit(),)), limits=(limit(**changes),))

    assert strict != own


def test_rules_a_record_cannot_trip_are_skipped() -> None:
    """The usual key costs the rules that depend on the request, and no other."""
    checks = {rule.check: rule.name for rule in RULES}
    plain = bearer_of(record(), api(), REVISION)
    everything = bearer_of(
        record(expires_at=1, organization_active=False, origins=(), networks=(), limits=(limit(),)), api(), REVISION
    )

    assert [checks[check] for check in plain.rules] == ["resource", "route", "environment", "kind", "scope"]
    assert list(checks.values()) == [checks[check] for check in everything.rules]


def test_an_explanation_has_every_rule() -> None:
    """Also those a decision would not have come to."""
    broken = {"revoked_at": 1, "networks": (), "scopes": ()}
    said = explain(bearer(record(**broken)), attempt())

    assert [rule.name for rule in RULES] == [v.rule for v in said]
    assert [v.rule for v in said if v.objection is not None] == ["key_status", "ip", "scope"]


def unfilled() -> Attempt:
    """Return an attempt to which nobody has added the time and a limiter."""
    filled = attempt()
    return Attempt(
        api=filled.api,
        purpose=filled.purpose,
        route=filled.route,
        required=filled.required,
        environment=filled.environment,
        origin=filled.origin,
        sender=filled.sender,
        organization_id=filled.organization_id,
    )


@pytest.mark.parametrize("end", ["expires_at", "grace_ends_at"])
def test_without_a_time_every_key_with_an_end_is_dead(end: str) -> None:
    """Forgetting the clock must not keep a key alive."""
    asked = unfilled()

    assert reason_of(decide(bearer(record(**{end: NOW * 1_000}), asked.api), asked)) == Reason.INVALID_KEY


def test_without_a_limiter_a_limited_key_is_a_fault() -> None:
    """Forgetting the limiter must not lift a limit."""
    asked = unfilled()

    with pytest.raises(AssertionError, match="no limiter"):
        decide(bearer(record(limits=(limit(),)), asked.api), asked)


def test_bearers_are_compared_by_identity() -> None:
    """They are held in caches, and two loads are two bearers."""
    assert bearer() != bearer()


def test_the_builders_kinds_are_what_they_say() -> None:
    """The tests above lean on it."""
    assert SECRET.ceiling is None
    assert PUBLISHABLE.origins is OriginPolicy.REQUIRED
