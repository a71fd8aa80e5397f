"""How refusals are worded: exact bytes."""

from __future__ import annotations

import pytest

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.stack import Answer

UNAUTHORIZED = b'{"error":"unauthorized","detail":"Invalid or missing API key.","status_code":401}'
UNKNOWN = "vk_live_" + "0" * 38


def told(answer: Answer) -> tuple[int, str, bytes]:
    """Return what a client sees of a refusal."""
    return answer.status, answer.headers["content-type"], answer.body


@line("verifa", 19)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="nothing"),
        pytest.param([("x-api-key", "")], id="empty"),
        pytest.param([("authorization", f"Bearer {UNKNOWN}")], id="elsewhere"),
    ],
)
def test_a_missing_key_gets_the_documented_body(product: Product, headers: list[tuple[str, str]]) -> None:
    """Exactly the documented bytes, as JSON."""
    assert told(product.send("GET", "/api/v1/sessions", headers=headers)) == (401, "application/json", UNAUTHORIZED)


@line("verifa", 20)
def test_an_invalid_key_gets_the_same_body(product: Product) -> None:
    """Unknown, misspelt, revoked: byte for byte what a missing key gets, and nothing else in the headers."""
    made = product.create_key()
    product.revoke(made.key.id)

    answers = [product.send("GET", "/api/v1/sessions", key) for key in (UNKNOWN, made.secret[:-1] + "!", made.secret)]

    missing = product.send("GET", "/api/v1/sessions")
    varies = {"date", "x-authsvc-decision-id", "x-envoy-upstream-service-time"}
    for answer in answers:
        assert told(answer) == (401, "application/json", UNAUTHORIZED)
        assert {name for name in answer.headers if answer.headers[name] != missing.headers.get(name)} <= varies


@line("verifa", 21)
def test_a_missing_scope_gets_the_documented_body(product: Product) -> None:
    """Exactly the documented bytes, which name the scope."""
    answer = product.send("POST", "/api/v1/webhooks", product.key())

    body = (
        b'{"error":"forbidden","detail":"API key does not have the required scope: webhooks:write","status_code":403}'
    )
    assert told(answer) == (403, "application/json", body)


@line("verifa", 22)
def test_status_code_is_the_http_status(product: Product) -> None:
    """In every refusal, whatever its reason."""
    page = product.key(kind="publishable", origins=product.origins("https://shop.example"))
    secret, evil = product.key(), [("origin", "https://evil.example")]
    answers = [
        product.send("GET", "/api/v1/sessions"),
        product.send("GET", "/api/v1/sessions", UNKNOWN),
        product.send("GET", "/api/v1/webhooks", secret),
        product.send("GET", "/api/v1/nothing", secret),
        product.send("GET", "/api/v1/sessions", secret, environment="sandbox"),
        product.send("GET", "/api/v1/sessions", page),
        product.send("POST", "/api/v1/sessions", page, headers=evil),
        product.send("GET", "/api/v1/%41", secret),
    ]

    assert [answer.status for answer in answers] == [401, 401, 403, 403, 403, 403, 403, 403]
    assert [answer.json()["status_code"] for answer in answers] == [answer.status for answer in answers]
