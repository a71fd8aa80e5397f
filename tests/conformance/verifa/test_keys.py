"""What keys look like, where they are presented and where they work."""

from __future__ import annotations

import re

import grpc
import pytest

from tests.conformance.lines import line
from tests.support.products import Product


@line("verifa", 1)
def test_every_request_is_authenticated_by_x_api_key(product: Product) -> None:
    """In any case of the header's name, and in no other place."""
    key = product.key()

    given = [product.send("GET", "/api/v1/sessions", headers=[(name, key)]) for name in ("X-API-Key", "x-api-key")]
    assert [answer.status for answer in given] == [200, 200]
    assert "x-api-key" not in given[0].received

    elsewhere = [
        product.send("GET", "/api/v1/sessions", headers=[("authorization", f"Bearer {key}")]),
        product.send("GET", f"/api/v1/sessions?api_key={key}"),
        product.send("GET", "/api/v1/sessions", headers=[("cookie", f"x-api-key={key}")]),
        product.send("GET", "/"),
        product.send("GET", "/health"),
    ]
    assert {answer.status for answer in elsewhere} == {401}


@line("verifa", 2)
def test_a_new_key_is_secret_unless_said_otherwise(product: Product) -> None:
    """Two kinds and no third."""
    assert product.create_key().key.kind == "secret"
    assert product.create_key(kind="publishable").key.kind == "publishable"
    with pytest.raises(grpc.RpcError, match="kind: one of publishable, secret"):
        product.create_key(kind="restricted")


@line("verifa", 3)
@pytest.mark.parametrize(
    ("kind", "environment", "prefix"),
    [
        pytest.param("secret", "live", "vk_live_", id="secret-live"),
        pytest.param("secret", "sandbox", "vk_sandbox_", id="secret-sandbox"),
        pytest.param("publishable", "live", "vk_pub_live_", id="publishable-live"),
        pytest.param("publishable", "sandbox", "vk_pub_sandbox_", id="publishable-sandbox"),
    ],
)
def test_a_prefix_names_kind_and_environment(product: Product, kind: str, environment: str, prefix: str) -> None:
    """The upstream is told what the prefix says."""
    key = product.key(kind=kind, environment=environment)

    assert re.fullmatch(prefix + "[0-9A-Za-z]{38}", key)
    received = product.send("POST", "/api/v1/sessions", key, environment=environment).received
    assert (received["x-authsvc-kind"], received["x-authsvc-environment"]) == (kind, environment)


@line("verifa", 10)
@pytest.mark.parametrize("kind", ["secret", "publishable"])
def test_sandbox_and_live_are_apart(product: Product, kind: str) -> None:
    """A key works on the host of its environment only, whatever else the request says."""
    statuses = {
        (own, asked): product.send(
            "POST",
            "/api/v1/sessions",
            product.key(kind=kind, environment=own),
            environment=asked,
            headers=[("x-environment", own), ("x-forwarded-host", product.facts.hosts[own])],
        ).status
        for own in ("live", "sandbox")
        for asked in ("live", "sandbox")
    }

    assert statuses == {
        ("live", "live"): 200,
        ("sandbox", "sandbox"): 200,
        ("live", "sandbox"): 403,
        ("sandbox", "live"): 403,
    }


@line("verifa", 10)
def test_the_other_environment_is_its_own_error(product: Product) -> None:
    """The caller is told which mistake it was; nothing reached the upstream."""
    answer = product.send("GET", "/api/v1/sessions?n=10", product.key(environment="sandbox"))

    assert answer.json()["error"] == "wrong_environment"
    assert product.reached("/api/v1/sessions?n=10") == []


@line("verifa", 24)
def test_a_rotation_is_two_live_keys_and_then_one(product: Product) -> None:
    """Create, migrate, revoke: both work until the old one is revoked, and then the new one still does."""
    organization = product.organization()
    old = product.create_key(organization_id=organization)
    new = product.create_key(organization_id=organization)

    def statuses() -> list[int]:
        return [product.send("GET", "/api/v1/sessions", key.secret).status for key in (old, new)]

    assert statuses() == [200, 200]
    product.revoke(old.key.id)
    assert statuses() == [401, 200]
