"""The subset rule, dimension by dimension. Its property twin is tests/property/test_grants.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.api import OriginPolicy
from authsvc.domain.grants import DIMENSIONS, Terms, as_strict, exceeded
from authsvc.domain.keys import KeyRecord
from authsvc.domain.network import Network, parse_network
from authsvc.domain.origins import OriginPattern, parse_pattern
from authsvc.domain.quotas import Algorithm, Limit, Subject
from authsvc.domain.routes import RouteTable
from tests.support.builders import MINUTE, NOW, PUBLISHABLE, SECRET, api, kind, limit, record, route

API = api(
    kinds={
        "secret": SECRET,
        "publishable": PUBLISHABLE,
        "slow": kind(name="slow", limits=(limit(count=5),)),
        "server": kind(name="server", origins=OriginPolicy.FORBIDDEN),
    }
)
SECOND_NS = 1_000_000_000


def patterns(*texts: str) -> tuple[OriginPattern, ...]:
    """Read origins."""
    return tuple(pattern for text in texts if (pattern := parse_pattern(text)) is not None)


def networks(*texts: str) -> tuple[Network, ...]:
    """Read networks."""
    return tuple(network for text in texts if (network := parse_network(text)) is not None)


def granting(**changes: Any) -> KeyRecord:
    """A key that manages keys and reads things."""
    return record(scopes=("keys:write", "things:read"), **changes)


def terms(**changes: Any) -> Terms:
    """What `granting` has itself."""
    same = Terms(
        kind="secret",
        environment="live",
        scopes=("things:read",),
        full_access=False,
        origins=None,
        networks=None,
        limits=(),
        not_before=None,
        expires_at=None,
    )
    return replace(same, **changes)


def test_a_key_may_make_its_like() -> None:
    """Equal in every dimension is within."""
    assert exceeded(granting(), API, terms()) is None


@pytest.mark.parametrize(
    ("kinds", "dimension"),
    [
        pytest.param({"slow"}, "kind", id="the-other-kind-alone"),
        pytest.param({"slow", "secret"}, None, id="both"),
        pytest.param({"secret"}, None, id="the-own-kind-alone"),
    ],
)
def test_a_kind_that_a_route_names_is_more_than_one_it_does_not(kinds: set[str], dimension: str | None) -> None:
    """A key does not make a key for itself that is let in where itself is not."""
    routes = RouteTable([route(path="/v1/plain"), route(kinds=frozenset(kinds))])

    assert exceeded(granting(), api(kinds=API.kinds, routes=routes), terms(kind="slow")) == dimension


BOUND = {
    "expires_at": NOW + MINUTE,
    "networks": networks("10.0.0.0/8", "2001:db8::/32"),
    "origins": patterns("https://*.shop.example", "https://shop.example:8443"),
    "limits": (limit(),),
}
WITHIN_BOUND = {**BOUND, "origins": patterns("https://a.shop.example")}


@pytest.mark.parametrize(
    ("own", "asked", "dimension"),
    [
        pytest.param({}, {"environment": "test"}, "environment", id="another-environment"),
        pytest.param({}, {"environment": None}, "environment", id="no-environment"),
        pytest.param({"environment": None}, {"environment": "live"}, "environment", id="an-environment-from-none"),
        pytest.param({"kind": "publishable"}, {"kind": "secret"}, "kind", id="an-unbounded-kind-from-a-bounded"),
        pytest.param({}, {"kind": "unheard-of"}, "kind", id="an-unknown-kind"),
        pytest.param({"kind": "unheard-of"}, {"kind": "unheard-of"}, "kind", id="of-an-unknown-kind"),
        pytest.param({}, {"full_access": True}, "full_access", id="full-access"),
        pytest.param({}, {"scopes": ("things:read", "things:write")}, "scopes", id="another-scope"),
        pytest.param(
            {"full_access": True, "scopes": ()}, {"scopes": ("keys:read",)}, "scopes", id="unnamed-management"
        ),
        pytest.param({"expires_at": NOW}, {}, "expires_at", id="without-end"),
        pytest.param({"expires_at": NOW}, {"expires_at": NOW + 1}, "expires_at", id="a-microsecond-longer"),
        pytest.param({"grace_ends_at": NOW}, {"expires_at": NOW + 1}, "expires_at", id="longer-than-the-grace"),
        pytest.param({"networks": networks("10.0.0.0/8")}, {}, "networks", id="any-network"),
        pytest.param(
            {"networks": networks("10.0.0.0/8")}, {"networks": networks("11.0.0.0/8")}, "networks", id="another-network"
        ),
        pytest.param(
            {"networks": networks("10.0.0.0/8")}, {"networks": networks("10.0.0.0/7")}, "networks", id="a-wider-network"
        ),
        pytest.param(
            {"networks": networks("10.0.0.0/8")}, {"networks": networks("2001:db8::1")}, "networks", id="of-ipv6"
        ),
        pytest.param({"origins": patterns("https://a.example")}, {}, "origins", id="any-origin"),
        pytest.param(
            {"origins": patterns("https://a.example")},
            {"origins": patterns("https://b.example")},
            "origins",
            id="another-origin",
        ),
        pytest.param(
            {"origins": patterns("https://a.example")},
            {"origins": patterns("http://a.example:443")},
            "origins",
            id="another-scheme",
        ),
        pytest.param(
            {"origins": patterns("https://a.example")},
            {"origins": patterns("https://*.a.example")},
            "origins",
            id="a-wildcard-from-a-host",
        ),
        pytest.param(
            {"origins": patterns("https://*.a.example")},
            {"origins": patterns("https://a.example")},
            "origins",
            id="the-apex-from-a-wildcard",
        ),
        pytest.param(
            {"origins": patterns("https://*.a.example")},
            {"origins": patterns("https://evila.example")},
            "origins",
            id="a-suffix-that-is-no-label",
        ),
        pytest.param({"kind": "server"}, {}, "origins", id="a-browser-where-none-may"),
        pytest.param(
            {"kind": "server"}, {"origins": patterns("https://a.example")}, "origins", id="an-origin-where-none-may"
        ),
        pytest.param({"limits": (limit(),)}, {}, "rate_limits", id="without-limit"),
        pytest.param({"limits": (limit(),)}, {"limits": (limit(count=11),)}, "rate_limits", id="one-more-a-minute"),
        pytest.param({"limits": (limit(),)}, {"limits": (limit(burst=11),)}, "rate_limits", id="one-more-at-once"),
        pytest.param({"kind": "slow"}, {"kind": "secret"}, "rate_limits", id="a-kind-without-its-limit"),
        pytest.param(
            {"limits": (limit(), limit(name="day", count=100, period_ns=86_400 * SECOND_NS))},
            {"limits": (limit(),)},
            "rate_limits",
            id="one-of-two-limits",
        ),
    ],
)
def test_what_goes_beyond_is_named(own: dict[str, Any], asked: dict[str, Any], dimension: str) -> None:
    """From a pair that agrees, one change in one dimension is refused under its name."""
    record_ = replace(granting(), **own)

    assert dimension == exceeded(record_, API, terms(**asked))


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        pytest.param({}, {"scopes": ()}, id="no-scope"),
        pytest.param({}, {"scopes": ("keys:write", "things:read")}, id="management-it-was-named"),
        pytest.param({}, {"kind": "publishable"}, id="a-bounded-kind"),
        pytest.param({}, {"expires_at": NOW}, id="an-end"),
        pytest.param({}, {"networks": networks("10.0.0.0/8")}, id="a-network"),
        pytest.param({}, {"origins": patterns("https://a.example")}, id="an-origin"),
        pytest.param({}, {"kind": "server"}, id="without-browsers"),
        pytest.param({"kind": "server"}, {"kind": "server"}, id="without-browsers-as-itself"),
        pytest.param({}, {"limits": (limit(),)}, id="a-limit"),
        pytest.param(BOUND, WITHIN_BOUND, id="equal"),
        pytest.param(BOUND, {**WITHIN_BOUND, "expires_at": NOW}, id="an-earlier-end"),
        pytest.param(BOUND, {**WITHIN_BOUND, "networks": networks("10.1.2.3", "2001:db8:1::/48")}, id="parts"),
        pytest.param(BOUND, {**BOUND, "origins": patterns("https://*.b.shop.example")}, id="a-narrower-wildcard"),
        pytest.param(BOUND, {**BOUND, "origins": patterns("https://*.shop.example")}, id="the-same-wildcard"),
        pytest.param(BOUND, {**BOUND, "origins": patterns("https://shop.example:8443")}, id="the-same-host"),
        pytest.param(BOUND, {**WITHIN_BOUND, "limits": (limit(count=9, burst=9), limit())}, id="a-stricter-limit"),
        pytest.param({"full_access": True, "scopes": ()}, {"scopes": ("things:write",)}, id="from-full-access"),
        pytest.param({"full_access": True}, {"full_access": True}, id="full-access-itself"),
    ],
)
def test_less_or_the_same_is_within(own: dict[str, Any], asked: dict[str, Any]) -> None:
    """The rule refuses more, not less."""
    own = {"full_access": False, **own}

    assert exceeded(replace(granting(), **own), API, terms(**asked)) is None


def test_an_api_may_let_full_access_manage_keys() -> None:
    """Where full access includes managing keys, it may hand that on by name too."""
    lenient = api(full_access_manages_keys=True)

    assert exceeded(record(full_access=True, scopes=()), lenient, terms(scopes=("keys:write",))) is None


def test_a_scope_above_the_granting_kind_is_not_held() -> None:
    """A grant beyond the kind's ceiling gives nothing, so it can give nothing on."""
    strong = record(kind="publishable", scopes=("things:read",))

    assert exceeded(strong, API, terms(kind="publishable")) == "scopes"


def test_every_dimension_has_a_case() -> None:
    """A new dimension cannot come without a test of its refusal."""
    cases = test_what_goes_beyond_is_named.pytestmark[0].args[1]  # type: ignore[attr-defined]

    assert {name for name, _ in DIMENSIONS} == {case.values[2] for case in cases}


GCRA = limit(algorithm=Algorithm.GCRA, count=60, period_ns=60 * SECOND_NS, burst=10)
WINDOW = limit(algorithm=Algorithm.SLIDING_WINDOW, count=10, period_ns=60 * SECOND_NS)


@pytest.mark.parametrize(
    ("asked", "bound", "expected"),
    [
        pytest.param(GCRA, GCRA, True, id="gcra-equal"),
        pytest.param(replace(GCRA, count=1, period_ns=SECOND_NS), GCRA, True, id="gcra-the-same-pace"),
        pytest.param(replace(GCRA, count=61), GCRA, False, id="gcra-faster"),
        pytest.param(replace(GCRA, burst=11), GCRA, False, id="gcra-larger-burst"),
        pytest.param(WINDOW, WINDOW, True, id="window-equal"),
        pytest.param(replace(WINDOW, count=5, period_ns=30 * SECOND_NS), WINDOW, True, id="window-halved"),
        pytest.param(replace(WINDOW, count=5, period_ns=29 * SECOND_NS), WINDOW, False, id="window-thrice"),
        pytest.param(WINDOW, replace(GCRA, count=10), True, id="window-in-gcra"),
        pytest.param(WINDOW, replace(GCRA, count=10, burst=9), False, id="window-at-once-over-gcra"),
        # Three in 7 ns are one in 2.3 ns, which is faster than one in 3.
        pytest.param(
            replace(WINDOW, count=3, period_ns=7),
            replace(GCRA, count=4, period_ns=12, burst=3),
            False,
            id="window-a-fraction-too-fast",
        ),
        pytest.param(replace(GCRA, count=1, burst=10), WINDOW, True, id="gcra-in-window"),
        pytest.param(replace(GCRA, count=2, burst=10), WINDOW, False, id="gcra-refills-within-the-window"),
        pytest.param(replace(GCRA, subject=Subject.ORGANIZATION), GCRA, False, id="counted-for-others"),
    ],
)
def test_one_limit_is_as_strict_as_another(asked: Limit, bound: Limit, expected: bool) -> None:  # noqa: FBT001 - a table
    """Whatever passes the one passes the other."""
    assert expected is as_strict(asked, bound)
