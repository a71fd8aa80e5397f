"""One bucket for all keys of an organization."""

from __future__ import annotations

import re

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.stack import Answer

ANY_KEY = ("GET", "/v1/organization")  # for every valid key
STATED = re.compile(r'"organization";r=(\d+);t=(\d+)')


def left(answer: Answer) -> int:
    """Return how many requests may follow at once."""
    match = STATED.fullmatch(answer.headers["ratelimit"])
    assert match is not None
    return int(match[1])


@line("op", 8)
def test_two_keys_of_an_organization_share_one_bucket(product: Product) -> None:
    """What one spends is missing for the other, and for a key made afterwards; another organization's is untouched."""
    organization = product.organization()
    one, two = (product.key(organization_id=organization) for _ in range(2))

    first = product.send(*ANY_KEY, one)
    product.spend(one, 300, *ANY_KEY)
    second = product.send(*ANY_KEY, two)
    third = product.send(*ANY_KEY, product.key(organization_id=organization))

    assert first.headers["ratelimit-policy"] == second.headers["ratelimit-policy"] == '"organization";q=600;w=60'
    # Ten a second come back meanwhile.
    assert left(first) == 599
    assert left(second) < 500
    assert left(third) < 500
    assert left(product.send(*ANY_KEY, product.key())) == 599
    # Jobs and credits are the upstream's to count: it is told whose they are.
    assert {answer.received["x-authsvc-organization"] for answer in (first, second, third)} == {organization}


@line("op", 8)
def test_a_second_key_does_not_double_the_limit(product: Product) -> None:
    """When the organization has used up its requests, all of its keys are refused, with the code in capitals."""
    organization = product.organization()
    one, two = (product.key(organization_id=organization) for _ in range(2))

    product.spend(one, 700, *ANY_KEY)

    for key in (one, two):
        refused = product.until_refused(*ANY_KEY, key)
        assert (refused.status, refused.json()["error"]) == (429, "RATE_LIMITED")
        assert refused.json()["retry_after"] == int(refused.headers["retry-after"]) == 1
    assert product.send(*ANY_KEY, product.key()).status == 200
