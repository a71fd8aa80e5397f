"""No block of the documentation goes untested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from authsvc.config import json_schema
from authsvc.config.loader import read
from tests.docs.markdown import ROOT, Block, blocks, code, name, only, params, table

# How each kind is tested. The kinds without a word of their own are prose, or tested by others.
TESTED = {
    "sh run": "test_shell.py",
    "sh then": "test_shell.py",
    "sh make": "test_shell.py",
    "sh shown": "test_shell.py",
    "console demo": "test_through_envoy.py",
    "python": "test_through_envoy.py",
    "yaml envoy": "test_through_envoy.py",
    "yaml envoy-clusters": "test_through_envoy.py",
    "yaml envoy-grpc-service": "test_through_envoy.py",
    "yaml authsvc-listeners": "test_blocks.py",
    "yaml pepper": "test_blocks.py",
    "yaml prometheus-rules": "test_metrics.py",
    "sql postgres": "test_database_roles.py",
    "sql authsvc": "test_database_roles.py",
    "text layers": "test_layers.py",
    "text": "prose",
}
# Its blocks are loaded by tests/unit/config/test_examples.py.
CONFIGURATION = "docs/configuration.md"

MINIMAL = (ROOT / "examples" / "minimal" / "authsvc.yaml").read_text()


def test_every_block_has_a_kind_that_is_tested() -> None:
    """A block nobody runs is a block that is wrong one day."""
    untested = [
        f"{block.place}: {block.info!r}"
        for block in blocks()
        if block.info not in TESTED and (name(block.page), block.info) != (CONFIGURATION, "yaml")
    ]

    assert not untested


@pytest.mark.parametrize(("kind", "where"), [(kind, where) for kind, where in TESTED.items() if where != "prose"])
def test_each_kind_is_tested_where_it_is_said_to_be(kind: str, where: str) -> None:
    """The test exists, and there is something for it to test."""
    source = Path(__file__).with_name(where).read_text()
    if where == Path(__file__).name:
        source = source.partition("\n}\n")[2]  # without the table above

    assert f'"{kind}"' in source
    assert blocks(kind)


def test_the_convention_is_written_down() -> None:
    """CONTRIBUTING.md explains every kind of block there is."""
    explained = {kind for row in table("CONTRIBUTING.md", "block", "what happens") for kind in code(row[0])}

    for kind in TESTED:
        assert any(kind == word or ("…" in word and kind.startswith(word.rstrip("…"))) for word in explained), kind


@pytest.mark.parametrize("block", params("yaml authsvc-listeners"))
def test_a_part_of_our_configuration_loads(block: Block) -> None:
    """The part and the smallest file's APIs are a whole configuration."""
    config = read(f"{MINIMAL}\n{block.text}".encode(), ROOT / "authsvc.yaml")

    assert config.data.tls is not None
    assert config.data.tls.clients


def test_the_pepper_file_has_the_shape_that_is_read() -> None:
    """The sample has the real file's keys, and a value that is refused, so that nobody shares it."""
    sample = yaml.safe_load(only("docs/operations.md", "yaml pepper"))

    assert {"current", "peppers"} == set(sample)
    assert [sample["current"]] == list(sample["peppers"])
    assert len(sample["peppers"]["p1"]) != 44


def test_the_schema_that_is_linked_is_ours() -> None:
    """Editors are pointed to the schema of this very version."""
    assert json_schema() == json.loads((ROOT / "schema" / "authsvc.schema.json").read_text())
