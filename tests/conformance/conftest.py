"""
One running product for each database, for the tests that ask for `product`.

In a folder that is called like a product `product` is that one, elsewhere each in turn;
`@pytest.mark.products("verifa", "op")` names others, `@pytest.mark.databases("sqlite")` one database.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.databases import DIALECTS, scratch_database
from tests.support.products import INVENTED, PRODUCTS, Product, running_product


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    config.addinivalue_line("markers", "line(product, *numbers): the lines of a product's contract that a test holds")
    config.addinivalue_line("markers", "products(*names): the products that a test runs against")
    config.addinivalue_line("markers", "databases(*dialects): the databases that a test runs on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `product` on every database; `tests.support.scheduling` knows these ids."""
    if "product" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("products")
    databases = metafunc.definition.get_closest_marker("databases")
    folder = metafunc.definition.path.parent.name
    names = marker.args if marker else (folder,) if folder in {*PRODUCTS, *INVENTED} else tuple(PRODUCTS)
    metafunc.parametrize(
        "product",
        [
            pytest.param(
                (name, database),
                id=database if name == folder else f"{name}-{database}",
            )
            for name in names
            for database in (databases.args if databases else DIALECTS)
        ],
        indirect=True,
        scope="session",
    )


@pytest.fixture(scope="session")
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product of this test, running; the one before has ended."""
    name, database = request.param
    home = tmp_path_factory.mktemp(f"{name}-{database}")
    if database == "sqlite":
        with running_product(name, database, home) as running:
            yield running
        return
    server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
    with scratch_database(server, template) as url, running_product(name, database, home, url) as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell the report which lines this test holds, and where."""
    called = getattr(item, "callspec", None)
    database = called.params["product"][1] if called is not None and "product" in called.params else ""
    for mark in item.iter_markers("line"):
        product, *numbers = mark.args
        for number in numbers:
            item.user_properties.append(("line", f"{product} {number} {database}"))
