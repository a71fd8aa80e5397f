"""Generated Checks against a door with many keys: nobody passes whom the oracle does not let pass."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from authsvc.cache import CacheSettings
from authsvc.domain.api import EnvironmentSource
from authsvc.domain.key_text import KeyTable
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.domain.routes import RouteTable
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.fuzz.oracle import Facts, verdict
from tests.support import builders
from tests.support.builders import NOW, key_class, record, route
from tests.support.doors import Answer, Door, check_request, door, new_key

ORIGIN, NETWORK = parse_pattern("https://app.example"), parse_network("192.0.2.0/24")
assert ORIGIN is not None
assert NETWORK is not None
TEST_CLASS = key_class(prefix="sk_test_", environment="test")
ROUTES = RouteTable(
    [
        route(),
        route(method="POST", scopes=("things:create",), preflight=True),
        route(method="DELETE", scopes=("things:write",)),
        route(path="/health", scopes=(), public=True),
        route(path="/test/things", environment="test"),
        route(path="/admin", scopes=("things:read", "things:write")),
        route(path="/v1/things/{id}"),
    ]
)
SHOP = builders.api(routes=ROUTES, keys=KeyTable([key_class(), TEST_CLASS]))
BOTH = replace(
    SHOP,
    name="both",
    hosts=frozenset(),
    environment_source=EnvironmentSource.NONE,
    credentials=(builders.BEARER, builders.API_KEY),
)
# What is stored, and beside it what the oracle is told of it.
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"scopes": ("things:write", "things:read")}, {"scopes": frozenset({"things:write", "things:read"})}),
    ({"full_access": True, "scopes": ()}, {"everything": True}),
    ({"scopes": ()}, {"scopes": frozenset()}),
    ({"revoked_at": NOW - 1}, {"dead": True}),
    ({"expires_at": NOW}, {"dead": True}),
    ({"not_before": NOW + 1}, {"dead": True}),
    ({"deleted_at": NOW - 1}, {"dead": True}),
    ({"organization_active": False}, {"dead": True}),
    ({"networks": (NETWORK,)}, {"network": "192.0.2"}),
    ({"organization_networks": (NETWORK,)}, {"network": "192.0.2"}),
    ({"origins": (ORIGIN,)}, {"origins": frozenset({"https://app.example", "https://app.example:443"})}),
    (
        {"kind": "publishable", "scopes": ("things:create", "things:read"), "origins": (ORIGIN,)},
        {
            "browser": True,
            "scopes": frozenset({"things:create"}),
            "origins": frozenset({"https://app.example", "https://app.example:443"}),
        },
    ),
    ({"environment": "test"}, {"environment": "test"}),
    ({"api": "both"}, {"api": "both"}),
    ({"api": "both", "full_access": True, "scopes": ()}, {"api": "both", "everything": True}),
]
KEYS = [new_key(TEST_CLASS if stored.get("environment") else None, seed=100 + n) for n, (stored, _) in enumerate(CASES)]
RECORDS = {key: record(id=f"key_{n}", **stored) for n, (key, (stored, _)) in enumerate(zip(KEYS, CASES, strict=True))}
FACTS = {key: Facts(f"key_{n}", **told) for n, (key, (_, told)) in enumerate(zip(KEYS, CASES, strict=True))}
NO_KEYS = [new_key(seed=300), KEYS[0][:-1], KEYS[0] + "A", KEYS[0].lower(), "", "sk_live_", "' OR 1=1 --"]


TEXT = st.text(max_size=20)
SEGMENTS = st.lists(
    st.sampled_from(["v1", "things", "admin", "health", "..", ".", "", "%2e%2e", "a%2fb", "x;y", "%61", "\\", "test"])
    | TEXT,
    max_size=4,
).map(lambda parts: "/" + "/".join(parts))
PLACES = [("GET", "/v1/things"), ("POST", "/v1/things"), ("DELETE", "/v1/things"), ("GET", "/v1/things/42")]
PLACES += [("GET", "/admin"), ("GET", "/health"), ("GET", "/test/things"), ("GET", "/v1/things?x=/health")]
ODD_PRESENTED = [
    "{}",
    "Bearer  {}",
    "Bearer\t{}",
    "Basic {}",
    "Bearer {}\n",
    "Bearer {},",
    '"{}"',
    "Bearer {0},Bearer {0}",
]
ODD: dict[str, st.SearchStrategy[Any]] = {
    "method": st.sampled_from(["get", "", "PUT", "OPTIONS", "GET ", "GET\n", "*"]),
    "path": SEGMENTS | TEXT | st.tuples(SEGMENTS, st.sampled_from(["?", "#", "?#", "/", "/."]), TEXT).map("".join),
    "presented": st.sampled_from(ODD_PRESENTED),
    "key": st.sampled_from(NO_KEYS) | TEXT,
    "host": TEXT | st.sampled_from(["api.shop.example.", "evil.example", "api.shop.example:x", "API.SHOP.EXAMPLE:1"]),
    "peer": st.sampled_from([None, "192.0.2", "::ffff:198.51.100.1", "198.51.100.1"]) | TEXT,
    "origin": st.sampled_from(
        ["null", "", "https://app.example.evil.example", "https://app.example, https://x.example"]
    )
    | st.sampled_from(["HTTPS://APP.example:443", "http://app.example"])
    | TEXT,
    "header": st.sampled_from(["authorization", "x-api-key"]),
    "extensions": st.fixed_dictionaries(
        {},
        optional={
            "api": st.sampled_from(["shop", "both", "SHOP", "", "other"]),
            "public": st.sampled_from(["true", "TRUE", "1", "", "false"]),
            "environment": st.sampled_from(["live", "test", "LIVE", ""]),
            "required_scopes": st.sampled_from(
                ["things:read", "things:write", "things:read,things:create", "", " ", "x:y"]
            ),
            "Public": st.just("true"),
        },
    ),
}
NAMES = ["origin", "access-control-request-method", "x-api-key", "authorization", "x_api_key", "x-forwarded-for"]
NAMES += ["x-authsvc-kind", "x_authsvc_kind", "x-original-url", "cookie", "content-type", ":path", "Authorization"]
VALUES = TEXT | st.sampled_from(["POST", "GET", "a\r\nb", "\0", "application/grpc", "https://app.example", KEYS[0]])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request that suits its key in everything but its place, then make up to three things about it odd."""
    key = draw(st.sampled_from(KEYS))
    facts = FACTS[key]
    method, path = draw(st.sampled_from(PLACES))
    usual: dict[str, Any] = {
        "method": method,
        "path": path,
        "presented": "Bearer {}",
        "key": key,
        "host": "api.test.shop.example" if facts.environment == "test" else "api.shop.example",
        "peer": "192.0.2.7",
        "origin": "https://app.example",
        "header": "authorization",
        "extensions": {"api": facts.api},
    }
    odd = draw(st.lists(st.sampled_from(sorted(usual)), unique=True, max_size=3))
    chosen = usual | {name: draw(ODD[name]) for name in odd}
    presented = chosen["key"] if chosen["header"] == "x-api-key" else chosen["presented"].format(chosen["key"])
    more = draw(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=2)) if draw(st.booleans()) else []
    return check_request(
        headers=[(chosen["header"], presented), ("origin", chosen["origin"]), *more],
        raw=draw(st.booleans()),
        **{name: chosen[name] for name in ("method", "path", "host", "peer", "extensions")},
    ).SerializeToString()


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Draw a request with a few bytes changed, cut, doubled or put in."""
    payload = bytearray(draw(requests()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(payload) - 1, 0)))
        match draw(st.sampled_from(["set", "cut", "insert", "double", "flip"])):
            case "set":
                payload[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del payload[at : at + draw(st.integers(1, 30))]
            case "insert":
                payload[at:at] = draw(st.binary(max_size=8))
            case "double":
                payload += payload[at:]
            case _ if payload:
                payload[at] ^= 1 << draw(st.integers(0, 7))
            case _:
                pass
    return bytes(payload)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[asyncio.Runner, Door]]:
    """One loop and one door for all examples, every key already loaded."""
    settings_ = CacheSettings(load_budget=10, unknown_per_second=10**9, loads=100)
    with asyncio.Runner() as runner:
        built = door(RECORDS, SHOP, BOTH, settings=settings_)
        for key in KEYS:
            runner.run(built.ask(key=key))
        yield runner, built


def judge(running: tuple[asyncio.Runner, Door], payload: bytes, facts: dict[str, Facts] = FACTS) -> tuple[Answer, bool]:
    """Ask the door and the oracle; nobody may pass but as the oracle says."""
    runner, built = running
    answer = Answer.of(runner.run(built.answer(payload)))
    expected = verdict(payload, facts)
    if answer.allowed:
        assert expected.passes, expected.why
        assert set(answer.headers) == set(IDENTITY_HEADERS)
        assert answer.headers["x-authsvc-key-id"] == expected.key_id
        assert not set(answer.removed) & set(answer.headers)
    else:
        assert answer.message.WhichOneof("http_response") == "denied_response"
        assert 400 <= answer.status < 500
        assert not set(answer.headers) & set(IDENTITY_HEADERS[:-1])
    return answer, expected.passes


@given(payload=requests())
def test_requests(running: tuple[asyncio.Runner, Door], payload: bytes) -> None:
    """Of well-formed requests exactly those pass that the oracle lets pass."""
    answer, passes = judge(running, payload)

    assert answer.allowed == passes or answer.reason == "bad_request" or awkward(payload)


def awkward(payload: bytes) -> bool:
    """Whether a path's last segment is one that the service may refuse and the oracle does not judge."""
    return b"%" in payload or b";" in payload or any(byte > 0x7E for byte in payload)


@given(payload=mutants())
def test_mutants(running: tuple[asyncio.Runner, Door], payload: bytes) -> None:
    """No change of bytes lets anybody pass who would not."""
    judge(running, payload)


@given(payload=st.binary(max_size=300))
def test_noise(running: tuple[asyncio.Runner, Door], payload: bytes) -> None:
    """Bytes alone never pass."""
    answer, passes = judge(running, payload)

    assert (answer.allowed, passes) == (False, False)


def test_the_requests_are_worth_judging(running: tuple[asyncio.Runner, Door]) -> None:
    """The control arm: many of the drawn requests pass, and every kind of refusal occurs sooner or later."""
    seen: Counter[str] = Counter()
    expected = {
        "ok",
        "bad_request",
        "unauthorized",
        "invalid_key",
        "route_not_configured",
        "wrong_environment",
        "insufficient_scope",
        "organization_suspended",
        "ip_not_allowed",
        "origin_not_allowed",
        "kind_not_allowed",
    }
    for number in range(5):
        if expected <= set(seen):
            break

        @seed(number)
        @settings(max_examples=1000, database=None)
        @given(payload=requests())
        def look(payload: bytes) -> None:
            seen[judge(running, payload)[0].reason] += 1

        look()

    assert expected <= set(seen)
    assert seen["ok"] > 30


def test_the_oracle_objects(running: tuple[asyncio.Runner, Door]) -> None:
    """The control arm: an allow of a key that the oracle holds dead, or knows as another, is a failure."""
    payload = check_request(key=KEYS[0]).SerializeToString()
    for facts in ({}, {KEYS[0]: Facts("key_0", dead=True)}, {KEYS[0]: Facts("key_1")}):
        with pytest.raises(AssertionError):
            judge(running, payload, facts)
