"""An empty scope list is full access, decided when the key is made and never again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from authsvc.config import load
from authsvc.domain.api import EmptyScopes
from tests.conformance.lines import line
from tests.conformance.moveris.test_credentials import ROUTES
from tests.support.builders import record
from tests.support.doors import ALLOWED, door, new_key
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
def test_only_a_key_that_was_made_so_has_full_access(product: Product) -> None:
    """An empty list without the stamp, as from a time when it meant nothing, opens nothing."""
    made = product.create_key(scopes=["credits:read"])
    product.sql(f"UPDATE keys SET scopes = '[]' WHERE id = '{made.key.id}'")

    assert product.send("GET", "/api/v1/credits", made.secret).status == 403


@line("moveris", 23)
def test_a_later_configuration_does_not_widen_a_key(tmp_path: Path, sqlite_url: str) -> None:
    """A key made while an empty list meant nothing stays closed when it means everything."""
    example = (EXAMPLES / "moveris" / "authsvc.yaml").read_text()
    assert example.count(GENEROUS) == 1
    config, keys, seen = tmp_path / "changed.yaml", [], []
    for rule in (STRICT, GENEROUS):
        config.write_text(example.replace(GENEROUS, rule))
        with running_product("moveris", "sqlite", tmp_path, sqlite_url, config) as product:
            keys.append(product.key(scopes=[]))
            seen.append([product.send("GET", "/api/v1/credits", key).status for key in keys])

    assert seen == [[403], [403, 200]]


@line("moveris", 23)
async def test_a_later_configuration_does_not_narrow_a_key() -> None:
    """A key made while an empty list meant everything keeps it when it means nothing."""
    (generous,) = load(EXAMPLES / "moveris" / "authsvc.yaml").apis.by_name.values()
    strict = replace(generous, empty_scopes=EmptyScopes.NONE)
    key = new_key(next(one for one in strict.keys.classes if one.creates))
    stored = record(api="moveris", environment=None, scopes=(), full_access=True)
    answer = await door({key: stored}, strict).ask(
        path="/api/v1/credits", headers={"x-api-key": key}, extensions={"api": "moveris"}
    )

    assert answer.outcome == ALLOWED
    assert answer.headers["x-authsvc-scopes"] == "*"
