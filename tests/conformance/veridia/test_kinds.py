"""What publishable and secret keys can do, and whose data they reach."""

from __future__ import annotations

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY

from tests.conformance.lines import line
from tests.conformance.veridia.test_credentials import ROUTES, VERDICT
from tests.conformance.veridia.test_keys import PAGE, PUBLISHABLE
from tests.support.products import Product
from tests.support.stack import TIMEOUT

OPEN, CLOSED = ROUTES[:2], ROUTES[2:]


@line("veridia", 15)
def test_a_publishable_key_starts_verifications_and_submits_captures(product: Product) -> None:
    """Nothing else, and no grant makes it more."""
    made = product.create_key(**PUBLISHABLE)
    elsewhere = [*CLOSED, ("DELETE", "/v1/verify/vf_1"), ("GET", "/v1/verify"), ("GET", "/v1/webhooks/decrypt")]
    refused = []
    for scope in ("verdicts:read", "webhook-secrets:decrypt"):
        with pytest.raises(grpc.RpcError) as error:
            product.create_key(**PUBLISHABLE, scopes=["verifications:create", scope])
        refused.append(error.value.code())

    assert list(made.key.scopes) == ["captures:write", "verifications:create"]
    assert {product.send(*route, made.secret, headers=PAGE).status for route in OPEN} == {200}
    assert {product.send(*route, made.secret, headers=PAGE).status for route in elsewhere} == {403}
    assert set(refused) == {grpc.StatusCode.INVALID_ARGUMENT}


@line("veridia", 15)
def test_a_grant_beyond_the_kind_that_is_in_the_database_is_ignored(product: Product) -> None:
    """Should a row say more than its kind can hold, the kind wins."""
    made = product.create_key(**PUBLISHABLE)
    grants = '["captures:write", "verdicts:read", "verifications:create", "webhook-secrets:decrypt"]'
    product.sql(f"UPDATE keys SET scopes = '{grants}' WHERE id = '{made.key.id}'")
    opened = product.send("POST", "/v1/verify", made.secret, headers=PAGE)

    assert opened.received["x-authsvc-scopes"] == "captures:write verifications:create"
    assert {product.send(*route, made.secret, headers=PAGE).status for route in CLOSED} == {403}


@line("veridia", 16)
def test_a_publishable_key_cannot_fetch_a_verdict(product: Product) -> None:
    """403 with a code of its own, which a page can read."""
    answer = product.send(*VERDICT, product.key(**PUBLISHABLE), headers=PAGE)

    assert (answer.status, answer.json()["error"]) == (403, "kind_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "https://yourapp.com"


@line("veridia", 17)
def test_a_secret_key_can_do_all(product: Product) -> None:
    """Whatever a publishable one can, verdicts, and webhook secrets; without naming a scope."""
    made = product.create_key()
    narrow = product.key(scopes=["captures:write"])
    refused = product.send(*VERDICT, narrow)

    assert list(made.key.scopes) == [
        "captures:write",
        "verdicts:read",
        "verifications:create",
        "webhook-secrets:decrypt",
    ]
    assert {product.send(*route, made.secret).status for route in ROUTES} == {200}
    assert [product.send(*route, narrow).status for route in ROUTES] == [403, 200, 403, 403]
    assert refused.json()["error"] == "insufficient_scope"


@line("veridia", 18)
def test_a_secret_key_reads_within_its_own_tenant(product: Product) -> None:
    """The upstream is told the tenant and no client can say another; asked for another's data, the answer is no."""
    own, other = product.organization(), product.organization()
    made = product.create_key(organization_id=own)
    forged = [("x-authsvc-organization", other), ("x-authsvc-organization", own)]
    answer = product.send(*VERDICT, made.secret, headers=forged)

    def ask(owner: str) -> tuple[int, str]:
        request = AuthorizeRequest(
            api="veridia", credential=made.secret, required_scopes=["verdicts:read"], organization_id=owner
        )
        request.context.environment = "live"
        decision = product.stack.auth.Authorize(request, timeout=TIMEOUT).decision
        return decision.verdict, decision.reason

    assert answer.received["x-authsvc-organization"] == own
    assert ask(own) == (VERDICT_ALLOW, "")
    assert ask(other) == (VERDICT_DENY, "wrong_organization")
