"""Medians, ratios and goals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from bench.figures import Figures, Goal, Samples, interleaved, percentile, ratio

SAMPLES: Samples = {"ours": {"cpu_us": [10.0, 40.0, 12.0]}, "theirs": {"cpu_us": [20.0, 50.0, 20.0]}}


def goal(bound: float, *, against: str | None = "theirs", row: str = "ours", at_least: bool = False) -> Goal:
    """Give a goal for the samples."""
    return Goal(text="", row=row, column="cpu_us", bound=bound, against=against, at_least=at_least)


def test_a_ratio_is_of_figures_that_were_measured_together() -> None:
    """A round in which everything was slow does not count as one of ours."""
    assert math.isclose(0.6, ratio(SAMPLES["ours"]["cpu_us"], SAMPLES["theirs"]["cpu_us"]))


def test_a_goal_without_a_comparison_bounds_the_median() -> None:
    """So that one slow round says nothing."""
    assert goal(15, against=None).value(SAMPLES) == 12.0


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        pytest.param(goal(0.6), True, id="at-most-met-exactly"),
        pytest.param(goal(0.59), False, id="at-most-missed"),
        pytest.param(goal(0.6, at_least=True), True, id="at-least-met-exactly"),
        pytest.param(goal(0.61, at_least=True), False, id="at-least-missed"),
    ],
)
def test_a_bound_is_reached_from_its_own_side(wanted: Goal, reached: bool) -> None:  # noqa: FBT001 (a parameter)
    """Rates are to be high, costs low."""
    assert reached is wanted.reached(round(wanted.value(SAMPLES) or math.nan, 6))


@pytest.mark.parametrize(
    "wanted", [pytest.param(goal(1, row="nobody"), id="row"), pytest.param(goal(1, against="nobody"), id="against")]
)
def test_what_was_not_measured_has_no_value(wanted: Goal) -> None:
    """Without Go there is nothing to compare with, and that is not a ratio of zero."""
    assert wanted.value(SAMPLES) is None


def test_rounds_are_interleaved_and_the_first_one_does_not_count() -> None:
    """Everybody is asked once before anybody is asked again."""
    asked: list[str] = []

    def offer(name: str) -> Callable[[], Figures]:
        def figures() -> Figures:
            asked.append(name)
            return {"rate": float(len(asked))}

        return figures

    found = interleaved({"a": offer("a"), "b": offer("b")}, rounds=2)

    assert asked == ["a", "b"] * 3
    assert found == {"a": {"rate": [3.0, 5.0]}, "b": {"rate": [4.0, 6.0]}}


@pytest.mark.parametrize(("share", "figure"), [(0.5, 51), (0.99, 100), (0.999, 100), (0.0, 1)])
def test_percentiles_are_figures_that_were_measured(share: float, figure: int) -> None:
    """Nothing is interpolated."""
    assert figure == percentile(range(1, 101), share)
