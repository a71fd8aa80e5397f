"""The service knows no product: what tells the examples apart is in their files alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.products import EXAMPLES, PRODUCTS

ROOT = Path(__file__).parents[2]
WHERE = ("authsvc", "protos", "schema", "clients/python/authsvc_client")
TOO_SHORT = 3  # characters; a word like that stands everywhere, and the prefixes of its keys do not


def words(product: str) -> set[str]:
    """Return what names a product: itself, its API, its hosts, the prefixes of its keys."""
    ((api, section),) = yaml.safe_load((EXAMPLES / product / "authsvc.yaml").read_text())["apis"].items()
    prefixes = {row.get("prefix", "") for row in section["keys"]["classes"]}
    names = {product, api, *prefixes, *PRODUCTS[product].hosts.values()}
    return {name for name in names if len(name) >= TOO_SHORT}


def texts() -> Iterator[tuple[str, str]]:
    """Yield every file of the service: where it is, and its name with what it says."""
    for folder in WHERE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                where = str(path.relative_to(ROOT))
                yield where, f"{where}\n{path.read_text()}"


@pytest.mark.parametrize("name", PRODUCTS)
def test_no_product_is_named_in_the_service(name: str) -> None:
    """Neither in code nor in comments, protos, the schema or the client."""
    named = re.compile("|".join(map(re.escape, sorted(words(name)))), re.IGNORECASE)

    assert [(where, named.findall(text)) for where, text in texts() if named.search(text)] == []


def test_the_words_would_be_found() -> None:
    """Each product has words of its own to look for, and its own example holds them."""
    for product in PRODUCTS:
        text = "".join((EXAMPLES / product / name).read_text() for name in ("authsvc.yaml", "envoy.yaml"))
        assert [word for word in words(product) if word in text] != []
    assert len(list(texts())) > 100
