"""The policy against a plain restatement of it, over generated keys, products and attempts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.api import Api, EnvironmentSource, Kind, OriginPolicy, Plan
from authsvc.domain.decision import (
    RULES,
    UNKNOWN_KEY,
    Allow,
    Attempt,
    Bearer,
    Deny,
    Purpose,
    bearer_of,
    counted_for,
    decide,
    explain,
    limits_of,
)
from authsvc.domain.keys import KeyRecord
from authsvc.domain.network import contains, parse_address, parse_network
from authsvc.domain.origins import allowed, parse_origin, parse_pattern
from authsvc.domain.quotas import Algorithm, Subject, Verdict
from authsvc.domain.reasons import Reason
from tests.support.builders import NOW, REVISION, api, attempt, kind, limit, record, route

ENDS = (None, 0, NOW - 1, NOW, NOW + 1)
LISTED = (None, (), ("10.0.0.0/8",), ("::/0", "192.0.2.0/24"))
NETWORKS = [None if texts is None else tuple(filter(None, map(parse_network, texts))) for texts in LISTED]
ORIGINS = [None, (), (parse_pattern("*.a.example"),), (parse_pattern("https://a.example"),)]
SCOPES = [(), ("a:r",), ("a:r", "b:r"), ("b:r",), ("*",), ("a:w",)]
# Limits that are easily confused: of one name, and unlike in all else.
LIMITS = [
    limit(name=name, subject=subject, algorithm=algorithm, count=count)
    for name, subject, algorithm, count in itertools.product(["m", "n"], Subject, Algorithm, [1, 10])
]
LIMIT_SETS = [(), *((one,) for one in LIMITS), *itertools.pairwise(LIMITS)]
KINDS = [
    kind(ceiling=ceiling, origins=origins, limits=limits)
    for ceiling, origins, limits in itertools.product(
        [None, frozenset(), frozenset({"a:r"}), frozenset({"a:r", "b:r", "a:w"})], OriginPolicy, LIMIT_SETS[:2]
    )
]

# A good question is taken and a few things of it are changed, so that most rules are come to.
OF_RECORD: dict[str, Sequence[Any]] = {
    "id": ["key_1", "key_2"],
    "api": ["other", ""],
    "organization_id": ["org_1", "org_2"],
    "organization_active": [False],
    "organization_networks": NETWORKS,
    "plan": ["gold", "gone"],
    "kind": ["public", "nope", ""],
    "environment": ["test", None, ""],
    "scopes": SCOPES,
    "full_access": [True],
    "origins": ORIGINS,
    "networks": NETWORKS,
    "limits": LIMIT_SETS,
    **dict.fromkeys(["not_before", "expires_at", "revoked_at", "deleted_at", "grace_ends_at"], ENDS),
}
OF_API: dict[str, Sequence[Any]] = {
    "kinds": [{}, *({"secret": one, "public": other} for one, other in itertools.pairwise(KINDS))],
    "environment_source": list(EnvironmentSource),
    "limits": LIMIT_SETS,
    "plans": [{"gold": Plan(name="gold", limits=limits)} for limits in LIMIT_SETS],
    "default_plan": ["gold", "gone", ""],
}
OF_ATTEMPT: dict[str, Sequence[Any]] = {
    "purpose": list(Purpose),
    "route": [
        None,
        *(route(kinds=kinds) for kinds in (frozenset(), frozenset({"public"}), frozenset({"secret", "nope"}))),
    ],
    "required": [None, (), ("a:r", "b:r"), ("",), ("*",)],
    "environment": ["test", None, ""],
    "origin": ["", "null", "https://a.example", "https://b.a.example", "https://x.a.example.evil.example"],
    "source_ip": [None, "", "::ffff:10.1.2.3", "192.0.2.1", "2001:db8::1", "pipe"],
    "organization_id": ["org_1", "org_2", ""],
}


def changes(of: Mapping[str, Sequence[Any]], at_most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a few fields with other values."""
    field = st.sampled_from(sorted(of)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(of[name])))
    return st.lists(field, max_size=at_most).map(dict)


def records(at_most: int) -> st.SearchStrategy[KeyRecord]:
    """Draw a key, near the good one."""
    return changes(OF_RECORD, at_most).map(lambda drawn: record(**({"scopes": ("a:r",)} | drawn)))


APIS = changes(OF_API, 3).map(lambda drawn: api(**drawn))


@dataclass
class World:
    """One question, with what the limiter will say and whether it was asked."""

    record: KeyRecord
    attempt: Attempt
    room: list[bool]
    spent: int = 0

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Answer as a limiter would, in whatever order."""
        self.spent += 1
        return tuple(
            Verdict(allowed=fits, limit=of, remaining=0, reset_ns=1, retry_ns=int(not fits))
            for of, fits in zip(bearer.limits, self.room, strict=False)
        )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a key, a product and an attempt."""
    asked = {"required": ("a:r",), "source_ip": "10.1.2.3"} | draw(changes(OF_ATTEMPT, 3))
    room = draw(st.just([True] * 8) | st.lists(st.booleans(), min_size=8, max_size=8))
    world = World(draw(records(4)), attempt(api=draw(APIS), **asked), room)
    world.attempt.spend = world.spend
    return world


def live(key: KeyRecord, now: int) -> bool:
    """Whether a key is in force."""
    begun = key.not_before is None or key.not_before <= now
    ended = any(end is not None and end <= now for end in (key.expires_at, key.grace_ends_at))
    return key.deleted_at is None and key.revoked_at is None and begun and not ended


def in_networks(key: KeyRecord, asked: Attempt) -> bool:
    """Whether the client's address is in every list there is."""
    lists = [listed for listed in (key.networks, key.organization_networks) if listed is not None]
    address = parse_address(asked.source_ip or "")
    return not lists or (address is not None and all(contains(listed, address) for listed in lists))


def from_origin(key: KeyRecord, asked: Attempt, of: Kind) -> bool:
    """Whether the origin is one the key may be used from."""
    if asked.origin is not None and of.origins is OriginPolicy.FORBIDDEN:
        return False
    if key.origins is None:
        return of.origins is not OriginPolicy.REQUIRED
    origin = parse_origin(asked.origin or "")
    return origin is not None and allowed(key.origins, origin)


def permitted(key: KeyRecord, asked: Attempt, of: Kind) -> bool:
    """Whether kind and scopes reach what is asked for."""
    if asked.required is None:
        return False
    named = asked.route is not None and asked.route.kinds is not None
    if named and asked.route is not None and key.kind not in (asked.route.kinds or ()):
        return False
    if asked.purpose is Purpose.AUTHENTICATE:
        return True
    required = set(asked.required)
    reach = of.ceiling is None or named or (bool(required) and required <= of.ceiling)
    within = of.ceiling is None or required <= of.ceiling
    return reach and within and (key.full_access or required <= set(key.scopes))


def oracle(world: World) -> bool:
    """Say whether everything holds that must, in no particular order."""
    key, asked = world.record, world.attempt
    of = asked.api.kinds.get(key.kind)
    environment = asked.api.environment_source is not EnvironmentSource.REQUEST or (
        asked.environment is not None and asked.environment == key.environment
    )
    return (
        key.api == asked.api.name
        and of is not None
        and live(key, asked.now)
        and key.organization_active
        and asked.organization_id in (None, key.organization_id)
        and environment
        and permitted(key, asked, of)
        and from_origin(key, asked, of)
        and in_networks(key, asked)
        and all(world.room[: len(limits_of(key, asked.api))])
    )


@given(worlds())
def test_a_request_is_allowed_exactly_where_everything_holds(world: World) -> None:
    """The oracle knows no order, no skipping and no rules, only what must be true."""
    expected = oracle(world)
    decision = decide(bearer_of(world.record, world.attempt.api, REVISION), world.attempt)
    event(decision.reason.value if isinstance(decision, Deny) else "allowed")
    limited = bool(limits_of(world.record, world.attempt.api))

    assert expected == isinstance(decision, Allow)
    # A request that is refused for another reason spends nothing, and one that is allowed spends once.
    assert world.spent == int(limited and (isinstance(decision, Allow) or decision.reason is Reason.RATE_LIMITED))


@given(worlds())
def test_the_decision_is_the_first_objection_of_all_rules(world: World) -> None:
    """Skipping the rules that a record cannot trip changes nothing, and an explanation agrees."""
    skipping = bearer_of(world.record, world.attempt.api, REVISION)
    whole = replace(skipping, rules=tuple(rule.check for rule in RULES))
    decision = decide(skipping, replace(world.attempt))
    said = [verdict.objection for verdict in explain(skipping, replace(world.attempt))]
    first = next((objection for objection in said if objection is not None), None)

    assert decision == decide(whole, replace(world.attempt))
    if world.record.api != world.attempt.api.name:
        assert decision is UNKNOWN_KEY
    elif first is None:
        assert isinstance(decision, Allow)
    else:
        assert decision == first


@given(records(6), records(6), APIS)
def test_two_limits_share_a_bucket_only_when_they_are_one(one: KeyRecord, other: KeyRecord, shop: Api) -> None:
    """Equal limits of one subject; of an organization, those of all its keys."""
    for of in limits_of(one, shop):
        for other_of in limits_of(other, shop):
            if of.subject is Subject.ORGANIZATION:
                same = (one.api, one.organization_id) == (other.api, other.organization_id)
            else:
                same = one.id == other.id

            shared = (of.shape, counted_for(of, one)) == (other_of.shape, counted_for(other_of, other))
            assert (of == other_of and same) == shared


@given(worlds(), st.sampled_from(["networks", "organization_networks", "origins", "scopes"]))
def test_emptying_a_list_never_helps(world: World, name: str) -> None:
    """Empty matches nobody."""
    before = decide(bearer_of(world.record, world.attempt.api, REVISION), replace(world.attempt))
    empty: dict[str, Any] = {name: ()}
    emptied = replace(world.record, **empty)
    after = decide(bearer_of(emptied, world.attempt.api, REVISION), replace(world.attempt))

    assert isinstance(before, Allow) or isinstance(after, Deny)
