"""Each product's table holds behind Envoy; `make mutate` shows that no line of its configuration is without a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from authsvc.config import load
from tests.support.in_process import disagreements
from tests.support.products import EXAMPLES, Product
from tests.support.tables import FOLDER, table

TABLES = sorted(path.parent.name for path in Path(FOLDER).glob("*/table.yaml"))


@pytest.mark.products(*TABLES)
def test_every_row_holds(product: Product) -> None:
    """Keys are made, requests sent and refused as the table says."""
    assert list(table(product.name).failures(product)) == []


@pytest.mark.parametrize("name", TABLES)
def test_every_refusal_is_worded_as_promised(name: str) -> None:
    """Also those that no request can bring about at will."""
    (api,) = load(EXAMPLES / name / "authsvc.yaml").apis.by_name.values()

    assert list(disagreements(table(name), api)) == []
