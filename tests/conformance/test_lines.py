"""Every line of every contract has a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.lines import DATABASES, LINES, line
from tests.support.databases import DIALECTS

HERE = Path(__file__).parent


def marked(product: str) -> set[int]:
    """Return the lines that the tests of this folder name; read, not run, so that any selection of tests sees all."""
    calls = [
        node
        for path in HERE.rglob("test_*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in function.decorator_list
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "line"
    ]
    named = [[ast.literal_eval(argument) for argument in call.args] for call in calls]
    return {number for first, *numbers in named if first == product for number in numbers}


@pytest.mark.parametrize("name", LINES)
def test_every_line_has_a_test(name: str) -> None:
    """What was promised and is not tested is not promised."""
    assert set(LINES[name]) - marked(name) == set()


def test_there_are_all_lines() -> None:
    """None got lost, and the report knows every database."""
    assert DATABASES == DIALECTS
    assert {product: len(lines) for product, lines in LINES.items()} == {
        "moveris": 32,
        "veridia": 38,
        "verifa": 25,
        "op": 23,
    }


def test_a_line_that_does_not_exist_is_refused() -> None:
    """A typing mistake in a mark fails the collection."""
    with pytest.raises(ValueError, match="verifa has no line 26"):
        line("verifa", 26)
