"""Codes in capitals, suspended organizations, and which refusal comes first."""

from __future__ import annotations

import pytest

from tests.conformance.lines import line
from tests.support.products import Product

UNKNOWN = "op_live_" + "0" * 38
INVALID = b'{"error":"INVALID_API_KEY","message":"Invalid or missing API key."}'
SUSPENDED = b'{"error":"ORGANIZATION_SUSPENDED","message":"The organization is suspended."}'


@line("op", 2)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="nothing"),
        pytest.param([("authorization", "")], id="empty"),
        pytest.param([("authorization", "Bearer")], id="no-token"),
        pytest.param([("authorization", f"Basic {UNKNOWN}")], id="basic"),
    ],
)
def test_a_missing_key_is_401_with_its_code(product: Product, headers: list[tuple[str, str]]) -> None:
    """Whatever is not a bearer token is no key."""
    answer = product.send("GET", "/v1/jobs", headers=headers)

    assert (answer.status, answer.body, answer.headers["www-authenticate"]) == (401, INVALID, "Bearer")


@line("op", 3)
def test_an_invalid_key_is_401_with_the_same_code(product: Product) -> None:
    """Unknown, misspelt, revoked."""
    made = product.create_key()
    product.revoke(made.key.id)

    for key in (UNKNOWN, "op_live_", "op_test_" + "0" * 38, made.secret):
        answer = product.send("GET", "/v1/jobs", key)
        assert (answer.status, answer.body) == (401, INVALID)


@line("op", 4)
def test_a_suspended_organization_is_403_for_every_key_until_it_is_reinstated(product: Product) -> None:
    """At once, for keys in use too, on every route; other organizations notice nothing."""
    organization, other = product.organization(), product.key(scopes=["jobs:read"])
    keys = [product.key(organization_id=organization, scopes=[scope]) for scope in ("jobs:read", "credits:read")]
    assert product.send("GET", "/v1/jobs", keys[0]).status == 200

    product.suspend(organization)

    for key in keys:
        for target in ("/v1/jobs", "/v1/organization"):
            answer = product.send("GET", target, key)
            assert (answer.status, answer.body) == (403, SUSPENDED)
    assert product.send("GET", "/v1/jobs", other).status == 200

    product.reinstate(organization)

    assert [product.send("GET", "/v1/jobs", key).status for key in keys] == [200, 403]


@line("op", 4)
def test_a_suspension_is_told_to_valid_keys_only(product: Product) -> None:
    """A key that was revoked before is as unknown as any, and reinstating does not bring it back."""
    organization = product.organization()
    dead = product.create_key(organization_id=organization)
    product.revoke(dead.key.id)
    product.suspend(organization)

    refused = [product.send("GET", "/v1/organization", dead.secret)]
    product.reinstate(organization)
    refused.append(product.send("GET", "/v1/organization", dead.secret))

    assert [(answer.status, answer.body) for answer in refused] == [(401, INVALID)] * 2


@line("op", 16)
def test_a_missing_permission_is_403(product: Product) -> None:
    """The permission is named."""
    answer = product.send("POST", "/v1/webhooks", product.key(scopes=["jobs:read"]))

    assert (answer.status, answer.json()) == (
        403,
        {
            "error": "INSUFFICIENT_PERMISSIONS",
            "message": "The API key lacks a required scope.",
            "required_permission": "webhooks:write",
        },
    )


@line("op", 23)
def test_validity_comes_before_suspension_and_suspension_before_permission(product: Product) -> None:
    """Each with everything that could come after it wrong too."""
    organization = product.organization()
    dead = product.create_key(organization_id=organization)
    weak = product.create_key(organization_id=organization)
    product.revoke(dead.key.id)

    def code(key: str | None) -> tuple[int, str]:
        answer = product.send("POST", "/v1/webhooks", key)
        return answer.status, answer.json()["error"]

    assert code(weak.secret) == (403, "INSUFFICIENT_PERMISSIONS")
    product.suspend(organization)
    assert [code(None), code(UNKNOWN), code(dead.secret)] == [(401, "INVALID_API_KEY")] * 3
    assert code(weak.secret) == (403, "ORGANIZATION_SUSPENDED")
