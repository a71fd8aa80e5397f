"""`Check` on its own: who may pass with which headers, and who may read a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.api import EnvironmentSource
from authsvc.domain.decision import Outcome
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import HeaderValueOption
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.support import builders
from tests.support.builders import key_class, record
from tests.support.doors import (
    ALLOWED,
    BAD_REQUEST,
    BROWSER,
    INVALID_KEY,
    KEY,
    NO_ROUTE,
    ROUTED,
    UNAUTHORIZED,
    UNDECIDED,
    Answer,
    Door,
    check_request,
    door,
    new_key,
)

API = ROUTED
PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "POST"}
EMPTY = dict.fromkeys(IDENTITY_HEADERS, "")


def assert_replaces(answer: Answer) -> None:
    """Every header of an allow must be set in the way that no release of Envoy appends."""
    assert all(
        each.HasField("append")
        and not each.append.value
        and each.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        for each in answer.message.ok_response.headers
    )


async def test_an_allow_tells_the_upstream_who_it_is() -> None:
    """Exactly the six identity headers are set, each to replace what the client sent."""
    answer = await door(None, API).ask(key=KEY)
    told = ("org_01J00000000000000000000001", "key_01J00000000000000000000001", "secret", "live", "things:read")

    assert answer.outcome == ALLOWED
    assert answer.message.WhichOneof("http_response") == "ok_response"
    assert dict(zip(IDENTITY_HEADERS, (*told, answer.metadata["decision_id"]), strict=True)) == answer.headers
    assert len(answer.message.ok_response.headers) == 6
    assert_replaces(answer)


async def test_metadata_of_an_allow() -> None:
    """The access log learns what the upstream learns, and under which API."""
    answer = await door(None, API).ask(key=KEY)
    expected = {
        "api": "shop",
        "reason": "ok",
        "decision_id": answer.headers["x-authsvc-decision-id"],
        "organization": record().organization_id,
        "key_id": record().id,
        "kind": "secret",
        "environment": "live",
    }

    assert expected == answer.metadata


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param({"path": "/health"}, "public", id="public-route"),
        pytest.param({"extensions": {"api": "shop", "public": "true"}}, "public", id="public-by-the-operator"),
        pytest.param({"method": "OPTIONS", "headers": PREFLIGHT}, "preflight", id="preflight"),
    ],
)
@pytest.mark.parametrize("key", [pytest.param(None, id="no-key"), pytest.param(KEY, id="with-key")])
async def test_an_allow_without_a_principal(request_: dict[str, Any], why: str, key: str | None) -> None:
    """All six headers are set and empty, the credential is removed, and the decision can be found in the log."""
    answer = await door(None, API).ask(key=key, **request_)

    assert answer.outcome == ALLOWED
    assert answer.headers == EMPTY
    assert answer.removed == ["authorization"]
    assert set(answer.metadata) == {"api", "reason", "decision_id"}
    assert len(answer.metadata["decision_id"]) == 24
    assert_replaces(answer)


async def test_two_public_decisions_have_two_ids() -> None:
    """What is kept of a public answer does not hold its id."""
    built = door(None, API)
    ids = {(await built.ask(path="/health")).metadata["decision_id"] for _ in range(10)}

    assert len(ids) == 10


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "https://app.example"}, id="no-method-asked-for"),
        pytest.param({"access-control-request-method": "POST"}, id="no-origin"),
        pytest.param(PREFLIGHT | {"access-control-request-method": "GET"}, id="route-without-preflight"),
        pytest.param(PREFLIGHT | {"access-control-request-method": "post"}, id="lower-case"),
        pytest.param(PREFLIGHT | {"access-control-request-method": "OPTIONS"}, id="of-itself"),
        pytest.param(PREFLIGHT | {"access-control-request-method": ""}, id="empty"),
    ],
)
async def test_what_is_no_preflight(headers: dict[str, str]) -> None:
    """An OPTIONS request that asks for no route with preflights needs a key like any other."""
    answer = await door(None, API).ask(method="OPTIONS", headers=headers)

    assert answer.outcome == UNAUTHORIZED


@pytest.mark.parametrize("raw", [pytest.param(False, id="map"), pytest.param(True, id="raw")])
@pytest.mark.parametrize(
    "name",
    [
        "x-authsvc-admin",
        "x_authsvc_organization",
        "x-authsvc_kind",
        "x_authsvc-scopes",
        "x_authsvc_decision_id",
        "x.authsvc.kind",
    ],
)
@pytest.mark.parametrize("path", [pytest.param("/v1/things", id="key"), pytest.param("/health", id="public")])
async def test_forged_identity_is_removed(path: str, name: str, *, raw: bool) -> None:
    """What a framework could take for one of our headers does not reach the upstream."""
    answer = await door(None, API).ask(path=path, key=KEY, headers=[(name, "admin")], raw=raw)

    assert answer.outcome == ALLOWED
    assert [each.lower() for each in answer.removed] == ["authorization", name.lower()]


@pytest.mark.parametrize("raw", [pytest.param(False, id="map"), pytest.param(True, id="raw")])
@pytest.mark.parametrize("path", [pytest.param("/v1/things", id="key"), pytest.param("/health", id="public")])
async def test_identity_headers_are_overwritten_not_removed(path: str, *, raw: bool) -> None:
    """Envoy removes after setting: a name on both lists would be gone."""
    forged = [(name, "admin") for name in IDENTITY_HEADERS]
    answer = await door(None, API).ask(path=path, key=KEY, headers=forged, raw=raw)

    assert set(IDENTITY_HEADERS) == set(answer.headers)
    assert "admin" not in answer.headers.values()
    assert not set(answer.removed) & set(answer.headers)


async def test_like_named_headers_pass() -> None:
    """Only our own family is removed."""
    answer = await door(None, API).ask(key=KEY, headers={"x-authsvcs": "1", "authsvc-kind": "2", "x-auth": "3"})

    assert answer.removed == ["authorization"]


@pytest.mark.parametrize(
    ("hide", "removed"),
    [pytest.param(True, ["authorization", "x-api-key"], id="hidden"), pytest.param(False, [], id="shown")],
)
async def test_credential_headers_are_removed_unless_the_api_wants_them(removed: list[str], *, hide: bool) -> None:
    """By default no upstream ever sees a key."""
    two = replace(API, credentials=(builders.BEARER, builders.API_KEY), hide_credential=hide)
    answer = await door(None, two).ask(key=KEY)

    assert answer.outcome == ALLOWED
    assert removed == answer.removed


REQUESTS: dict[str, dict[str, Any]] = {
    "allow": {"key": KEY},
    "no-credential": {},
    "unknown-key": {"key": new_key(seed=50)},
    "other-path": {"key": KEY, "path": "/nowhere"},
    "browser": {"key": KEY, "headers": {"origin": "https://app.example"}},
    "forged": {"key": KEY, "headers": {"x-authsvc-kind": "a", "x_authsvc_kind": "b"}},
    "line-break": {"key": KEY, "headers": {"x-note": "a\r\nb"}},
    "public": {"path": "/health"},
    "preflight": {"method": "OPTIONS", "headers": PREFLIGHT},
    "twice": {"headers": [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")]},
    "upper-case-scheme": {"headers": {"authorization": f"BEARER {KEY}"}},
    "not-ascii": {"key": KEY, "headers": {"x-note": "gr\u00fc\u00df Gott"}},
    "grpc": {"headers": {"content-type": "application/grpc"}},
}


@pytest.mark.parametrize("request_", [pytest.param(request, id=name) for name, request in REQUESTS.items()])
async def test_raw_headers_make_no_difference(request_: dict[str, Any]) -> None:
    """With `encode_raw_headers` the answer is the same."""
    built = door(None, BROWSER)
    answers = [(await built.ask(**request_, raw=raw)) for raw in (False, True)]
    bare = [
        each.message.SerializeToString(deterministic=True).replace(each.metadata["decision_id"].encode(), b"0" * 24)
        for each in answers
    ]

    assert bare[0] == bare[1]


async def test_the_metadata_and_the_host_choose_the_api() -> None:
    """The operator's word wins over the host, and no API is nobody's to ask."""
    other = replace(API, name="other", hosts=frozenset({"other.example"}))
    built = door({KEY: record()}, API, other)

    assert (await built.ask(key=KEY, host="other.example")).outcome == ALLOWED
    assert (await built.ask(key=KEY, extensions={}, host="API.shop.example:443")).outcome == ALLOWED
    assert (await built.ask(key=KEY, extensions={}, host="other.example")).outcome == INVALID_KEY
    assert (await built.ask(key=KEY, extensions={}, host="third.example")).outcome == NO_ROUTE
    assert (await built.ask(key=KEY, extensions={"api": ""})).outcome == NO_ROUTE


async def test_header_values_that_break_lines_are_refused_except_in_the_credential() -> None:
    """A malformed credential is one that is not there; anything else with a line break is no request."""
    two = replace(API, name="two", hosts=frozenset(), credentials=(builders.API_KEY,))
    built = door(None, API, two)

    assert (await built.ask(headers={"authorization": f"Bearer {KEY}\n"})).outcome == UNAUTHORIZED
    assert (await built.ask(key=KEY, headers={"x-note": "a\nb"})).outcome == BAD_REQUEST
    assert (await built.ask(key=KEY, headers={"x-api-key": "a\nb"})).outcome == BAD_REQUEST


async def test_a_load_takes_one_question_and_the_next_answers_at_once() -> None:
    """A key is loaded once; then `now` is the whole way."""
    built = door(None, API)
    payload = check_request(key=KEY).SerializeToString()
    first = Answer.of(await built.answer(payload))
    second = built.check.now(payload)

    assert isinstance(second, bytes)
    assert [first.outcome, Answer.of(second).outcome] == [ALLOWED, ALLOWED]
    assert built.store.loads == 1


async def test_decisions_are_counted_by_api_and_reason() -> None:
    """Every answer counts once, under its API where there is one."""
    built = door(None, API)
    for request in ({"key": KEY}, {"key": KEY}, {}, {"extensions": {"api": "none"}}, {"path": "//"}):
        await built.ask(**request)
    built.check.now(b"\xff")

    expected = {
        ("shop", "ok"): 2,
        ("shop", "unauthorized"): 1,
        ("", "route_not_configured"): 1,
        ("shop", "bad_request"): 1,
        ("", "bad_request"): 1,
    }

    assert expected == built.envoy.by_reason


@pytest.mark.parametrize(
    "error", [pytest.param(ValueError("x"), id="any"), pytest.param(KeyboardInterrupt(), id="base")]
)
async def test_a_fault_of_the_listener_is_a_denial(error: BaseException) -> None:
    """What could not even be asked is refused with 503."""
    built: Door = door(None, API)

    assert Answer.of(built.check.fault(error)).outcome == UNDECIDED


async def test_what_is_no_decision_is_a_denial() -> None:
    """Whoever decides, only an allow is one."""
    built = door(None, API)
    await built.ask(key=KEY)  # from now on it is cached
    nothing = Outcome(API, None, None)  # type: ignore[arg-type]  # what must not be
    built.authorize.now = lambda _: nothing  # type: ignore[method-assign]

    assert (await built.ask(key=KEY)).outcome == UNDECIDED


async def test_environments_reach_the_upstream_and_the_log() -> None:
    """An API with environments refuses a key of another one and names the key's own."""
    api = replace(API, environment_source=EnvironmentSource.REQUEST, keys=builders.KeyTable([key_class()]))
    built = door(None, api)
    live = await built.ask(key=KEY)
    test = await built.ask(key=KEY, host="api.test.shop.example")

    assert (live.outcome, live.headers["x-authsvc-environment"]) == (ALLOWED, "live")
    assert test.outcome == (7, 403, "wrong_environment")
    assert test.metadata["environment"] == "live"
