"""An empty scope list is full access, decided when the key is made and never again."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.lines import line
from tests.conformance.moveris.test_credentials import ROUTES
from tests.support.products import EXAMPLES, Product, running_product

STRICT, GENEROUS = "empty_scopes: none", "empty_scopes: full_access"


@line("moveris", 23)
def test_an_empty_list_is_full_access(product: Product) -> None:
    """The key passes everywhere, its record says so, and the upstream is told `*`."""
    made = product.create_key(scopes=[])
    answers = [product.send(method, path, made.secret) for method, path in ROUTES]

    assert made.key.full_access
    assert {answer.status for answer in answers} == {200}
    assert {answer.received["x-authsvc-scopes"] for answer in answers} == {"*"}


@line("moveris", 23)
def test_a_later_configuration_neither_widens_nor_narrows_a_key(tmp_path: Path, database_url: str) -> None:
    """What an empty list meant when a key was made is what it means, whatever new keys get."""
    example = (EXAMPLES / "moveris" / "authsvc.yaml").read_text()
    assert example.count(GENEROUS) == 1
    config, keys, seen = tmp_path / "changed.yaml", [], []
    for rule in (STRICT, GENEROUS, STRICT):
        config.write_text(example.replace(GENEROUS, rule))
        with running_product("moveris", "", tmp_path, database_url, config) as product:
            keys.append(product.key(scopes=[]))
            seen.append([product.send("GET", "/api/v1/credits", key).status for key in keys])

    assert seen == [[403], [403, 200], [403, 200, 403]]
