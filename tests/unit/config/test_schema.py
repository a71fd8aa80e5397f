"""The committed JSON Schema is the one the models make."""

from __future__ import annotations

import json
from pathlib import Path

from authsvc.config import json_schema

COMMITTED = Path(__file__).parents[3] / "schema" / "authsvc.schema.json"


def test_the_committed_schema_is_fresh() -> None:
    """Run `authsvc config schema > schema/authsvc.schema.json` when this fails."""
    assert json.dumps(json_schema(), indent=2) + "\n" == COMMITTED.read_text()


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    """An editor marks a misspelt key in every section."""
    assert all(section["additionalProperties"] is False for section in json_schema()["$defs"].values())
