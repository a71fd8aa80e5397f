"""The policy: each rule alone, their order, and the ways to an accidental allow."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from authsvc.domain.api import EnvironmentSource, OriginPolicy
from authsvc.domain.decision import (
    RULES,
    UNKNOWN_KEY,
    Allow,
    Attempt,
    bearer_of,
    decide,
    explain,
)
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
from tests.unit.domain.decided import BROKEN, FULL, Broken, decided, networks, patterns, reason_of


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
