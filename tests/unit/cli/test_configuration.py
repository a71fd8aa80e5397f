"""`config validate` and `config schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command

GOOD = """
apis:
  shop:
    credential: {header: x-api-key}
    kinds: {secret: {default: true, scopes: all, origins: optional}}
    keys: {classes: [{prefix: shop_, kind: secret}]}
    scopes: {"orders:read": {description: List orders}}
    routes: [{method: GET, path: /v1/orders, scopes: ["orders:read"]}]
"""


def test_a_good_file_is_summed_up(command: Command, tmp_path: Path) -> None:
    """By its name, or as the environment names it."""
    file = tmp_path / "authsvc.yaml"
    file.write_text(GOOD)

    named, found = command("config", "validate", str(file)), command("config", "validate")

    assert (named.status, found.status) == (0, 0)
    assert named.out.splitlines()[1].split() == ["shop", "secret", "1", "1"]
    assert named.out.splitlines()[-1] == f"{file} is valid"


def test_a_bad_file_is_told_by_line(command: Command, tmp_path: Path) -> None:
    """With exit status 2."""
    file = tmp_path / "authsvc.yaml"
    file.write_text("apis: {}\nnonsense: 1\n")

    ran = command("config", "validate", str(file))

    assert (ran.status, ran.out, f"{file}:2:" in ran.err) == (2, "", True)


def test_the_environment_is_checked_too(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener in the clear towards other machines is found before the start."""
    (tmp_path / "authsvc.yaml").write_text(GOOD)
    monkeypatch.setenv("AUTHSVC_LISTEN", "0.0.0.0:50051")

    ran = command("config", "validate")

    assert (ran.status, "AUTHSVC_LISTEN" in ran.err) == (2, True)


def test_the_schema_is_json(command: Command) -> None:
    """For editors."""
    ran = command("config", "schema")

    assert ran.status == 0
    assert "apis" in json.loads(ran.out)["properties"]
