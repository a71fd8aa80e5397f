"""The layers: what is written about them is what is enforced, and what is enforced covers the domain's imports."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, only

# Arithmetic on values that are passed in: no I/O, no clock, no randomness.
PURE = {
    *("__future__", "base64", "bisect", "collections", "dataclasses", "enum", "fractions", "functools", "hashlib"),
    *("hmac", "ipaddress", "itertools", "json", "math", "operator", "re", "string", "typing", "unicodedata", "zlib"),
    "urllib.parse",
}


def test_the_layers_that_are_described_are_enforced() -> None:
    """CONTRIBUTING.md shows the layers of the contract, in their order."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {contract["id"]: contract for contract in pyproject["tool"]["importlinter"]["contracts"]}

    assert contracts["layers"]["layers"] == only("CONTRIBUTING.md", "text layers").splitlines()


@pytest.mark.parametrize("path", sorted(ROOT.glob("authsvc/domain/*.py")), ids=lambda path: path.stem)
def test_the_domain_imports_nothing_but_arithmetic(path: Path) -> None:
    """A list of what is forbidden is one module short some day; this is the list of what is not."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    outside = {module for module in imported if not module.startswith("authsvc.domain")}

    assert {module for module in outside if module not in PURE and module.split(".")[0] not in PURE} == set()
