"""Which requests are answered without a key, over generated requests."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.api import Apis
from authsvc.domain.decision import Allow
from authsvc.domain.question import HttpRequest, Question, Settled, ToldRequest, from_http
from authsvc.domain.routes import RouteTable, plain_path
from tests.support.builders import api, route

SHOP = api(
    routes=RouteTable(
        [
            route(path="/health", scopes=(), public=True),
            route(path="/a/{id}"),
            route(path="/a/me", scopes=("things:write",)),
            route(path="/a/{id}", method="POST", preflight=True),
            route(path="/open/**", method=None, scopes=(), public=True),
        ]
    )
)
APIS = Apis([SHOP])

TARGETS = st.lists(
    st.sampled_from(
        ["/", "/", "health", "a", "me", "open", "..", ".", "%2e", "%2F", "//", ";x", "?", "#", "%6d", "%20", "\\", "1"]
    ),
    max_size=8,
).map(lambda parts: "/" + "".join(parts))
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "origin",
            "access-control-request-method",
            "authorization",
            "x-original-url",
            "x-envoy-original-path",
            "public",
        ]
    ),
    st.sampled_from(["", "null", "https://a.example", "GET", "POST", "post", "Bearer k", "true", "/health"])
    | st.text(),
)
EXTENSIONS = st.dictionaries(
    st.sampled_from(["api", "public", "environment", "required_scopes", "Api", "typo"]),
    st.sampled_from(["shop", "true", "false", "live", "things:read", "nope", ""]) | st.text(),
)
REQUESTS = st.builds(
    ToldRequest,
    method=st.sampled_from(["GET", "GET", "POST", "OPTIONS", "HEAD", "get", ""]),
    target=TARGETS,
    host=st.sampled_from(["api.shop.example", "API.shop.example:443", "evil.example", ""]),
    headers=HEADERS,
    told=st.sampled_from(["192.0.2.1", None]),
    extensions=EXTENSIONS,
)


@given(REQUESTS)
def test_only_what_the_operator_made_public_needs_no_key(request: HttpRequest) -> None:
    """By the listener's word, by a route that says so, or as a preflight for one that does."""
    asked = from_http(APIS, request)
    allowed = isinstance(asked, Settled) and isinstance(asked.decision, Allow)
    path = plain_path(request.target) or ""
    preflight = (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and request.headers.get("access-control-request-method") == "POST"
        and path.startswith("/a/")
    )
    by_route = path.startswith("/open/") or (path == "/health" and request.method == "GET")
    event(f"allowed: {allowed}")

    assert not allowed or request.extensions.get("public") == "true" or by_route or preflight


@given(REQUESTS)
def test_what_could_be_read_in_two_ways_gets_no_further(request: HttpRequest) -> None:
    """Every question has a plain path and a known API."""
    asked = from_http(APIS, request)

    assert isinstance(asked, Settled) or (plain_path(request.target) is not None and asked.api is SHOP)


@given(REQUESTS)
def test_required_scopes_are_none_or_at_least_the_routes(request: HttpRequest) -> None:
    """The operator's word adds and never takes away; an unknown word leaves nothing to be held."""
    asked = from_http(APIS, request)
    if not isinstance(asked, Question):
        return

    unknown = request.extensions.keys() - {"api", "public", "environment", "required_scopes"}
    assert asked.required is None or asked.route is not None
    assert asked.required is None or not unknown
    assert asked.required is None or asked.route is None or set(asked.route.scopes) <= set(asked.required)
