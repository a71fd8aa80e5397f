"""What `make mutate` takes away, and what it calls a survivor."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from authsvc.config import load
from tests.support.products import EXAMPLES
from tests.support.tables import table
from tools import mutate


def test_no_mutant_of_the_smallest_example_survives(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole of it, as `make mutate` runs it."""
    assert mutate.main(["minimal"]) == 0
    assert "caught" in capsys.readouterr().out


def test_every_entry_but_words_is_taken_away_once() -> None:
    """Whole sections, single entries and items of lists, and what Envoy says; never the section's own text."""
    section = {
        "scopes": {"a:read": {"description": "x", "default": True}},
        "routes": [{"path": "/", "scopes": ["a:read"]}],
    }
    before = copy.deepcopy(section)

    names = [mutant.name for mutant in mutate.mutants(section, {"*": {"api": "shop"}})]

    assert names == [
        "scopes",
        "scopes.a:read",
        "scopes.a:read.default",
        "routes",
        "routes[0]",
        "routes[0].path",
        "routes[0].scopes",
        "routes[0].scopes → []",
        "routes[0].scopes[0]",
        "context_extensions of *: api",
    ]
    assert section == before


@pytest.mark.parametrize(
    ("taken", "outcome"),
    [
        pytest.param("kinds", mutate.REFUSED, id="needed-to-start"),
        pytest.param("routes[1].scopes → []", mutate.CAUGHT, id="a-row-fails"),
    ],
)
def test_a_mutant_is_judged(taken: str, outcome: str) -> None:
    """By the start, then by the table."""
    assert judge(taken).outcome == outcome


def test_a_line_that_no_row_needs_survives() -> None:
    """That is what the tool is for."""
    rows = replace(table("minimal"), routes={}, requests=[])

    assert judge("routes[1].scopes → []", rows).outcome == mutate.SURVIVED


def judge(taken: str, rows: mutate.Table | None = None) -> mutate.Verdict:
    """Judge one mutant of the smallest example."""
    api, section, extensions = mutate.example("minimal")
    (mutant,) = (mutant for mutant in mutate.mutants(section, extensions) if mutant.name == taken)
    original = load(EXAMPLES / "minimal" / "authsvc.yaml").apis.by_name[api]
    return mutate.judge(mutant, api, original, rows or table("minimal"))
