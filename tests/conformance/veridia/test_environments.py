"""Test and live: told by the host, never mixed, and told apart for billing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.lines import line
from tests.conformance.veridia.test_credentials import ROUTES
from tests.conformance.veridia.test_keys import PAGE, PUBLISHABLE
from tests.support.products import Product


def crossed(product: Product, of: str, at: str) -> list[tuple[int, str]]:
    """Return what keys of one environment, of both kinds, are told at the endpoints of the other."""
    secret, page = product.key(environment=of), product.key(environment=of, **PUBLISHABLE)
    answers = [product.send(*route, secret, environment=at) for route in ROUTES]
    answers += [product.send(*route, page, environment=at, headers=PAGE) for route in ROUTES[:2]]
    assert product.send(*ROUTES[0], secret, environment=of).status == 200
    return [(answer.status, answer.json()["error"]) for answer in answers]


@line("veridia", 26)
def test_a_test_key_on_a_live_endpoint_is_wrong_environment(product: Product) -> None:
    """403 with the documented code, at every endpoint."""
    assert crossed(product, "test", "live") == [(403, "wrong_environment")] * 6


@line("veridia", 27)
def test_a_live_key_on_a_test_endpoint_is_wrong_environment(product: Product) -> None:
    """403 with the documented code, at every endpoint."""
    assert crossed(product, "live", "test") == [(403, "wrong_environment")] * 6


@line("veridia", 26, 27)
@pytest.mark.parametrize("header", ["x-forwarded-host", "x-environment", "x-authsvc-environment"])
def test_no_header_moves_a_request_to_another_environment(product: Product, header: str) -> None:
    """The host that Envoy routed by says where a request is for."""
    key = product.key(environment="test")
    for value in ("test", "test.xxuxe.online"):
        assert product.send(*ROUTES[0], key, environment="live", headers=[(header, value)]).status == 403


@line("veridia", 28)
def test_the_environment_is_told(product: Product) -> None:
    """The upstream learns it with every request and no client can say another: test traffic is not billed."""
    target = f"/v1/verify?{product.database}"
    for environment, times in (("live", 3), ("test", 5)):
        key = product.key(environment=environment)
        for _ in range(times):
            forged = [("x-authsvc-environment", "test")]
            assert product.send("POST", target, key, environment=environment, headers=forged).status == 200
    told = Counter(one.headers["x-authsvc-environment"] for one in product.reached(target))

    assert told == {"live": 3, "test": 5}
