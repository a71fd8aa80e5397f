"""Where the key travels, and what becomes of a request without one."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.lines import line
from tests.support.products import Product

ROUTES = [
    ("POST", "/api/v1/fast-check"),
    ("POST", "/api/v1/fast-check-stream"),
    ("POST", "/api/v1/fast-check-crops"),
    ("POST", "/api/v1/verify"),
    ("GET", "/api/v1/results"),
    ("GET", "/api/v1/results/s1"),
    ("GET", "/api/v1/queue/stats"),
    ("POST", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions"),
    ("GET", "/api/v1/sessions/s1"),
    ("PATCH", "/api/v1/sessions/s1"),
    ("DELETE", "/api/v1/sessions/s1"),
    ("POST", "/api/v1/sessions/s1/audit"),
    ("GET", "/api/v1/keys"),
    ("GET", "/api/v1/keys/k1"),
    ("POST", "/api/v1/keys"),
    ("PATCH", "/api/v1/keys/k1"),
    ("DELETE", "/api/v1/keys/k1"),
    ("GET", "/api/v1/usage"),
    ("GET", "/api/v1/credits"),
    ("GET", "/api/v1/webhooks"),
    ("GET", "/api/v1/webhooks/w1"),
    ("POST", "/api/v1/webhooks"),
    ("PATCH", "/api/v1/webhooks/w1"),
    ("DELETE", "/api/v1/webhooks/w1"),
    ("GET", "/api/v1/hosts"),
    ("POST", "/api/v1/hosts"),
    ("DELETE", "/api/v1/hosts/h1"),
]


@line("moveris", 1)
def test_every_request_needs_a_key(product: Product) -> None:
    """No endpoint is open, documented or not; with a key every documented one is."""
    key = product.key()
    without = {product.send(method, path).status for method, path in [*ROUTES, ("GET", "/"), ("GET", "/health")]}
    with_key = {product.send(method, path, key).status for method, path in ROUTES}

    assert (without, with_key) == ({401}, {200})


@line("moveris", 2)
def test_the_key_travels_in_its_header_and_nowhere_else(product: Product) -> None:
    """`X-API-Key` in any case; a query, a bearer token, a cookie or a similar name is no key."""
    key = product.key()
    good = [product.send("GET", "/api/v1/credits", headers=[(name, key)]).status for name in ("X-API-Key", "x-api-KEY")]
    elsewhere = [
        product.send("GET", f"/api/v1/credits?api_key={key}&x-api-key={key}"),
        *(
            product.send("GET", "/api/v1/credits", headers=[header])
            for header in (
                ("authorization", f"Bearer {key}"),
                ("authorization", key),
                ("api-key", key),
                ("x-api-keys", key),
                ("x.api.key", key),
                ("cookie", f"x-api-key={key}"),
            )
        ),
    ]

    assert good == [200, 200]
    assert {answer.status for answer in elsewhere} == {401}


@line("moveris", 3)
def test_without_a_key_the_answer_is_401(product: Product) -> None:
    """A missing key and an empty one, in the product's own words."""
    expected = (
        b'{"success":false,"error":"unauthorized",'
        b'"errors":[{"code":"unauthorized","message":"An API key is required."}]}'
    )
    answers = [product.send("GET", "/api/v1/credits", headers=headers) for headers in ([], [("x-api-key", "")])]

    assert {(a.status, a.headers["content-type"], a.body) for a in answers} == {(401, "application/json", expected)}
    assert {a.headers["www-authenticate"] for a in answers} == {"ApiKey"}


@line("moveris", 4)
def test_a_json_post_to_fast_check_is_let_through(product: Product) -> None:
    """Method, path, content type and body reach the upstream as they were sent, without the key."""
    key, body = product.key(scopes=["detection:write"]), b'{"session_id":"4711","source":"live","frames":[]}'
    answer = product.send("POST", "/api/v1/fast-check", key, headers=[("content-type", "application/json")], body=body)
    received = product.reached("/api/v1/fast-check")[-1]

    assert answer.status == 200
    assert (received.method, received.body) == ("POST", body)
    assert received.headers["content-type"] == "application/json"
    assert "x-api-key" not in received.headers


@line("moveris", 5)
def test_keys_are_for_servers_only(product: Product) -> None:
    """There is no kind for browsers, and no browser may read an answer of ours or ask beforehand."""
    with pytest.raises(grpc.RpcError) as refused:
        product.create_key(kind="publishable")
    page = ("origin", "https://app.example")
    denied = product.send("POST", "/api/v1/fast-check", headers=[page])
    preflight = product.send("OPTIONS", "/api/v1/fast-check", headers=[page, ("access-control-request-method", "POST")])

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert product.create_key().key.kind == "secret"
    assert (denied.status, preflight.status) == (401, 401)
    assert not [name for answer in (denied, preflight) for name in answer.headers if name.startswith("access-control")]
