"""
No call leaves a key behind that can do more than its caller could: create, rotate and update, whatever is asked.

The oracle knows nothing of the rule's code. It tells by hand what a key can do about a fixed set of
probes, and compares sets.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.administrator import Administrator
from authsvc.domain.api import EmptyScopes, OriginPolicy
from authsvc.domain.errors import AuthsvcError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.keys import KeyRecord
from authsvc.domain.updating import KEY_FIELDS
from authsvc.usecases.rotate_key import RotateKey, Rotation
from authsvc.usecases.update_key import KeyChange, UpdateKey
from tests.support.administration import ALL_SCOPES, PRESETS, World, key_request, shop, wanted
from tests.support.builders import NOW, PUBLISHABLE, SECRET

CEILINGS = {"secret": None, "publishable": frozenset({"things:create"})}
MANAGING = frozenset({"keys:read", "keys:write"})
PRODUCT = shop(
    kinds={"secret": SECRET, "publishable": replace(PUBLISHABLE, origins=OriginPolicy.OPTIONAL)},
    empty_scopes=EmptyScopes.FULL_ACCESS,
)
BLOCKS = ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "11.0.0.0/8", "2001:db8::/32")
ADDRESSES = ("10.1.2.3", "10.1.9.9", "10.9.9.9", "11.0.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1", None)
PATTERNS = ("https://shop.example", "https://*.shop.example", "https://*.eu.shop.example", "http://shop.example")
ORIGINS = (
    None,
    "https://shop.example",
    "https://a.shop.example",
    "https://a.eu.shop.example",
    "https://eu.shop.example",
    "http://shop.example",
    "https://other.example",
)
ENDS = (None, NOW + 1, NOW + 10, NOW + 100)
INSTANTS = (NOW, NOW + 5, NOW + 50, NOW + 500)
RATES = ("1/second", "2/second", "5/minute", "60/minute", "120/hour")
PERIODS = {"second": 1, "minute": 60, "hour": 3600}


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...] | None]:
    """Nothing said, or some of the values."""
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)


def rates() -> st.SearchStrategy[tuple[str, ...]]:
    """Up to two limits, each of another period."""
    period = lambda rate: rate.partition("/")[2]  # noqa: E731 - two lines
    return st.lists(st.sampled_from(RATES), max_size=2, unique_by=period).map(tuple)


def networks(blocks: tuple[str, ...] | None) -> WantedNetworks | None:
    """Return networks as they are asked for."""
    return None if blocks is None else WantedNetworks(cidrs=blocks, allow_any=True)


# What is not said is what keys mostly have, so that enough of what is asked is within.
asked = st.fixed_dictionaries(
    {
        "scopes": st.lists(st.sampled_from(ALL_SCOPES), max_size=3, unique=True).map(tuple),
        "environment": st.sampled_from(["live", "live", "test"]),
    },
    optional={
        "kind": st.sampled_from(["secret", "secret", "publishable"]),
        "full_access": st.booleans(),
        "origins": some(PATTERNS),
        "networks": some(BLOCKS).map(networks),
        "rate_limits": rates(),
        "expires_at": st.sampled_from(ENDS),
        "not_before": st.sampled_from([None, NOW + 20]),
    },
)


def powers(record: KeyRecord) -> dict[str, set[Any]]:
    """Return what a key can do: of every dimension the probes that it passes."""
    ceiling = CEILINGS[record.kind]
    named = {scope for scope in record.scopes if ceiling is None or scope in ceiling}
    unnamed = {scope for scope in ALL_SCOPES if record.full_access and scope not in MANAGING}
    end = min((end for end in (record.expires_at, record.grace_ends_at) if end is not None), default=None)
    return {
        # Two keys of one organization differ by kind in their ceiling alone.
        "kind": {"anything"} if ceiling is None else set(),
        "environment": {record.environment},
        "scopes": named | {scope for scope in unnamed if ceiling is None or scope in ceiling},
        "scopes of tomorrow": {"a"} if record.full_access and ceiling is None else set(),
        "addresses": {address for address in ADDRESSES if _reached(record, address)},
        "origins": {origin for origin in ORIGINS if _shown(record, origin)},
        "instants": {instant for instant in INSTANTS if end is None or instant < end},
    }


def _reached(record: KeyRecord, address: str | None) -> bool:
    if record.networks is None:
        return True
    blocks = [ipaddress.ip_network(str(block)) for block in record.networks]
    return address is not None and any(ipaddress.ip_address(address) in block for block in blocks)


def _shown(record: KeyRecord, origin: str | None) -> bool:
    if record.origins is None:
        return True
    if origin is None:
        return False
    for pattern in record.origins:
        scheme, host = pattern.text.split("://")
        if scheme == urlsplit(origin).scheme:
            own = urlsplit(origin).netloc
            if own == host or (host.startswith("*.") and own.endswith(host[1:])):
                return True
    return False


def busiest(record: KeyRecord, seconds: int) -> float:
    """Return how many requests a key can make within a span: each of its limits gives its count, then its pace."""
    return min(
        (limit.count + seconds * limit.count / (limit.period_ns / 1e9) for limit in record.limits), default=float("inf")
    )


def stronger(made: KeyRecord, caller: KeyRecord) -> list[str]:
    """Return in what a key can do more than another one."""
    own, others = powers(made), powers(caller)
    beyond = [name for name in own if not own[name] <= others[name]]
    if any(busiest(made, span) > busiest(caller, span) for span in (0, 1, 10, 60, 600, 3600, 36_000)):
        beyond.append("rate")
    return beyond


@dataclass(frozen=True)
class Scene:
    """A caller that may manage keys, another key of its organization, and the use cases."""

    world: World
    caller: Administrator
    other: str

    @classmethod
    async def set(cls, own: dict[str, Any], others: dict[str, Any]) -> Scene:
        """Make both keys as an operator does who may make any."""
        world = await World(product=PRODUCT).populate()
        scopes = (*dict.fromkeys((*own["scopes"], "keys:write")),)
        managing = {**own, "kind": "secret", "scopes": scopes}
        caller = world.stored(await world.key(**managing)).record
        other = (await world.key(**others)).changed.value.record.id
        return cls(world, Administrator(api=PRODUCT, record=caller, address="", as_of=None), other)

    async def create(self, terms: dict[str, Any]) -> list[KeyRecord]:
        """Create a key; return it."""
        made = await self.world.create_key(self.caller, key_request(**terms))
        return [made.changed.value.record]

    async def rotate(self, key_id: str) -> list[KeyRecord]:
        """Rotate a key; return its successor, whose text the caller holds now."""
        world = self.world
        rotate = RotateKey(world.store, world.cache, world.apis, world.mint, world.clock)
        rotated = await rotate(self.caller, Rotation(key_id=key_id, grace=0, etag="", request_id="", body=b""))
        return [rotated.changed.value.key.record]

    async def update(self, key_id: str, terms: dict[str, Any]) -> list[KeyRecord]:
        """Update the fields that can change; return the key."""
        world = self.world
        update = UpdateKey(world.store, world.cache, world.apis, world.clock)
        fields = KEY_FIELDS & set(terms)
        change = KeyChange(key_id=key_id, fields=fields, wanted=wanted(**terms), etag="", request_id="", body=b"")
        return [(await update(self.caller, change)).value.record]


async def possible(own: dict[str, Any], others: dict[str, Any]) -> Scene | None:
    """Return the scene, unless one of the keys is one that nobody can have."""
    try:
        return await Scene.set(own, others)
    except AuthsvcError:
        return None


async def left_behind(scene: Scene, verb: str, terms: dict[str, Any], *, itself: bool) -> list[KeyRecord]:
    """Make the call; return the keys it leaves behind, and see that a refused one leaves all as it was."""
    before = dict(scene.world.store.keys)
    target = scene.caller.record.id if itself else scene.other
    try:
        if verb == "create":
            return await scene.create(terms)
        return await (scene.rotate(target) if verb == "rotate" else scene.update(target, terms))
    except AuthsvcError as error:
        event(f"{verb}: {type(error).__name__}")
        assert before == scene.world.store.keys
        return []


async def judged(
    own: dict[str, Any], others: dict[str, Any], verb: str, terms: dict[str, Any], *, itself: bool
) -> list[list[str]]:
    """Return in what each key left behind is stronger than the caller."""
    scene = await possible(own, others)
    if scene is None:
        return []
    caller = scene.caller.record
    return [stronger(record, caller) for record in await left_behind(scene, verb, terms, itself=itself)]


@given(own=asked, others=asked, verb=st.sampled_from(["create", "rotate", "update"]), terms=asked, itself=st.booleans())
def test_no_call_leaves_a_stronger_key(
    own: dict[str, Any], others: dict[str, Any], verb: str, terms: dict[str, Any], *, itself: bool
) -> None:
    """Whatever the caller holds, whichever key it aims at and whatever it asks for."""
    for beyond in asyncio.run(judged(own, others, verb, terms, itself=itself)):
        event(f"{verb}: done")

        assert not beyond


@given(own=asked, preset=st.sampled_from(list(PRESETS)), terms=asked)
def test_no_preset_makes_a_stronger_key(own: dict[str, Any], preset: str, terms: dict[str, Any]) -> None:
    """The name of a set of scopes gives no more than the set would."""
    named = {**terms, "scopes": (), "full_access": False, "preset": preset}

    for beyond in asyncio.run(judged(own, own, "create", named, itself=False)):
        event("create: done")

        assert not beyond


@given(own=asked, verb=st.sampled_from(["create", "update"]), terms=asked)
def test_from_a_copy_of_the_caller_too(own: dict[str, Any], verb: str, terms: dict[str, Any]) -> None:
    """Most of what is asked is the caller's own here, so that most calls get through or fail by little."""
    near = {**own, **dict(list(terms.items())[-1:])}

    for beyond in asyncio.run(judged(own, own, verb, near, itself=False)):
        event(f"{verb}: done")

        assert not beyond


PLAIN: dict[str, Any] = {"scopes": ("things:read",), "environment": "live"}
STRONGER = [
    pytest.param({}, {"scopes": ("things:write",)}, id="scopes"),
    pytest.param({}, {"scopes": (), "full_access": True}, id="full-access"),
    pytest.param({"networks": networks(("10.0.0.0/8",))}, {"networks": None}, id="networks"),
    pytest.param({"networks": networks(("10.0.0.0/8",))}, {"networks": networks(("11.0.0.0/8",))}, id="network"),
    pytest.param({"origins": ("https://shop.example",)}, {"origins": ("https://*.shop.example",)}, id="origins"),
    pytest.param({"expires_at": NOW + 10}, {"expires_at": NOW + 100}, id="expiry"),
    pytest.param({"rate_limits": ("1/second",)}, {"rate_limits": ("2/second",)}, id="rate"),
    pytest.param({"rate_limits": ("1/second",)}, {"rate_limits": ()}, id="no-rate"),
]


@pytest.mark.parametrize("verb", ["create", "rotate", "update"])
@pytest.mark.parametrize(("own", "more"), STRONGER)
async def test_without_the_rule_the_oracle_would_object(
    monkeypatch: pytest.MonkeyPatch, verb: str, own: dict[str, Any], more: dict[str, Any]
) -> None:
    """The property above is not true by chance: take the rule out of any of the verbs, and it fails."""
    monkeypatch.setattr(f"authsvc.usecases.{verb}_key.check_reach", lambda *_: None)
    mine, theirs = {**PLAIN, **own}, {**PLAIN, **own, **more}

    (beyond,) = await judged(mine, theirs if verb == "rotate" else mine, verb, theirs, itself=False)

    assert beyond


@pytest.mark.parametrize("verb", ["create", "rotate", "update"])
async def test_what_is_within_is_done(verb: str) -> None:
    """Nor is it true because nothing passes."""
    assert await judged(PLAIN, PLAIN, verb, PLAIN, itself=False) == [[]]
