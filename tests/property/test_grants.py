"""A key never makes a stronger one, judged by an oracle that asks requests instead of comparing terms."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.api import EmptyScopes, OriginPolicy
from authsvc.domain.decision import Allow, Attempt, Bearer, KnownSender, Purpose, bearer_of, decide
from authsvc.domain.grants import Terms, as_strict, exceeded
from authsvc.domain.keys import KeyRecord
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.domain.quotas import Algorithm, Limit, State, Subject, Verdict, spend
from tests.support.builders import NOW, REVISION, SECRET, api, kind, record, spend_nothing

SCOPES = ("things:create", "things:read", "things:write", "keys:read", "keys:write")
KINDS = {
    "secret": SECRET,
    "wide": kind(name="wide", ceiling=frozenset(SCOPES[:4])),
    "narrow": kind(name="narrow", ceiling=frozenset(SCOPES[:2])),
    "other": kind(name="other", ceiling=frozenset({"things:write"})),
    "server": kind(name="server", origins=OriginPolicy.FORBIDDEN),
}
API = api(kinds=KINDS, empty_scopes=EmptyScopes.FULL_ACCESS)
ENDS = (None, NOW + 1, NOW + 10, NOW + 100)
NETWORKS = tuple(
    network
    for text in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "11.0.0.0/8", "::/0", "2001:db8::/32")
    if (network := parse_network(text)) is not None
)
ADDRESSES = ("10.1.2.3", "10.1.9.9", "10.9.9.9", "11.0.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1", None)
PATTERNS = tuple(
    pattern
    for text in (
        "https://shop.example",
        "https://*.shop.example",
        "https://*.eu.shop.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://evilshop.example",
    )
    if (pattern := parse_pattern(text)) is not None
)
ORIGINS = (
    None,
    "https://shop.example",
    "https://a.shop.example",
    "https://eu.shop.example",
    "https://a.eu.shop.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://evilshop.example",
)


def some(values: tuple[object, ...]) -> st.SearchStrategy[tuple[object, ...] | None]:
    """Nothing said, or some of the values."""
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)


grants = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(KINDS)),
        "environment": st.sampled_from(["live", "test", None]),
        "scopes": st.lists(st.sampled_from(SCOPES), max_size=5, unique=True).map(tuple),
        "full_access": st.booleans(),
        "origins": some(PATTERNS),
        "networks": some(NETWORKS),
        "expires_at": st.sampled_from(ENDS),
    }
)


def admitted(bearer: Bearer) -> set[tuple[object, ...]]:
    """Every request out of all that this key may make."""
    return {
        (scope, environment, origin, address, instant)
        for scope, environment, origin, address, instant in product(
            SCOPES, ("live", "test"), ORIGINS, ADDRESSES, (NOW, NOW + 5, NOW + 50, NOW + 500)
        )
        if isinstance(decide(bearer, _attempt(scope, environment, origin, address, instant)), Allow)
    }


def _attempt(scope: str, environment: str, origin: str | None, address: str | None, now: int) -> Attempt:
    return Attempt(
        api=API,
        now=now,
        purpose=Purpose.AUTHORIZE,
        route=None,
        required=(scope,),
        environment=environment,
        origin=origin,
        sender=KnownSender(address),
        organization_id=None,
        spend=spend_nothing,
    )


@given(own=grants, asked=grants)
def test_what_is_within_admits_nothing_more(own: dict[str, object], asked: dict[str, object]) -> None:
    """Terms that the rule lets pass allow no request that the granting key is refused."""
    granting = record(**own)
    if exceeded(granting, API, Terms(limits=(), not_before=None, **asked)) is None:  # type: ignore[arg-type]
        made = record(**asked)

        assert admitted(_bearer(made)) <= admitted(_bearer(granting))


@given(own=grants, data=st.data())
def test_what_is_taken_away_stays_within(own: dict[str, object], data: st.DataObject) -> None:
    """A copy of the granting key with fewer scopes, an earlier end and one address of its own is within."""
    granting = record(**{**own, "scopes": tuple(scope for scope in SCOPES if scope in _effective(own))})
    scopes = data.draw(st.lists(st.sampled_from(granting.scopes), unique=True)) if granting.scopes else []
    asked = Terms(
        kind=granting.kind,
        environment=granting.environment,
        scopes=tuple(scopes),
        full_access=False,
        origins=granting.origins,
        networks=granting.networks and (_first_address(granting.networks[0]),),
        limits=(),
        not_before=None,
        expires_at=data.draw(st.sampled_from([end for end in ENDS if _no_later(end, granting.expires_at)])),
    )

    assert exceeded(granting, API, asked) is None


PERIODS = (5, 7, 10, 12, 30)
# Now and then exactly one period: limits differ at their edges.
gaps = st.just(0) | st.sampled_from((1, 2, *PERIODS))

limits = st.builds(
    Limit,
    name=st.just("key"),
    subject=st.just(Subject.KEY),
    algorithm=st.sampled_from(Algorithm),
    count=st.integers(1, 6),
    period_ns=st.sampled_from(PERIODS),
    burst=st.integers(1, 6),
)


@given(asked=limits, bound=limits, waits=st.lists(gaps, min_size=1, max_size=40))
def test_what_passes_the_stricter_limit_passes_the_other(asked: Limit, bound: Limit, waits: list[int]) -> None:
    """Whoever takes all that the one limit gives is never refused by the other."""
    if not as_strict(asked, bound):
        return
    now, state, other = 0, None, None
    for wait in waits:
        now += wait
        verdict, state = _spend(asked, state, now)
        if verdict.allowed:
            passed, other = _spend(bound, other, now)

            assert passed.allowed


def _spend(limit: Limit, state: State | None, now: int) -> tuple[Verdict, State]:
    return spend(limit, state, now)


def _bearer(of: KeyRecord) -> Bearer:
    return bearer_of(replace(of, organization_id="org_01J00000000000000000000001"), API, REVISION)


def _effective(own: dict[str, object]) -> frozenset[str]:
    ceiling = KINDS[str(own["kind"])].ceiling
    named = own["scopes"]
    assert isinstance(named, tuple)
    return frozenset(named) if ceiling is None else frozenset(named) & ceiling


def _first_address(network: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    assert isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
    return ipaddress.ip_network(network.network_address)


def _no_later(end: int | None, other: int | None) -> bool:
    return other is None or (end is not None and end <= other)
