"""The main job: a request through a real Envoy is allowed or denied by a key in a database."""

from __future__ import annotations

import pytest
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY
from authsvc_client.v1.key_service_pb2 import RevokeKeyRequest

from tests.support.stack import TIMEOUT, Stack

IDENTITY = ("organization", "key-id", "kind", "environment", "scopes", "decision-id")


def test_a_good_key_reaches_the_upstream_with_its_identity(shop: Stack) -> None:
    """The upstream is told who is calling, and never sees the key."""
    created = shop.create_key("shop", scopes=["orders:read"])

    answer = shop.send("GET", "/v1/orders", [("x-api-key", created.secret)])

    assert answer.status == 200
    received = answer.received
    assert received["x-authsvc-organization"] == created.key.organization_id
    assert received["x-authsvc-key-id"] == created.key.id
    assert received["x-authsvc-kind"] == "secret"
    assert received["x-authsvc-environment"] == ""
    assert received["x-authsvc-scopes"] == "orders:read"
    assert len(received["x-authsvc-decision-id"]) == 24
    assert "x-api-key" not in received
    assert created.secret not in answer.body.decode()


def test_no_identity_header_can_be_forged(shop: Stack) -> None:
    """Each of the six is overwritten, and a name of ours that we do not use is removed."""
    created = shop.create_key("shop", scopes=["orders:read"])
    forged = [(f"x-authsvc-{name}", "forged") for name in (*IDENTITY, "admin")]

    received = shop.send("GET", "/v1/orders", [("x-api-key", created.secret), *forged]).received

    assert "forged" not in received.values()
    assert "x-authsvc-admin" not in received


def test_a_public_route_gets_empty_identity_headers(shop: Stack) -> None:
    """Nobody is not whoever the client says: all six are there and empty, and a key sent along is removed."""
    forged = [(f"x-authsvc-{name}", "forged") for name in IDENTITY]

    received = shop.send("GET", "/health", [*forged, ("x-api-key", "anything")]).received

    assert {received[f"x-authsvc-{name}"] for name in IDENTITY} == {""}
    assert "x-api-key" not in received


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no-key"),
        pytest.param([("x-api-key", "")], id="empty"),
        pytest.param([("x-api-key", "a,b")], id="two-keys-in-one"),
        pytest.param([("x-api-key", "one"), ("x-api-key", "two")], id="repeated"),
        pytest.param([("x-api-key", "k" * 129)], id="too-long"),
        pytest.param([("authorization", "Bearer shop_x")], id="not-the-configured-header"),
        pytest.param([("x-api-keys", "shop_x")], id="nearly-the-header"),
    ],
)
def test_without_one_readable_credential_the_answer_is_401(shop: Stack, headers: list[tuple[str, str]]) -> None:
    """Missing, malformed and ambiguous credentials are one refusal, in problem details."""
    answer = shop.send("GET", "/v1/orders", headers)

    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json()["reason"] == "unauthorized"
    assert answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["decision_id"] == answer.headers["x-authsvc-decision-id"]


def test_unknown_and_revoked_keys_are_told_the_same(shop: Stack) -> None:
    """A caller cannot tell a key that was revoked from one that never existed."""
    created = shop.create_key("shop", scopes=["orders:read"])
    used = [("x-api-key", created.secret)]
    assert shop.send("GET", "/v1/orders", used).status == 200
    shop.keys.RevokeKey(RevokeKeyRequest(id=created.key.id), metadata=shop.metadata, timeout=TIMEOUT)

    revoked = shop.send("GET", "/v1/orders", used)
    never = shop.send("GET", "/v1/orders", [("x-api-key", "shop_" + "0" * 38)])

    assert revoked.status == never.status == 401
    told = [{**answer.json(), "decision_id": ""} for answer in (revoked, never)]
    assert told[0] == told[1]
    assert told[0]["reason"] == "invalid_key"


def test_a_missing_scope_is_named(shop: Stack) -> None:
    """403 says which scope the request needs."""
    created = shop.create_key("shop", scopes=["orders:read"])

    answer = shop.send("POST", "/v1/orders", [("x-api-key", created.secret)])

    assert answer.status == 403
    assert (answer.json()["reason"], answer.json()["required_scope"]) == ("insufficient_scope", "orders:write")


def test_an_unknown_path_is_told_only_to_a_valid_key(shop: Stack) -> None:
    """The routes of a product are nobody's business without a key."""
    created = shop.create_key("shop", scopes=["orders:read"])

    assert shop.send("GET", "/v1/secrets").status == 401
    answer = shop.send("GET", "/v1/secrets", [("x-api-key", created.secret)])
    assert (answer.status, answer.json()["reason"]) == (403, "route_not_configured")


def test_a_limit_is_spent_by_allowed_requests_only(shop: Stack) -> None:
    """A refused origin costs nothing; the request after the last allowed one is told when to come back."""
    created = shop.create_key(
        "shop", kind="publishable", scopes=["orders:read"], origins={"origins": ["https://shop.example"]}
    )
    key = ("x-api-key", created.secret)
    good, evil = ("origin", "https://shop.example"), ("origin", "https://evil.example")

    statuses = [shop.send("GET", "/v1/orders", [key, origin]).status for origin in (good, evil, good, evil)]
    refused = shop.send("GET", "/v1/orders", [key, good])

    assert statuses == [200, 403, 200, 403]
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"


def test_backends_get_the_same_answers_over_grpc(shop: Stack) -> None:
    """The RPC door decides as Envoy's door does, on the same key."""
    created = shop.create_key("shop", scopes=["orders:read"])

    def ask(method: str, path: str) -> tuple[int, str, str]:
        request = AuthorizeRequest(api="shop", credential=created.secret, method=method, path=path)
        answer = shop.auth.Authorize(request, timeout=TIMEOUT)
        return answer.decision.verdict, answer.decision.reason, answer.principal.key_id

    assert ask("GET", "/v1/orders") == (VERDICT_ALLOW, "", created.key.id)
    assert ask("POST", "/v1/orders") == (VERDICT_DENY, "insufficient_scope", "")
    assert ask("GET", "/v1/nothing") == (VERDICT_DENY, "route_not_configured", "")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/v1/orders%2f7", id="escaped-slash"),
        pytest.param("/v1/orders%5c7", id="escaped-backslash"),
        pytest.param("/v1/%6frders", id="escaped-letter"),
        pytest.param("/v1/orders/%252e%252e/x", id="double-escape"),
        pytest.param("/v1/orders\\7", id="backslash"),
    ],
)
def test_a_path_that_could_be_read_in_two_ways_never_passes(shop: Stack, target: str) -> None:
    """Envoy or the service refuses it, or Envoy normalizes it to a path whose rule then holds."""
    created = shop.create_key("shop", scopes=["orders:write"])

    assert shop.send("GET", target, [("x-api-key", created.secret)]).status in {400, 403}
