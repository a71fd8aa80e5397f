"""How refusals are worded: exact bytes."""

from __future__ import annotations

import pytest

from tests.conformance.lines import line
from tests.support.products import Product

UNAUTHORIZED = b'{"error":"unauthorized","detail":"Invalid or missing API key.","status_code":401}'


@line("verifa", 19)
def test_a_missing_key_gets_the_documented_body(product: Product) -> None:
    """Exactly the documented bytes, as JSON."""
    answer = product.send("GET", "/api/v1/sessions")

    assert (answer.status, answer.headers["content-type"], answer.body) == (401, "application/json", UNAUTHORIZED)
