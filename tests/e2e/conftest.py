"""One running product for the module that asks: service, Envoy, upstream."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.doors import LISTENERS
from tests.support.stack import Stack, running

DEMO = files("authsvc.cli.demo")


@pytest.fixture(scope="module", params=LISTENERS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo's product on the embedded default, behind each listener."""
    home = tmp_path_factory.mktemp("shop")
    config = home / "authsvc.yaml"
    config.write_text(DEMO.joinpath("authsvc.yaml").read_text())
    with running(home, config, DEMO.joinpath("envoy.yaml").read_text(), listener=request.param) as stack:
        yield stack


@pytest.fixture
def bootstrap() -> str:
    """The demo's Envoy configuration."""
    return DEMO.joinpath("envoy.yaml").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The demo's configuration as a file."""
    path = tmp_path / "authsvc.yaml"
    path.write_text(DEMO.joinpath("authsvc.yaml").read_text())
    return path
