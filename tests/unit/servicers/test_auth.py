"""AuthService: bytes in, bytes out; a denial is a response, a fault is an RPC error with a fixed text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import (
    AuthenticateRequest,
    AuthenticateResponse,
    AuthorizeRequest,
    AuthorizeResponse,
    BatchAuthorizeItem,
    BatchAuthorizeRequest,
    BatchAuthorizeResponse,
)
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY, Decision, RequestContext
from google.protobuf.message import Message

from authsvc.domain.errors import UnavailableError
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.servicers.method import Refusal, Waiting
from tests.support.builders import NOW, limit, record
from tests.support.doors import AUTHENTICATE, AUTHORIZE, BATCH, KEY, SHOP, Door, door, new_key

RESPONSES: dict[str, type[Message]] = {
    AUTHENTICATE: AuthenticateResponse,
    AUTHORIZE: AuthorizeResponse,
    BATCH: BatchAuthorizeResponse,
}
NETWORK, PATTERN = parse_network("192.0.2.0/24"), parse_pattern("https://app.example")
assert NETWORK is not None
assert PATTERN is not None
RICH = record(
    scopes=("things:write", "things:read"),
    metadata={"team": "blue"},
    expires_at=NOW + 2_500_000,
    limits=(limit(),),
)


async def put(built: Door, path: str, request: Message | bytes) -> Any:
    """Put one request to a method; a `Refusal`, or the response."""
    method = next(method for method in built.methods if method.path == path)
    payload = request if isinstance(request, bytes) else request.SerializeToString()
    answer = method.now(payload)
    if isinstance(answer, Waiting):
        answer = await method.later(answer, 1.0)
    return answer if isinstance(answer, Refusal) else RESPONSES[path].FromString(answer)


async def authenticate(built: Door | None = None, **fields: Any) -> Any:
    """Ask who the bearer of `KEY` is."""
    return await put(built or door(), AUTHENTICATE, AuthenticateRequest(**{"api": "shop", "credential": KEY} | fields))


async def authorize(built: Door | None = None, **fields: Any) -> Any:
    """Ask whether the bearer of `KEY` may do something."""
    return await put(built or door(), AUTHORIZE, AuthorizeRequest(**{"api": "shop", "credential": KEY} | fields))


def verdict_of(decision: Decision) -> tuple[int, str, int]:
    """Return what a client acts on."""
    return decision.verdict, decision.reason, decision.http_status


ALLOW = (VERDICT_ALLOW, "", 200)
READ = {"required_scopes": ["things:read"]}


async def test_who_is_this() -> None:
    """The principal is told with everything a backend may know, and never the key."""
    answer = await authenticate(door({KEY: RICH}))
    principal = answer.principal

    assert verdict_of(answer.decision) == ALLOW
    assert (principal.api, principal.key_id, principal.organization_id) == ("shop", RICH.id, RICH.organization_id)
    assert (principal.kind, principal.environment, principal.full_access) == ("secret", "live", False)
    assert list(principal.scopes) == ["things:read", "things:write"]
    assert dict(principal.metadata) == {"team": "blue"}
    assert principal.expires_at.ToMicroseconds() == NOW + 2_500_000
    assert answer.decision.revision == "00000000-0000-0000-0000-000000000001:1"
    assert KEY.encode() not in answer.SerializeToString()


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        pytest.param({"required_scopes": ["things:read"]}, True, id="scope"),
        pytest.param({"required_scopes": ["things:read", "things:write"]}, False, id="scope-missing"),
        pytest.param({"method": "GET", "path": "/v1/things"}, True, id="route"),
        pytest.param({"method": "GET", "path": "/v1/things?x=1"}, True, id="route-with-query"),
        pytest.param({"method": "GET", "path": "/v1/other"}, False, id="no-route"),
        pytest.param({"method": "GET", "path": "//v1/things"}, False, id="ambiguous-path"),
        pytest.param({"method": "get", "path": "/v1/things"}, False, id="lower-case-method"),
        pytest.param({**READ, "organization_id": record().organization_id}, True, id="own-organization"),
        pytest.param({**READ, "organization_id": "org_other"}, False, id="other-organization"),
    ],
)
async def test_may_they_do_this(fields: dict[str, Any], *, allowed: bool) -> None:
    """Either the caller names the scopes, or the route does; a principal is told on an allow only."""
    answer = await authorize(**fields)

    assert (VERDICT_ALLOW if allowed else VERDICT_DENY) == answer.decision.verdict
    assert allowed is answer.HasField("principal")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"credential": ""}, ("unauthorized", 401, ""), id="no-credential"),
        pytest.param({"credential": f"Bearer {KEY}"}, ("unauthorized", 401, ""), id="with-scheme"),
        pytest.param({"credential": KEY + "\n"}, ("unauthorized", 401, ""), id="line-break"),
        pytest.param({"credential": KEY * 10}, ("unauthorized", 401, ""), id="too-long"),
        pytest.param({"credential": "\u043a\u043b\u044e\u0447"}, ("unauthorized", 401, ""), id="not-ascii"),
        pytest.param({"credential": new_key(seed=9)}, ("invalid_key", 401, ""), id="unknown"),
        pytest.param({"credential": KEY[:-1] + "!"}, ("invalid_key", 401, ""), id="malformed"),
        pytest.param({"required_scopes": ["things:write"]}, ("insufficient_scope", 403, "things:write"), id="scope"),
        pytest.param({"organization_id": "org_x"}, ("wrong_organization", 403, ""), id="organization"),
    ],
)
async def test_a_denial_is_a_response(fields: dict[str, Any], told: tuple[str, int, str]) -> None:
    """The decision names reason, status and the missing scope, with an id and a sentence."""
    decision = (await authorize(**READ | fields)).decision

    assert (VERDICT_DENY, *told) == (decision.verdict, decision.reason, decision.http_status, decision.required_scope)
    assert len(decision.decision_id) == 24
    assert 0 < len(decision.message) <= 256


async def test_limits_are_spent_by_authorize_and_on_demand() -> None:
    """Authenticate spends nothing unless asked; the state of the limit is told, and how long to wait."""
    built = door({KEY: record(limits=(limit(count=2, burst=2),))})
    free = await authenticate(built)
    spent = [await authorize(built, **READ), await authenticate(built, spend_rate_limit=True)]
    refused = (await authorize(built, **READ)).decision

    assert not free.decision.HasField("rate_limit")
    assert [each.decision.rate_limit.remaining for each in spent] == [1, 0]
    assert (refused.reason, refused.http_status, refused.rate_limit.limit) == ("rate_limited", 429, 2)
    assert 0 < refused.retry_after.seconds <= 30


@pytest.mark.parametrize("restriction", [{"networks": (NETWORK,)}, {"origins": (PATTERN,)}], ids=["network", "origin"])
@pytest.mark.parametrize("ask", [authenticate, authorize], ids=["authenticate", "authorize"])
async def test_what_is_not_known_does_not_pass(ask: Any, restriction: dict[str, Any]) -> None:
    """A key that is restricted in a dimension is refused where the caller does not know it."""
    built = door({KEY: record(**restriction)})
    scopes = READ if ask is authorize else {}
    known = RequestContext(source_ip="192.0.2.9", origin="https://app.example")

    assert (await ask(built, **scopes)).decision.verdict == VERDICT_DENY
    assert (
        await ask(built, context=RequestContext(source_ip="", origin=""), **scopes)
    ).decision.verdict == VERDICT_DENY
    assert (await ask(built, context=known, **scopes)).decision.verdict == VERDICT_ALLOW


async def test_dead_keys_look_like_unknown_ones() -> None:
    """The whole response is the same, but for the decision's id."""
    built = door({KEY: record(revoked_at=NOW - 1)})
    dead, unknown = await authorize(built, **READ), await authorize(built, credential=new_key(seed=7), **READ)
    dead.decision.decision_id = unknown.decision.decision_id = ""

    assert dead == unknown


LONG = "a" * 65
BAD: dict[str, dict[str, Any]] = {
    "no-api": {"api": "none"},
    "api-by-host": {"api": "", "context": RequestContext(host="unknown.example")},
    "nothing-asked": {"required_scopes": []},
    "both-asked": {"path": "/v1/things", "method": "GET"},
    "unknown-scope": {"required_scopes": ["things:fly"]},
    "many-scopes": {"required_scopes": ["things:read"] * 65},
    "long-organization": {"organization_id": LONG},
    "long-environment": {"context": RequestContext(environment=LONG)},
    "long-origin": {"context": RequestContext(origin="https://" + "a" * 512)},
    "long-address": {"context": RequestContext(source_ip="1" * 46)},
    "many-bytes": {"context": RequestContext(environment="\u4e16" * 22)},
    "revision-without-number": {"at_least_revision": "epoch:"},
    "revision-without-epoch": {"at_least_revision": ":1"},
    "revision-bare": {"at_least_revision": "7"},
    "revision-other-digits": {"at_least_revision": "epoch:\u0661"},
    "revision-negative": {"at_least_revision": "epoch:-1"},
    "revision-long": {"at_least_revision": "epoch:" + "1" * 60},
}


@pytest.mark.parametrize("fields", [pytest.param(fields, id=name) for name, fields in BAD.items()])
async def test_the_callers_own_mistakes(fields: dict[str, Any]) -> None:
    """A question out of bounds is INVALID_ARGUMENT, and the text names the field."""
    answer = await authorize(**READ | fields)

    assert isinstance(answer, Refusal)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert any(name in answer.text for name in (*fields, "environment", "origin", "source_ip", "required_scopes"))


@pytest.mark.parametrize("path", [AUTHENTICATE, AUTHORIZE, BATCH])
@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x05shop", b"\x0a\x02\xff\xfe"], ids=["garbage", "cut", "not-utf8"])
async def test_bytes_that_are_no_request(path: str, payload: bytes) -> None:
    """The text is fixed; the parser's is not told."""
    expected = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read")

    assert await put(door(), path, payload) == expected


@pytest.mark.parametrize("path", [AUTHENTICATE, AUTHORIZE, BATCH])
async def test_an_empty_request(path: str) -> None:
    """Nothing asked is nothing answered."""
    assert (await put(door(), path, b"")).code is grpc.StatusCode.INVALID_ARGUMENT


def batch(*requests: AuthorizeRequest, names: list[str] | None = None) -> BatchAuthorizeRequest:
    """Ask many questions, named by their place unless `names` says otherwise."""
    named = names or [str(place) for place in range(len(requests))]
    items = [BatchAuthorizeItem(correlation_id=n, request=r) for n, r in zip(named, requests, strict=True)]
    return BatchAuthorizeRequest(items=items)


async def test_a_batch_answers_every_question_by_itself() -> None:
    """Cached, loaded, denied and bad ones keep their order and their names, and none fails another."""
    other = new_key(seed=5)
    built = door({KEY: record(), other: record(id="key_2", scopes=())})
    await authorize(built, **READ)
    asked = AuthorizeRequest(api="shop", credential=KEY, **READ)
    without = AuthorizeRequest(api="shop", credential=other, **READ)
    answer = await put(built, BATCH, batch(asked, AuthorizeRequest(api="none"), without, asked))
    first, second, third, fourth = answer.results

    assert [each.correlation_id for each in answer.results] == ["0", "1", "2", "3"]
    assert [verdict_of(each.response.decision) for each in (first, fourth)] == [ALLOW, ALLOW]
    assert (second.WhichOneof("outcome"), second.error.code) == ("error", 3)
    assert third.response.decision.reason == "insufficient_scope"
    assert len({each.response.decision.decision_id for each in (first, third, fourth)}) == 3


async def test_a_batch_while_the_database_is_lost() -> None:
    """What is cached is answered; the rest gets its own error."""
    built = door()
    await authorize(built, **READ)
    built.store.fault = UnavailableError("the database is not available")
    cached = AuthorizeRequest(api="shop", credential=KEY, **READ)
    cold = AuthorizeRequest(api="shop", credential=new_key(seed=8), **READ)
    answer = await put(built, BATCH, batch(cached, cold))

    assert verdict_of(answer.results[0].response.decision) == ALLOW
    assert (answer.results[1].error.code, answer.results[1].error.message) == (14, "the database is not available")


@pytest.mark.parametrize(("count", "code"), [(0, 3), (1, None), (100, None), (101, 3)])
async def test_bounds_of_a_batch(count: int, code: int | None) -> None:
    """One to a hundred questions."""
    answer = await put(door(), BATCH, batch(*[AuthorizeRequest(api="shop", credential=KEY, **READ)] * count))

    assert code == (answer.code.value[0] if isinstance(answer, Refusal) else None)
    assert code is not None or len(answer.results) == count


@pytest.mark.parametrize("name", ["a" * 65, "\u4e16" * 22])
async def test_an_overlong_name_in_a_batch(name: str) -> None:
    """The item gets an error without its name, and the others their answers."""
    asked = AuthorizeRequest(api="shop", credential=KEY, **READ)
    long, fine = (await put(door(), BATCH, batch(asked, asked, names=[name, "a" * 64]))).results

    assert (long.correlation_id, long.error.code) == ("", 3)
    assert (fine.correlation_id, verdict_of(fine.response.decision)) == ("a" * 64, ALLOW)


async def test_a_public_route_needs_no_key_and_has_no_principal() -> None:
    """A caller that names method and path learns that nobody needs to ask."""
    public = replace(SHOP.routes.routes[0], path="/health", public=True, scopes=())
    built = door(None, replace(SHOP, routes=type(SHOP.routes)([public])))
    answer = await authorize(built, credential="", method="GET", path="/health")

    assert verdict_of(answer.decision) == ALLOW
    assert not answer.HasField("principal")
