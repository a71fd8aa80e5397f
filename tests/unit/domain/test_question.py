"""From what a proxy has read to one question, or to an answer without one."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.api import Api, Apis, EnvironmentSource
from authsvc.domain.decision import Deny, Purpose
from authsvc.domain.question import MALFORMED, NO_API, PUBLIC, Question, Settled, api_of, environment_of, from_http
from authsvc.domain.reasons import Reason
from authsvc.domain.routes import RouteTable
from tests.support.builders import api, http_request, route

SHOP = api(
    routes=RouteTable(
        [
            route(),
            route(method="POST", scopes=("things:create",), preflight=True),
            route(path="/v1/things/{id}"),
            route(path="/health", scopes=(), public=True),
            route(path="/sandbox", environment="test"),
            route(path="/open/{id}", method=None, preflight=True),
        ]
    ),
)
APIS = Apis([SHOP])


def ask(**changes: Any) -> Question | Settled:
    """Resolve the usual request with changes."""
    return from_http(APIS, http_request(**changes))


def question(**changes: Any) -> Question:
    """Resolve a request that is known to need a key."""
    asked = ask(**changes)
    assert isinstance(asked, Question)
    return asked


def test_the_usual_request() -> None:
    """Everything the rules need is resolved, and nothing else is carried along."""
    request = http_request()
    expected = Question(
        api=SHOP,
        purpose=Purpose.AUTHORIZE,
        key="sk_live_0",
        route=SHOP.routes.routes[0],
        required=("things:read",),
        environment="live",
        origin=None,
        sender=request,
        organization_id=None,
        spends=True,
        at_least=None,
    )

    assert expected == from_http(APIS, request)
    assert "192.0.2.1" == expected.source_ip


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"target": "//admin/users"}, id="two-slashes"),
        pytest.param({"target": "/public/../admin"}, id="dot-dot"),
        pytest.param({"target": "/v1/%2e%2e/admin"}, id="escaped-dots"),
        pytest.param({"target": "/admin%2fusers"}, id="escaped-slash"),
        pytest.param({"target": "/health#/../v1/things"}, id="fragment"),
        pytest.param({"target": "http://evil/health"}, id="absolute-form"),
        pytest.param({"target": "*", "method": "OPTIONS"}, id="options-asterisk"),
        pytest.param({"target": "", "method": "CONNECT"}, id="connect-without-path"),
        pytest.param({"target": "api.shop.example:443", "method": "CONNECT"}, id="connect"),
        pytest.param({"target": "/health?" + "x" * 65_536}, id="64-kb"),
        pytest.param({"method": ""}, id="no-method"),
        pytest.param({"method": "get"}, id="lower-case-method"),
        pytest.param({"method": "GET /health"}, id="method-with-a-path"),
        pytest.param({"target": "//x", "extensions": {"api": "shop", "public": "true"}}, id="malformed-and-public"),
    ],
)
def test_a_malformed_request_is_told_so_first(changes: dict[str, Any]) -> None:
    """Even a public route and a missing credential come after it."""
    assert Settled(api=SHOP, decision=MALFORMED) == ask(**changes)


def test_a_malformed_request_for_no_api_is_malformed() -> None:
    """The answer is worded without an API."""
    assert Settled(api=None, decision=MALFORMED) == ask(target="//", extensions={"api": "nope"})


@pytest.mark.parametrize(
    ("extensions", "host"),
    [
        pytest.param({"api": "nope"}, "api.shop.example", id="unknown-name"),
        pytest.param({"api": ""}, "api.shop.example", id="empty-name"),
        pytest.param({"api": "Shop"}, "api.shop.example", id="name-in-another-case"),
        pytest.param({}, "evil.example", id="unknown-host"),
        pytest.param({}, "", id="no-host"),
        pytest.param({}, "api.shop.example.", id="trailing-dot"),
        pytest.param({}, "api.shop.example:\u0668", id="arabic-port"),
        pytest.param({}, "api.shop.example.evil.example", id="prefix"),
        pytest.param({}, "x.api.shop.example", id="subdomain"),
        pytest.param({"public": "true"}, "evil.example", id="public-without-an-api"),
    ],
)
def test_without_an_api_nothing_is_allowed(extensions: dict[str, str], host: str) -> None:
    """There is no default API, and a name that is given is never replaced by the host."""
    assert ask(extensions=extensions, host=host) == NO_API


@pytest.mark.parametrize("host", ["api.shop.example", "API.Shop.Example:8443"])
def test_the_host_is_a_fallback(host: str) -> None:
    """For listeners with exact virtual hosts only."""
    assert SHOP is api_of(APIS, http_request(extensions={}, host=host))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"target": "/health"}, id="public-route"),
        pytest.param({"target": "/health?x=1"}, id="public-route-with-query"),
        pytest.param({"target": "/health", "headers": {"authorization": "Bearer ???"}}, id="bad-credential"),
        pytest.param({"extensions": {"api": "shop", "public": "true"}}, id="public-by-the-operator"),
        pytest.param({"target": "/nope", "extensions": {"api": "shop", "public": "true"}}, id="public-unknown-path"),
    ],
)
def test_public_needs_no_key(changes: dict[str, Any]) -> None:
    """The operator's configuration says so, by route or by listener."""
    asked = ask(**changes)

    assert isinstance(asked, Settled)
    assert (SHOP, PUBLIC) == (asked.api, asked.decision)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"target": "/Health"}, id="case"),
        pytest.param({"target": "/health/"}, id="trailing-slash"),
        pytest.param({"target": "/health;x"}, id="path-parameter"),
        pytest.param({"target": "/v1/things?/health"}, id="in-the-query"),
        pytest.param({"target": "/health", "method": "POST"}, id="other-method"),
        pytest.param({"target": "/health", "method": "HEAD"}, id="head"),
        *[
            pytest.param({"extensions": {"api": "shop", "public": value}}, id=f"public-{value!r}")
            for value in ("", "false", "True", "TRUE", "1", "yes", " true", "true ", "true\n", "\uff54rue")
        ],
        pytest.param({"extensions": {"api": "shop", "public": "true", "pubilc": "x"}}, id="with-an-unknown-name"),
        pytest.param({"extensions": {"api": "shop", "Public": "true"}}, id="name-in-another-case"),
        *[
            pytest.param({"headers": {name: "/health"}}, id=name)
            for name in (
                "x-envoy-original-path",
                "x-forwarded-uri",
                "x-original-url",
                "x-rewrite-url",
                "x-forwarded-prefix",
                ":path",
            )
        ],
        pytest.param({"headers": {"user-agent": "kube-probe/1.30"}}, id="health-check-agent"),
        pytest.param({"headers": {"x-authsvc-public": "true", "public": "true"}}, id="header-named-public"),
    ],
)
def test_nothing_else_is_public(changes: dict[str, Any]) -> None:
    """No spelling, header or agent opens a route."""
    assert isinstance(ask(**changes), Question)


@pytest.mark.parametrize(
    "header", ["x-http-method-override", "x-http-method", "x-method-override", "access-control-request-method"]
)
def test_the_method_is_the_request_lines(header: str) -> None:
    """A POST that claims to be a GET asks for what a POST asks for."""
    asked = question(method="POST", headers={"authorization": "Bearer sk_live_0", header: "GET"})

    assert asked.required == ("things:create",)


PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "POST"}


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param("/v1/things", PREFLIGHT, id="route-of-the-later-request"),
        pytest.param("/open/1", PREFLIGHT, id="route-of-any-method"),
    ],
)
def test_a_preflight_passes_where_the_route_says_so(target: str, headers: dict[str, str]) -> None:
    """It carries no credential and asks on behalf of the request that will follow."""
    asked = ask(method="OPTIONS", target=target, headers=headers)

    assert isinstance(asked, Settled)
    assert (SHOP, PUBLIC) == (asked.api, asked.decision)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"headers": {"access-control-request-method": "POST"}}, id="no-origin"),
        pytest.param({"headers": {"origin": "https://a.example"}}, id="no-requested-method"),
        pytest.param({"headers": PREFLIGHT | {"access-control-request-method": "GET"}}, id="route-without-preflight"),
        pytest.param({"headers": PREFLIGHT | {"access-control-request-method": "post"}}, id="lower-case-method"),
        pytest.param({"headers": PREFLIGHT | {"access-control-request-method": "POST,GET"}}, id="two-methods"),
        pytest.param({"headers": PREFLIGHT | {"access-control-request-method": ""}}, id="empty-method"),
        pytest.param({"headers": PREFLIGHT, "target": "/nope"}, id="no-route"),
        pytest.param({"headers": PREFLIGHT, "method": "POST"}, id="not-options"),
    ],
)
def test_any_other_preflight_needs_a_key(changes: dict[str, Any]) -> None:
    """An OPTIONS request is a request."""
    assert isinstance(ask(**({"method": "OPTIONS"} | changes)), Question)


@pytest.mark.parametrize(
    ("extensions", "required"),
    [
        pytest.param({}, ("things:read",), id="route-only"),
        pytest.param({"public": "false"}, ("things:read",), id="not-public"),
        pytest.param({"environment": "live"}, ("things:read",), id="environment-only"),
        pytest.param({"required_scopes": "things:write"}, ("things:read", "things:write"), id="one"),
        pytest.param({"required_scopes": "things:read"}, ("things:read",), id="the-same"),
        pytest.param(
            {"required_scopes": "things:write, things:create"},
            ("things:read", "things:write", "things:create"),
            id="several",
        ),
        pytest.param({"required_scopes": ""}, None, id="empty"),
        pytest.param({"required_scopes": " , "}, None, id="blanks"),
        pytest.param({"required_scopes": "things:delete"}, None, id="not-in-the-catalogue"),
        pytest.param({"required_scopes": "things:write;things:read"}, None, id="other-separator"),
        pytest.param({"required_scopes": "*"}, None, id="star"),
        pytest.param({"required_scope": "things:write"}, None, id="misspelt-name"),
        pytest.param({"public": "maybe"}, None, id="public-neither-true-nor-false"),
        pytest.param({"public": ""}, None, id="public-empty"),
    ],
)
def test_the_operators_scopes_are_added(extensions: dict[str, str], required: tuple[str, ...] | None) -> None:
    """A name or a scope that does not exist is a typo, and a typo denies."""
    asked = question(extensions={"api": "shop"} | extensions)

    assert required == asked.required


def test_extensions_count_without_an_api_among_them() -> None:
    """Also where the host names the API."""
    assert question(extensions={"required_scopes": "things:write"}).required == ("things:read", "things:write")
    assert question(extensions={"typo": "x"}).required is None


def test_without_a_route_nothing_is_required_and_nothing_allowed() -> None:
    """The operator's scopes do not stand in for a route."""
    asked = question(target="/nope", extensions={"api": "shop", "required_scopes": "things:read"})

    assert (asked.route, asked.required) == (None, None)


@pytest.mark.parametrize(
    ("changes", "environment"),
    [
        pytest.param({}, "live", id="host"),
        pytest.param({"host": "api.test.shop.example:443"}, "test", id="other-host"),
        pytest.param({"target": "/sandbox"}, "test", id="route-over-host"),
        pytest.param(
            {"target": "/sandbox", "extensions": {"api": "shop", "environment": "live"}},
            "live",
            id="operator-over-route",
        ),
        pytest.param({"extensions": {"api": "shop", "environment": "prod"}}, None, id="operator's-typo"),
        pytest.param({"extensions": {"api": "shop", "environment": ""}}, None, id="operator's-empty-word"),
        pytest.param({"extensions": {"api": "shop", "environment": "Live"}}, None, id="operator's-case"),
        pytest.param({"host": "elsewhere.example"}, None, id="unknown-host"),
        pytest.param({"host": "api.shop.example:\u00b2"}, None, id="superscript-port"),
    ],
)
def test_who_names_the_environment(changes: dict[str, Any], environment: str | None) -> None:
    """The operator, else the route, else the host; a wrong word is not replaced by the next one's."""
    assert environment == question(**changes).environment


@pytest.mark.parametrize("source", [EnvironmentSource.KEY, EnvironmentSource.NONE])
def test_no_environment_is_asked_for_where_the_request_does_not_name_one(source: EnvironmentSource) -> None:
    """With `from_key` the environment only informs the upstream."""
    assert environment_of(api(environment_source=source), "live", None, "api.shop.example") is None


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        pytest.param({}, "192.0.2.1", id="peer"),
        pytest.param({"trusted_hops": 1}, "10.0.0.2", id="one-hop"),
        pytest.param({"trusted_hops": 3}, None, id="too-few-entries"),
        pytest.param({"trusted_hops": 1, "client_address_header": "x-real-ip"}, None, id="header-not-there"),
    ],
)
def test_the_clients_address(configured: dict[str, Any], expected: str | None) -> None:
    """Forwarding headers count only where the operator trusts a proxy to write them."""
    shop: Api = api(**configured)
    asked = from_http(Apis([shop]), http_request(headers={"x-forwarded-for": "10.0.0.1, 10.0.0.2"}))

    assert isinstance(asked, Question)
    assert expected == asked.source_ip


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"x-api-key": "sk_live_0"}, None, id="not-configured-here"),
        pytest.param({"authorization": "Bearer a,b"}, "a,b", id="judged-when-looked-up"),
        pytest.param({"authorization": "Bearer " + "a" * 129}, None, id="too-long"),
        pytest.param({"authorization": "Bearer sk_live_0", "x-api-key": "other"}, "sk_live_0", id="other-passes-on"),
    ],
)
def test_the_credential(headers: dict[str, str], key: str | None) -> None:
    """Taken out once, here."""
    assert key == question(headers=headers).key


def test_a_key_in_the_target_is_none() -> None:
    """URLs end up in logs, so a key there is not taken, let alone preferred."""
    assert question(target="/v1/things?api_key=sk_live_0&access_token=sk_live_0", headers={}).key is None


@pytest.mark.parametrize("origin", ["", "null", "https://a.example", "https://a.example,https://b.example"])
def test_an_origin_is_passed_on_as_sent(origin: str) -> None:
    """Reading it is the rule's part; an empty one is still one."""
    assert origin == question(headers={"origin": origin, "referer": "https://a.example/x"}).origin


def test_a_referer_is_no_origin() -> None:
    """It is never looked at."""
    assert question(headers={"referer": "https://a.example/"}).origin is None


def test_what_callers_of_no_api_are_told() -> None:
    """Without an API there is no credential to ask for."""
    assert isinstance(NO_API.decision, Deny)
    assert NO_API.decision.reason is Reason.ROUTE_NOT_CONFIGURED


OPEN = route(path="/open", scopes=(), public=True)


@pytest.mark.parametrize(
    ("extensions", "required"),
    [
        pytest.param({"pubic": "true"}, None, id="misspelt-name"),
        pytest.param({"public": "yes"}, None, id="no-such-value"),
        pytest.param({"required_scopes": "things:read"}, ("things:read",), id="scopes-named"),
        pytest.param({"required_scopes": "things:read", "public": "true"}, ("things:read",), id="public-and-scopes"),
        pytest.param({"required_scopes": ""}, None, id="scopes-forgotten"),
    ],
)
def test_a_public_route_stays_open_only_for_what_makes_sense(
    extensions: dict[str, str], required: tuple[str, ...] | None
) -> None:
    """Where the operator's words contradict the route, or say nothing that exists, a key is needed."""
    asked = from_http(
        Apis([api(routes=RouteTable([OPEN]))]), http_request(target="/open", extensions={"api": "shop"} | extensions)
    )

    assert isinstance(asked, Question)
    assert asked.required == required


def test_an_environment_that_the_api_does_not_know_of_is_no_guess() -> None:
    """An API without environments cannot be asked for one: it is a configuration that contradicts itself."""
    asked = from_http(
        Apis([api(environment_source=EnvironmentSource.NONE)]),
        http_request(extensions={"api": "shop", "environment": "live"}),
    )

    assert isinstance(asked, Question)
    assert asked.required is None
