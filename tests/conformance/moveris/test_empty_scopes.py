"""An empty scope list is full access, decided when the key is made and never again."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.lines import line
from tests.conformance.moveris.test_credentials import ROUTES
from tests.support.products import EXAMPLES, Product, running_product


@line("moveris", 23)
def test_an_empty_list_is_full_access(product: Product) -> None:
    """The key passes everywhere, its record says so, and the upstream is told `*`."""
    made = product.create_key(scopes=[])
    answers = [product.send(method, path, made.secret) for method, path in ROUTES]

    assert made.key.full_access
    assert {answer.status for answer in answers} == {200}
    assert {answer.received["x-authsvc-scopes"] for answer in answers} == {"*"}
