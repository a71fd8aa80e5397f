"""Every line of every contract has a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.lines import DATABASES, LINES, line
from tests.support.databases import DIALECTS

HERE = Path(__file__).parent


def through_envoy(name: str) -> set[int]:
    """
    Return the lines that a test in a product's folder holds from outside: it asks for `product`, on every database.

    The tests are read, not run, so that any selection of them sees all.
    """
    calls = [
        node
        for path in (HERE / name).glob("test_*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and "product" in {argument.arg for argument in function.args.args}
        if "databases" not in " ".join(map(ast.unparse, function.decorator_list))
        for node in function.decorator_list
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "line"
    ]
    named = [[ast.literal_eval(argument) for argument in call.args] for call in calls]
    return {number for first, *numbers in named if first == name for number in numbers}


@pytest.mark.parametrize("name", LINES)
def test_every_line_is_held_from_outside(name: str) -> None:
    """What was promised and is not seen behind Envoy, on each database, is not promised."""
    assert set(LINES[name]) - through_envoy(name) == set()


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
