"""What an answer looks like, from the product and from us."""

from __future__ import annotations

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.stack import Answer


def errors(product: Product) -> dict[str, Answer]:
    """Return one refusal of each sort that a client can bring about."""
    limited = product.key(rate_limits=["1/minute"])
    product.send("GET", "/api/v1/credits", limited)
    return {
        "unauthorized": product.send("GET", "/api/v1/credits"),
        "invalid_key": product.send("GET", "/api/v1/credits", "x" * 40),
        "insufficient_scope": product.send("GET", "/api/v1/credits", product.key(scopes=["usage:read"])),
        "route_not_configured": product.send("GET", "/api/v1/nothing", product.key()),
        "rate_limited": product.send("GET", "/api/v1/credits", limited),
    }


@line("moveris", 6)
def test_the_success_envelope_passes_unchanged(product: Product) -> None:
    """What the product answers is what the client gets, byte for byte, with its status and headers."""
    body = b'{ "success": true,\n  "data": {"verdict": "live", "score": 0.98} }\n'
    headers = {"content-type": "application/json; charset=utf-8", "x-model": "7"}
    product.reply("POST", "/api/v1/verify?enveloped", 201, headers, body)
    answer = product.send("POST", "/api/v1/verify?enveloped", product.key())

    assert (answer.status, answer.body) == (201, body)
    assert {name: answer.headers[name] for name in headers} == headers


@line("moveris", 7)
def test_every_error_has_success_false_and_errors(product: Product) -> None:
    """Whatever the reason: `success` is false, and `errors` names it once more with a message."""
    answers = errors(product)
    told = {reason: answer.json() for reason, answer in answers.items()}

    assert {reason: answer.status for reason, answer in answers.items()} == {
        "unauthorized": 401,
        "invalid_key": 401,
        "insufficient_scope": 403,
        "route_not_configured": 403,
        "rate_limited": 429,
    }
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/json"}
    assert all(body["success"] is False for body in told.values())
    assert {reason: [error["code"] for error in body["errors"]] for reason, body in told.items()} == {
        reason: [reason] for reason in answers
    }
    assert all(error["message"] for body in told.values() for error in body["errors"])


@line("moveris", 25)
def test_a_missing_scope_is_403_insufficient_scope(product: Product) -> None:
    """The flat member that the documentation shows."""
    answer = product.send("POST", "/api/v1/webhooks", product.key(scopes=["webhooks:read"]))

    assert (answer.status, answer.json()["error"]) == (403, "insufficient_scope")


@line("moveris", 26)
def test_the_403_names_the_required_scope(product: Product) -> None:
    """It is the one that the endpoint asks for, whatever the key holds."""
    key = product.key(scopes=["hosts:read"])
    asked = {
        path: product.send(method, path, key).json()["required_scope"]
        for method, path in (
            ("POST", "/api/v1/webhooks"),
            ("GET", "/api/v1/usage"),
            ("POST", "/api/v1/sessions/s1/audit"),
            ("DELETE", "/api/v1/hosts/h1"),
        )
    }

    assert asked == {
        "/api/v1/webhooks": "webhooks:write",
        "/api/v1/usage": "usage:read",
        "/api/v1/sessions/s1/audit": "session:audit",
        "/api/v1/hosts/h1": "hosts:write",
    }


@line("moveris", 32)
def test_the_scope_error_has_both_documented_forms(product: Product) -> None:
    """The envelope with `errors` and the flat members in one body, byte for byte."""
    answer = product.send("GET", "/api/v1/webhooks", product.key(scopes=["webhooks:write"]))

    assert answer.body == (
        b'{"success":false,"error":"insufficient_scope","required_scope":"webhooks:read",'
        b'"errors":[{"code":"insufficient_scope","message":"The API key lacks a required scope."}]}'
    )
    assert answer.headers["content-type"] == "application/json"
