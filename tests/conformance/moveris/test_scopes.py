"""The catalogue of scopes, and what each of them opens and nothing else does."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.lines import line
from tests.support.products import Product

SCOPES = (
    "credits:read",
    "detection:read",
    "detection:write",
    "hosts:read",
    "hosts:write",
    "keys:read",
    "keys:write",
    "session:audit",
    "session:read",
    "session:write",
    "usage:read",
    "webhooks:read",
    "webhooks:write",
)


# One request for each scope.
SAMPLES = {
    "detection:write": ("POST", "/api/v1/verify"),
    "detection:read": ("GET", "/api/v1/results"),
    "session:write": ("POST", "/api/v1/sessions"),
    "session:read": ("GET", "/api/v1/sessions"),
    "session:audit": ("POST", "/api/v1/sessions/s1/audit"),
    "keys:read": ("GET", "/api/v1/keys"),
    "keys:write": ("POST", "/api/v1/keys"),
    "usage:read": ("GET", "/api/v1/usage"),
    "credits:read": ("GET", "/api/v1/credits"),
    "webhooks:read": ("GET", "/api/v1/webhooks"),
    "webhooks:write": ("POST", "/api/v1/webhooks"),
    "hosts:read": ("GET", "/api/v1/hosts"),
    "hosts:write": ("POST", "/api/v1/hosts"),
}


def assert_opens(product: Product, scope: str, *requests: tuple[str, str]) -> None:
    """A key with this scope passes these and nothing of any other scope; one with all others is refused them."""
    only, others = product.key(scopes=[scope]), product.key(scopes=[other for other in SCOPES if other != scope])
    elsewhere = [sample for other, sample in SAMPLES.items() if other != scope]
    refused = [product.send(*request, others) for request in requests]

    assert {product.send(*request, only).status for request in requests} == {200}
    assert {product.send(*request, only).status for request in elsewhere} == {403}
    assert {(answer.status, answer.json()["required_scope"]) for answer in refused} == {(403, scope)}


@line("moveris", 8)
def test_scopes_are_chosen_when_a_key_is_made(product: Product) -> None:
    """A key holds what it was made with, the upstream is told so, and the rest is refused."""
    made = product.create_key(scopes=["usage:read", "credits:read"])
    answer = product.send("GET", "/api/v1/credits", made.secret)

    assert list(made.key.scopes) == ["credits:read", "usage:read"]
    assert not made.key.full_access
    assert answer.received["x-authsvc-scopes"] == "credits:read usage:read"
    assert product.send("GET", "/api/v1/usage", made.secret).status == 200
    assert product.send("GET", "/api/v1/hosts", made.secret).status == 403


@line("moveris", 9)
def test_exactly_thirteen_scopes_exist(product: Product) -> None:
    """All thirteen can be granted together; whatever is not one of them is refused."""
    refused = []
    for unknown in ("detection:delete", "session:*", "*", "hosts", "credits:write", "usage:write", "Keys:read"):
        with pytest.raises(grpc.RpcError) as error:
            product.create_key(scopes=["keys:read", unknown])
        refused.append(error.value.code())

    assert tuple(product.create_key(scopes=SCOPES).key.scopes) == SCOPES
    assert set(refused) == {grpc.StatusCode.INVALID_ARGUMENT}


@line("moveris", 10)
def test_detection_write_submits_liveness_checks(product: Product) -> None:
    """Fast check, its stream and its crops, and verify."""
    checks = ("fast-check", "fast-check-stream", "fast-check-crops", "verify")

    assert_opens(product, "detection:write", *(("POST", f"/api/v1/{check}") for check in checks))


@line("moveris", 11)
def test_detection_read_reads_results_and_queue_stats(product: Product) -> None:
    """All results, one of them, and the queue."""
    paths = ("/api/v1/results", "/api/v1/results/s1", "/api/v1/queue/stats")

    assert_opens(product, "detection:read", *(("GET", path) for path in paths))


@line("moveris", 12)
def test_session_write_creates_and_manages_sessions(product: Product) -> None:
    """Create, change, end."""
    one = "/api/v1/sessions/s1"

    assert_opens(product, "session:write", ("POST", "/api/v1/sessions"), ("PATCH", one), ("DELETE", one))


@line("moveris", 13)
def test_session_read_reads_sessions(product: Product) -> None:
    """Status and metadata of all and of one."""
    assert_opens(product, "session:read", ("GET", "/api/v1/sessions"), ("GET", "/api/v1/sessions/s1"))


@line("moveris", 14)
def test_session_audit_records_audit_events(product: Product) -> None:
    """A third verb: neither read nor write implies it, and it implies neither."""
    assert_opens(product, "session:audit", ("POST", "/api/v1/sessions/s1/audit"))


@line("moveris", 15)
def test_keys_read_lists_and_reads_keys(product: Product) -> None:
    """All and one."""
    assert_opens(product, "keys:read", ("GET", "/api/v1/keys"), ("GET", "/api/v1/keys/k1"))


@line("moveris", 16)
def test_keys_write_creates_updates_and_revokes_keys(product: Product) -> None:
    """Three verbs, one scope."""
    one = "/api/v1/keys/k1"

    assert_opens(product, "keys:write", ("POST", "/api/v1/keys"), ("PATCH", one), ("DELETE", one))


@line("moveris", 17)
def test_usage_read_reads_usage(product: Product) -> None:
    """Logs and analytics."""
    assert_opens(product, "usage:read", ("GET", "/api/v1/usage"))


@line("moveris", 18)
def test_credits_read_reads_credits(product: Product) -> None:
    """Balance and plan."""
    assert_opens(product, "credits:read", ("GET", "/api/v1/credits"))


@line("moveris", 19)
def test_webhooks_read_lists_webhooks(product: Product) -> None:
    """All and one."""
    assert_opens(product, "webhooks:read", ("GET", "/api/v1/webhooks"), ("GET", "/api/v1/webhooks/w1"))


@line("moveris", 20)
def test_webhooks_write_manages_webhooks(product: Product) -> None:
    """Create, update, delete."""
    one = "/api/v1/webhooks/w1"

    assert_opens(product, "webhooks:write", ("POST", "/api/v1/webhooks"), ("PATCH", one), ("DELETE", one))


@line("moveris", 21)
def test_hosts_read_lists_hosts(product: Product) -> None:
    """The allowed CORS origins."""
    assert_opens(product, "hosts:read", ("GET", "/api/v1/hosts"))


@line("moveris", 22)
def test_hosts_write_manages_hosts(product: Product) -> None:
    """Add one, take one away."""
    assert_opens(product, "hosts:write", ("POST", "/api/v1/hosts"), ("DELETE", "/api/v1/hosts/h1"))


@line("moveris", 24)
def test_a_list_that_is_not_empty_restricts(product: Product) -> None:
    """One scope opens what it names; even twelve leave the thirteenth closed."""
    twelve = product.key(scopes=[scope for scope in SCOPES if scope != "credits:read"])

    assert product.send("GET", "/api/v1/credits", product.key(scopes=["credits:read"])).status == 200
    assert product.send("GET", "/api/v1/usage", product.key(scopes=["credits:read"])).status == 403
    assert product.send("GET", "/api/v1/credits", twelve).status == 403
