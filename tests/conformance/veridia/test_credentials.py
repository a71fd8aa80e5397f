"""Where the key travels, and what becomes of a request without a good one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsvc_client.v1.key_service_pb2 import RevokeKeyRequest

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.stack import Answer

VERDICT = ("GET", "/v1/verify/vf_AG07CDWRRFQV4T05ZXG2")
ROUTES = [
    ("POST", "/v1/verify"),
    ("POST", "/v1/verify/vf_1/captures"),
    VERDICT,
    ("POST", "/v1/webhooks/decrypt"),
]
UNKNOWN = "qv_sec_" + "0" * 32
IDENTITY = ("organization", "key-id", "kind", "environment", "scopes")


def told(answer: Answer) -> tuple[int, Any, dict[str, str]]:
    """Return all that an answer says, apart from what is new in every answer."""
    decision_id = answer.headers["x-authsvc-decision-id"]
    new_each_time = {"date", "x-request-id"}
    headers = {name: text for name, text in answer.headers.items() if name not in new_each_time}
    return answer.status, answer.body.replace(decision_id.encode(), b"#"), headers | {"x-authsvc-decision-id": "#"}


def revoked(product: Product, **fields: Any) -> str:
    """Return a key that is revoked."""
    made = product.create_key(**fields)
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))
    return made.secret


def expired(product: Product, **fields: Any) -> str:
    """Return a key that has expired, after it has worked."""
    ends = datetime.now(UTC) + timedelta(seconds=1)
    key = product.key(expires_at=ends, **fields)
    assert product.send(*VERDICT, key).status in {200, 403}
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
    return key


@line("veridia", 1)
def test_every_request_but_health_needs_a_bearer_key(product: Product) -> None:
    """Whatever the path: without a key, or with one elsewhere, 401; with a bearer key every endpoint is open."""
    key = product.key()
    elsewhere = [
        ("x-api-key", key),
        ("x-authorization", f"Bearer {key}"),
        ("proxy-authorization", f"Bearer {key}"),
        ("cookie", f"authorization=Bearer {key}"),
    ]
    without = [product.send(*route) for route in [*ROUTES, ("GET", "/"), ("GET", "/health/x"), ("POST", "/health")]]
    misplaced = [product.send(*VERDICT, headers=[header]) for header in elsewhere]
    asked = product.send("GET", f"{VERDICT[1]}?api_key={key}&access_token={key}")

    assert {answer.status for answer in [*without, *misplaced, asked]} == {401}
    assert {product.send(*route, key).status for route in ROUTES} == {200}


@line("veridia", 2)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_needs_no_credential(product: Product, method: str) -> None:
    """It answers without a key and with a bad one; the upstream is told nobody, and never the credential."""
    key = product.key(environment="test")
    headers = [
        [],
        *([("authorization", text)] for text in (f"Bearer {UNKNOWN}", "Bearer", "Basic eDp5", f"Bearer {key}")),
    ]
    answers = [product.send(method, f"/health?{method}", headers=one) for one in headers]
    received = product.reached(f"/health?{method}")[-len(headers) :]

    assert {answer.status for answer in answers} == {200}
    assert {one.headers[f"x-authsvc-{name}"] for one in received for name in IDENTITY} == {""}
    assert not [one for one in received if "authorization" in one.headers]


@line("veridia", 3)
def test_a_missing_authorization_is_unauthorized(product: Product) -> None:
    """401, the code, and how to do better."""
    answer = product.send(*VERDICT)

    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "error": "unauthorized",
        "message": "An API key is required.",
        "request_id": answer.headers["x-authsvc-decision-id"],
    }


@line("veridia", 4)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="scheme-only"),
        pytest.param("Bearer  ", id="blank-token"),
        pytest.param("{key}", id="no-scheme"),
        pytest.param("Token {key}", id="other-scheme"),
        pytest.param("Basic cXZfc2VjXzp4", id="basic"),
        pytest.param("Bearer  {key}", id="two-blanks"),
        pytest.param("Bearer\t{key}", id="tab"),
        pytest.param("Bearer {key} extra", id="two-tokens"),
        pytest.param("Bearer {key}, Bearer {key}", id="twice"),
        pytest.param('Bearer "{key}"', id="quoted"),
        pytest.param("Bearer:{key}", id="colon"),
    ],
)
def test_a_malformed_authorization_is_unauthorized(product: Product, form: str) -> None:
    """It is told as a missing one is, though the key in it is good."""
    answer = product.send(*VERDICT, headers=[("authorization", form.format(key=product.key()))])

    assert told(answer) == told(product.send(*VERDICT))


@line("veridia", 5)
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(UNKNOWN, id="well-formed"),
        pytest.param("qv_sec_short", id="too-short"),
        pytest.param("qv_sec_" + "0" * 33, id="too-long"),
        pytest.param("sk_live_" + "0" * 32, id="unknown-prefix"),
        pytest.param("nothing", id="no-prefix"),
    ],
)
def test_an_unknown_key_is_invalid_key(product: Product, key: str) -> None:
    """401 with its own code, whether or not such a key could exist."""
    answer = product.send(*VERDICT, key)

    assert (answer.status, answer.json()["error"]) == (401, "invalid_key")
    assert told(answer) == told(product.send(*VERDICT, UNKNOWN))


@line("veridia", 6)
def test_an_expired_key_is_invalid_key(product: Product) -> None:
    """From its end on, and in the words for a key that never was."""
    answer = product.send(*VERDICT, expired(product))

    assert (answer.status, answer.json()["error"]) == (401, "invalid_key")
    assert told(answer) == told(product.send(*VERDICT, UNKNOWN))


@line("veridia", 7)
def test_unknown_expired_and_revoked_are_told_alike(product: Product) -> None:
    """Status, headers and body: from no page on the web can a dead key be told from one that never was."""
    kinds: list[dict[str, Any]] = [{}, {"kind": "publishable", "origins": {"origins": ["https://yourapp.com"]}}]
    dead = [UNKNOWN, "qv_pub_" + "0" * 32, expired(product, **kinds[1]), *(revoked(product, **kind) for kind in kinds)]
    for page in ([], [("origin", "https://yourapp.com")], [("origin", "https://evil.example")]):
        answers = [product.send("POST", "/v1/verify", key, headers=page) for key in dead]

        assert (answers[0].status, answers[0].json()["error"]) == (401, "invalid_key")
        assert [told(answer) for answer in answers] == [told(answers[0])] * len(dead)


@line("veridia", 38)
def test_401_comes_before_403(product: Product) -> None:
    """A dead key, from a bad origin, in the other environment, for a foreign path: still only `invalid_key`."""
    terms = {"kind": "publishable", "origins": {"origins": ["https://yourapp.com"]}}
    bad = [("origin", "https://evil.example")]
    for key in (UNKNOWN, revoked(product, **terms)):
        answer = product.send("GET", "/v1/nothing", key, environment="test", headers=bad)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_key")

    live = product.key(**terms)
    assert product.send("GET", "/v1/nothing", live, environment="test", headers=bad).status == 403
