"""What each of the six permissions opens."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.tables import table

PERMISSIONS = ["classify:create", "scan:create", "jobs:read", "results:read", "credits:read", "webhooks:write"]
ROUTES = table("op").routes
READ_ONLY = ["credits:read", "jobs:read", "results:read"]


def opens(product: Product, key: str) -> set[str]:
    """Return the restricted requests that a key may make."""
    every = {request for requests in ROUTES.values() for request in requests}
    return {request for request in every if product.send(*request.split(" "), key).status == 200}


@line("op", 9)
def test_exactly_six_permissions_exist(product: Product) -> None:
    """All of them can be chosen at creation, and nothing else."""
    assert list(ROUTES) == PERMISSIONS
    assert list(product.create_key(scopes=PERMISSIONS).key.scopes) == sorted(PERMISSIONS)
    for unknown in ("jobs:write", "credits:write", "keys:read", "scan:read"):
        with pytest.raises(grpc.RpcError, match=f"op has no scope {unknown}"):
            product.create_key(scopes=[unknown])


@line("op", 10)
def test_classify_create(product: Product) -> None:
    """Jobs from text or URLs; which of them is in the body, which passes unchanged."""
    key = product.key(scopes=["classify:create"])

    assert opens(product, key) == {"POST /v1/classify"}
    for body in (b'{"text": "caf\xc3\xa9"}', b'{"urls":["https://a.example/?x=1"]}\r\n'):
        product.send("POST", "/v1/classify", key, headers=[("content-type", "application/json")], body=body)
        assert product.reached("/v1/classify")[-1].body == body


@line("op", 11)
def test_scan_create(product: Product) -> None:
    """Scans and deep scans."""
    assert opens(product, product.key(scopes=["scan:create"])) == {"POST /v1/scan", "POST /v1/deep-scan"}


@line("op", 12)
def test_jobs_read(product: Product) -> None:
    """Status and timing, not results."""
    assert opens(product, product.key(scopes=["jobs:read"])) == {"GET /v1/jobs", "GET /v1/jobs/j1"}


@line("op", 13)
def test_results_read(product: Product) -> None:
    """Results of a job, not its status."""
    assert opens(product, product.key(scopes=["results:read"])) == {"GET /v1/jobs/j1/results"}


@line("op", 14)
def test_credits_read(product: Product) -> None:
    """Balances."""
    assert opens(product, product.key(scopes=["credits:read"])) == {"GET /v1/credits"}


@line("op", 15)
def test_webhooks_write(product: Product) -> None:
    """Endpoints are made and tested."""
    key = product.key(scopes=["webhooks:write"])

    assert opens(product, key) == {"POST /v1/webhooks", "POST /v1/webhooks/w1/test"}


@line("op", 17)
def test_some_routes_need_a_valid_key_only(product: Product) -> None:
    """A key without any permission comes in there and nowhere else; without a key nobody does."""
    key = product.key()

    assert product.send("GET", "/v1/organization", key).received["x-authsvc-scopes"] == ""
    assert opens(product, key) == set()
    assert product.send("GET", "/v1/organization").status == 401


@line("op", 18)
def test_the_read_only_preset(product: Product) -> None:
    """A key made with the preset's name holds its scopes, as if they had been named, and only reads."""
    made = product.create_key(preset="read-only")

    assert list(made.key.scopes) == READ_ONLY
    assert opens(product, made.secret) == {request for scope in READ_ONLY for request in ROUTES[scope]}
    assert {request.split(" ")[0] for scope in READ_ONLY for request in ROUTES[scope]} == {"GET"}


@line("op", 18)
def test_a_preset_that_is_not_there(product: Product) -> None:
    """The refusal names those that are."""
    with pytest.raises(grpc.RpcError, match="preset: one of read-only") as refused:
        product.create_key(preset="read_only")

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
