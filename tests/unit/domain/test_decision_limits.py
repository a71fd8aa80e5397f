"""Decisions about limits: which count, for whom, and that a refusal spends nothing."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.api import Api, Plan
from authsvc.domain.decision import (
    Allow,
    Deny,
    counted_for,
    limits_of,
)
from authsvc.domain.quotas import Algorithm, Subject, Verdict
from authsvc.domain.reasons import Reason
from tests.support.builders import (
    api,
    kind,
    limit,
    record,
    verdict,
)
from tests.unit.domain.decided import BROKEN, FULL, Broken, decided, reason_of


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
