"""Limits that follow the plan, and the organization's allow-list of addresses."""

from __future__ import annotations

import pytest

from tests.conformance.lines import line
from tests.support.products import Product

OFFICE, BRANCH = "198.51.100.0/24", "2001:db8:7::/48"


@line("verifa", 23)
def test_limits_follow_the_plan(product: Product) -> None:
    """An organization without a plan is on the default one."""
    expected = {"": 60, "free": 60, "pro": 600, "enterprise": 6000}

    for plan, rate in expected.items():
        key = product.key(organization_id=product.organization(plan=plan))
        policy = product.send("GET", "/api/v1/sessions", key).headers["ratelimit-policy"]
        assert policy == f'"plan-{plan or "free"}-key";q={rate};w=60'


@line("verifa", 23)
def test_limits_count_for_each_key(product: Product) -> None:
    """One key's last request leaves another key of the same organization all of its own."""
    organization = product.organization(plan="free")
    one, other = (product.key(organization_id=organization) for _ in range(2))

    product.spend(one, 60, "GET", "/api/v1/sessions")

    assert product.until_refused("GET", "/api/v1/sessions", one).status == 429
    assert product.send("GET", "/api/v1/sessions", other).headers["ratelimit"] == '"plan-free-key";r=59;t=1'


@line("verifa", 18)
@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        pytest.param("198.51.100.7", 200, id="listed"),
        pytest.param("198.51.101.7", 403, id="not-listed"),
        pytest.param("203.0.113.9, 198.51.100.7", 200, id="what-the-client-says-of-others-does-not-matter"),
        pytest.param("198.51.100.7, 203.0.113.9", 403, id="what-the-client-says-of-itself-is-not-believed"),
        pytest.param("::ffff:198.51.100.7", 200, id="mapped"),
        pytest.param("2001:db8:7::1", 200, id="ipv6"),
        pytest.param("2001:db8:8::1", 403, id="other-ipv6"),
        pytest.param("fe80::1%eth0", 403, id="zone"),
        pytest.param("198.51.100.7:443", 403, id="port"),
        pytest.param("unknown", 403, id="unknown"),
        pytest.param("", 403, id="empty"),
        pytest.param(None, 403, id="no-header"),
    ],
)
def test_an_organization_is_restricted_to_its_networks(product: Product, forwarded: str | None, status: int) -> None:
    """The address is the one that the load balancer in front of Envoy appended; all keys are restricted."""
    organization = product.organization(networks=product.networks(OFFICE, BRANCH))
    headers = [] if forwarded is None else [("x-forwarded-for", forwarded)]

    for kind in ("secret", "publishable"):
        key = product.key(kind=kind, organization_id=organization)
        answer = product.send("POST", "/api/v1/sessions", key, headers=headers)
        assert answer.status == status
        assert status == 200 or answer.json()["error"] == "ip_not_allowed"


@line("verifa", 18)
@pytest.mark.parametrize(
    "name", ["x-real-ip", "x-client-ip", "forwarded", "x-envoy-external-address", "true-client-ip"]
)
def test_no_other_header_is_an_address(product: Product, name: str) -> None:
    """Only the header that the configuration names."""
    key = product.key(organization_id=product.organization(networks=product.networks(OFFICE)))

    assert product.send("GET", "/api/v1/sessions", key, headers=[(name, "198.51.100.7")]).status == 403


@line("verifa", 18)
def test_an_organization_without_networks_is_not_restricted(product: Product) -> None:
    """Wherever the request comes from, and where that is not known."""
    key = product.key()

    assert product.send("GET", "/api/v1/sessions", key).status == 200
    assert product.send("GET", "/api/v1/sessions", key, headers=[("x-forwarded-for", "203.0.113.9")]).status == 200
