"""Limits, and the id by which every answer can be found again."""

from __future__ import annotations

from tests.conformance.lines import line
from tests.conformance.veridia.test_credentials import UNKNOWN, VERDICT
from tests.conformance.veridia.test_keys import PAGE, PUBLISHABLE
from tests.support.checks import check
from tests.support.doors import check_request
from tests.support.products import Product


@line("veridia", 34)
def test_over_the_limit_is_rate_limited(product: Product) -> None:
    """429, the documented code, when to come back; and refusals before it have cost nothing."""
    key = product.key(rate_limits=["3/minute"])
    refused = [product.send(*VERDICT, key, environment="test").status for _ in range(5)]
    passed = [product.send(*VERDICT, key).status for _ in range(3)]
    answer = product.send(*VERDICT, key)

    assert (refused, passed) == ([403] * 5, [200] * 3)
    assert (answer.status, answer.json()["error"]) == (429, "rate_limited")
    assert 15 <= int(answer.headers["retry-after"]) <= 20


@line("veridia", 34)
def test_the_limits_of_both_kinds_are_told(product: Product) -> None:
    """600 a minute for every key, 120 for a publishable one; the tightest is told first."""
    secret = product.send("POST", "/v1/verify", product.key())
    page = product.send("POST", "/v1/verify", product.key(**PUBLISHABLE), headers=PAGE)

    assert secret.headers["ratelimit-policy"] == '"key";q=600;w=60'
    assert page.headers["ratelimit-policy"] == '"kind-publishable-key";q=120;w=60, "key";q=600;w=60'
    assert page.headers["ratelimit"].startswith('"kind-publishable-key";r=119;')


@line("veridia", 34)
def test_a_page_is_stopped_at_its_limit(product: Product) -> None:
    """After 120 at once and what trickled in meanwhile; and the page can read why."""
    key = product.key(**PUBLISHABLE)
    place = {"api": "veridia", "environment": "live"}
    request = check_request(method="POST", path="/v1/verify", headers=PAGE, key=key, extensions=place)
    at_once = [check(product.stack.channel, request).status for _ in range(119)]
    last = product.send("POST", "/v1/verify", key, headers=PAGE)
    for _ in range(20):
        answer = product.send("POST", "/v1/verify", key, headers=PAGE)
        if answer.status == 429:
            break

    assert {*at_once, last.status} == {200}
    assert (answer.status, answer.json()["error"]) == (429, "rate_limited")
    assert answer.headers["access-control-allow-origin"] == PAGE[0][1]


@line("veridia", 35)
def test_every_answer_carries_a_request_id(product: Product) -> None:
    """Allowed, denied or public: a header with an id of its own; in errors the body says it too."""
    key = product.key()
    allowed = [product.send(*VERDICT, key), product.send("GET", "/health")]
    denied = [
        product.send(*VERDICT),
        product.send(*VERDICT, UNKNOWN),
        product.send(*VERDICT, key, environment="test"),
        product.send("GET", "/v1/nothing", key),
    ]
    ids = [answer.headers["x-authsvc-decision-id"] for answer in (*allowed, *denied)]

    assert len(set(ids)) == len(ids)
    assert [answer.json()["request_id"] for answer in denied] == ids[2:]
    assert allowed[0].received["x-authsvc-decision-id"] == ids[0]
