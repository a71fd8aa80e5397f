"""One running product for all bad inputs; they are no matter of the database."""

from __future__ import annotations

import pytest

from tests.conformance.inputs.callers import Caller
from tests.support.products import Product


@pytest.fixture
def caller(product: Product) -> Caller:
    """Each product in turn."""
    return Caller(product)
