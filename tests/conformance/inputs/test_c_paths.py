"""Section C: paths that could be read in two ways, and those that no rule covers."""

from __future__ import annotations

import time

import pytest

from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.conformance.inputs.callers import BAD_REQUEST, GOOD, NO_ROUTE, SCOPE, UNAUTHORIZED, Caller
from tests.conformance.inputs.local import local_door
from tests.support.doors import Answer, check_request

pytestmark = pytest.mark.databases("sqlite")

# `{good}` is the path that the key may ask for.
AMBIGUOUS = [
    pytest.param("//admin/users", id="C1-netloc"),
    pytest.param("/{good}", id="C1-good"),
    pytest.param("{good}//x", id="C1-inside"),
    pytest.param("/public/../admin", id="C2-parent"),
    pytest.param("/./admin", id="C2-here"),
    pytest.param("{good}/..", id="C2-end"),
    pytest.param("/x/..{good}", id="C2-good"),
    pytest.param("/..;/admin", id="C2-parameter"),
    pytest.param("/public/%2e%2e/admin", id="C3-escaped"),
    pytest.param("/public/%2E%2E/admin", id="C3-upper-case"),
    pytest.param("/public/.%2e/admin", id="C3-half"),
    pytest.param("/public/%252e%252e/admin", id="C3-twice"),
    pytest.param("/admin%2fusers", id="C5-slash"),
    pytest.param("/admin%2Fusers", id="C5-upper-case"),
    pytest.param("{good}%2f..", id="C5-good"),
    pytest.param("/admin%5cusers", id="C5-backslash"),
    pytest.param("\\admin", id="C5-raw-backslash"),
    pytest.param("/admin\\users", id="C5-raw-backslash-inside"),
    pytest.param("/public#/../admin", id="C7-fragment"),
    pytest.param("{good}#x", id="C7-good"),
    pytest.param("{good}?x=1#y", id="C7-in-the-query"),
    pytest.param("http://evil/admin", id="C9-absolute"),
    pytest.param("http://evil{good}", id="C9-good"),
    pytest.param("//evil{good}", id="C9-relative"),
    pytest.param("*", id="C13-asterisk"),
    pytest.param("", id="C13-nothing"),
    pytest.param("evil:443", id="C13-authority"),
    pytest.param("{good}\0", id="nul"),
    pytest.param("{good} ", id="blank"),
    pytest.param("{good}%00", id="escaped-nul"),
    pytest.param("{good}%", id="half-an-escape"),
    pytest.param("{good}%c0%af", id="overlong-slash"),
    pytest.param("{good}\u00e9", id="no-ascii"),
    pytest.param("/%61pi", id="needless-escape"),
    pytest.param("/" + "a" * 65_536, id="C14-64-KiB"),
    pytest.param("/a" * 10_000, id="C14-10000-segments"),
    pytest.param("/a" * 4_000, id="C14-4000-segments"),
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_ambiguous_paths(caller: Caller, path: str) -> None:
    """400 before anything else, with a key and without."""
    target = path.format(good=caller.good.path)

    caller.refused(caller.check(path=target), BAD_REQUEST)
    caller.refused(caller.check([caller.presented(caller.key())], path=target), BAD_REQUEST)


@pytest.mark.parametrize(
    "path",
    [
        "//admin/users",
        "/public/../admin",
        "/./admin",
        "/public/%2e%2e/admin",
        "/admin%2fusers",
        "/admin%5cusers",
        "/admin\\users",
        "/public#/../admin",
        "{good}%2f..",
        "{good}/../../../../admin",
        "{good}%00",
        "{good}%c0%af",
    ],
)
def test_ambiguous_paths_through_envoy(caller: Caller, path: str) -> None:
    """Envoy refuses such a path, or makes a plain one of it, which is then the one that counts."""
    target = path.format(good=caller.good.path)
    caller.product.upstream.received.clear()
    answer = caller.send([caller.presented(caller.key())], path=target)

    assert answer.status in {400, 403}
    assert not caller.product.upstream.received


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("path", ["/" + "a" * 65_536, "/a" * 10_000], ids=["64-KiB", "10000-segments"])
async def test_c14_long_paths_cost_next_to_nothing(name: str, path: str) -> None:
    """Less than a millisecond from bytes to bytes, the best of twenty."""
    asked, times = local_door(name), []
    payload = check_request(path=path, extensions={"api": name}).SerializeToString()
    for _ in range(20):
        start = time.perf_counter()
        answer = Answer.of(await asked.answer(payload))
        times.append(time.perf_counter() - start)
        assert answer.outcome == (3, 400, BAD_REQUEST)

    assert min(times) < 0.001


def test_c8_the_query_is_no_part_of_the_path(caller: Caller) -> None:
    """A rule is matched on what is before the first `?`, and only on that."""
    key = caller.presented(caller.key())

    for query in ("?x=/health", f"?y={caller.good.path}", "?a=//../%2e%2e/", "?", "??"):
        assert caller.send([key], path=caller.good.path + query).status == 200
        caller.refused(caller.send([key], path="/nothing" + query), NO_ROUTE)
    caller.refused(caller.send(path="/nothing?y=/health"), UNAUTHORIZED)


@pytest.mark.parametrize("change", [str.upper, str.title, lambda path: path + "/", lambda path: path + "/x/y/z/q"])
def test_c11_c12_nearly_the_path(caller: Caller, change: object) -> None:
    """Another case or a slash at the end is another path, and no rule covers it."""
    assert callable(change)
    path = change(caller.good.path)

    caller.refused(caller.send([caller.presented(caller.key())], path=path), NO_ROUTE)
    caller.refused(caller.send(path=path), UNAUTHORIZED)


@pytest.mark.parametrize("method", ["", "get", "GE T", "G\0T", "GÉT", "A" * 21, "GET\n", "M-SEARCH", "*"])
def test_c13_odd_methods(caller: Caller, method: str) -> None:
    """A method is upper-case letters; anything else is malformed."""
    key = caller.presented(caller.key())

    caller.refused(caller.check([key], method=method), BAD_REQUEST)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("CONNECT", "", id="connect"),
        pytest.param("CONNECT", "evil:443", id="connect-authority"),
        pytest.param("OPTIONS", "*", id="options-asterisk"),
        pytest.param("OPTIONS", "", id="options-nothing"),
    ],
)
def test_c13_requests_without_a_path(caller: Caller, method: str, path: str) -> None:
    """Malformed, also as a preflight, and nothing crashes; Envoy lets neither through."""
    page = [("origin", "https://app.example"), ("access-control-request-method", "GET")]

    caller.refused(caller.check(page, method=method, path=path), BAD_REQUEST)
    caller.product.upstream.received.clear()
    if path:
        assert caller.send([caller.presented(caller.key()), *page], method=method, path=path).status >= 400
    assert not caller.product.upstream.received


@pytest.mark.parametrize("path", ["/", "/nothing", "/v0/x", "/api", "/favicon.ico", "/.env"])
def test_c15_no_rule(caller: Caller, path: str) -> None:
    """Told to the holder of a valid key only; without one the answer is 401, and nobody learns the routes."""
    caller.refused(caller.send([caller.presented(caller.key())], path=path), NO_ROUTE)
    caller.refused(caller.send(path=path), UNAUTHORIZED)


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PROPFIND", "HEAD"])
def test_c15_no_rule_for_the_method(caller: Caller, method: str) -> None:
    """A path without a rule for the method is as good as unknown, HEAD included."""
    key = caller.presented(caller.key())

    caller.refused(caller.check([key], method=method), NO_ROUTE)
    caller.refused(caller.check(method=method), UNAUTHORIZED)


@pytest.mark.parametrize(
    "typo",
    [
        {"enviroment": "live"},
        {"required_scope": "x:y"},
        {"required_scopes": "no:such"},
        {"required_scopes": ""},
        {"public": "yes"},
        {"public": "TRUE"},
        {"Public": "true"},
        {"public": "true", "enviroment": "live"},
    ],
    ids=str,
)
def test_c15_a_typing_mistake_of_the_operator(caller: Caller, typo: dict[str, str]) -> None:
    """A word that means nothing opens nothing: 403 with a valid key, 401 without."""
    extensions = dict(caller.question().attributes.context_extensions) | typo

    caller.refused(caller.check([caller.presented(caller.key())], extensions=extensions), NO_ROUTE)
    caller.refused(caller.check(extensions=extensions), UNAUTHORIZED)


def test_c15_an_api_that_does_not_exist(caller: Caller) -> None:
    """There is no product whose words could be used: problem details."""
    answer = caller.check([caller.presented(caller.key())], extensions={"api": "typo"})

    assert (answer.status, answer.code, answer.headers["content-type"]) == (403, 7, "application/problem+json")
    assert answer.json()["reason"] == NO_ROUTE


def test_the_operator_may_ask_for_more(caller: Caller) -> None:
    """Scopes that the proxy names are asked for besides the route's own."""
    key, scope = caller.presented(caller.key()), caller.good.other[2]
    extensions = dict(caller.question().attributes.context_extensions)

    more = caller.check([key], extensions=extensions | {"required_scopes": f"{caller.good.scope},{scope}"})
    same = caller.check([key], extensions=extensions | {"required_scopes": caller.good.scope})
    caller.refused(more, SCOPE)
    assert same.status == 200


PREFLIGHTS = {"veridia": ("/v1/verify", "POST"), "verifa": ("/api/v1/sessions", "POST")}


def test_c17_preflights(caller: Caller) -> None:
    """Without a key they are denied, but for the routes that say otherwise: those get no identity at all."""
    page = ("origin", "https://app.example")
    path, method = PREFLIGHTS.get(caller.product.name, (caller.good.path, caller.good.method))
    answer = caller.send([page, ("access-control-request-method", method)], method="OPTIONS", path=path)
    if caller.product.name in PREFLIGHTS:
        assert {answer.received[name] for name in IDENTITY_HEADERS} == {""}
    else:
        caller.refused(answer, UNAUTHORIZED)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("origin", "https://app.example")], id="no-method"),
        pytest.param([("access-control-request-method", "POST")], id="no-origin"),
        pytest.param([("origin", "https://app.example"), ("access-control-request-method", "GET")], id="other-route"),
        pytest.param([("origin", "https://app.example"), ("access-control-request-method", "post")], id="lower-case"),
        pytest.param([("origin", "https://app.example"), ("access-control-request-method", "POST, GET")], id="two"),
    ],
)
def test_c17_what_is_no_preflight(caller: Caller, headers: list[tuple[str, str]]) -> None:
    """OPTIONS alone opens nothing, and only the method that the route allows is asked for."""
    path, _ = PREFLIGHTS.get(caller.product.name, (caller.good.path, ""))

    caller.refused(caller.send(headers, method="OPTIONS", path=path), UNAUTHORIZED)
