"""The page of figures, the plot, and the place they are written to."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.figures import CPU, RATE, BenchError, Goal, Measure
from bench.plot import svg
from bench.report import BEGIN, END, Run, markdown, write_into

HIT = Measure(
    name="hit",
    title="A hit & more",
    how="sent straight to each server",
    columns=(CPU, RATE),
    run=lambda _: {},
    goals=(
        Goal(text="CPU to theirs", row="ours", column="cpu_us", against="Go, theirs", bound=0.85),
        Goal(text="rate", row="ours", column="rate", bound=50_000, at_least=True),
        Goal(text="CPU to nobody's", row="ours", column="cpu_us", against="nobody", bound=1),
    ),
)
RUN = Run(
    facts={"Commit": "abc1234", "cores": "2"},
    samples={
        "hit": {
            "ours": {"cpu_us": [20.0, 22.0, 24.0], "rate": [40_000.0, 41_000.0, 42_000.0]},
            "Go, theirs": {"cpu_us": [27.5, 27.5, 27.5]},
        }
    },
    missing={"envoy": "h2load is missing"},
)


def test_every_goal_is_told_with_what_was_reached() -> None:
    """Reached, missed, and not measured."""
    page = markdown(RUN, [HIT])

    assert "| CPU to theirs | `hit` | ≤ 0.85 | 0.8 | yes |" in page
    assert "| rate | `hit` | ≥ 50,000 | 41,000 | **no** |" in page
    assert "| CPU to nobody's | `hit` | ≤ 1 | - | not measured |" in page


def test_a_row_has_the_medians_of_its_rounds() -> None:
    """And a dash where it has none."""
    page = markdown(RUN, [HIT])

    assert "| ours | 22.0 | 41,000 |" in page
    assert "| Go, theirs | 27.5 | - |" in page


def test_what_is_missing_is_named_with_the_reason() -> None:
    """A measure that could not be made is no measure that was forgotten."""
    assert "`envoy` was not measured: h2load is missing." in markdown(RUN, [HIT])


def test_the_plot_is_a_picture_of_every_row() -> None:
    """It is well-formed, names all rows, and the longest bar is the largest figure's."""
    picture = ET.fromstring(svg(RUN, [HIT]))

    texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    widths = [float(element.attrib["width"]) for element in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert {"ours", "Go, theirs", "A hit & more: CPU µs", "22.0", "27.5"} <= texts
    assert widths[0] < widths[1]


def test_the_figures_replace_those_of_the_last_run(tmp_path: Path) -> None:
    """What stands around them stays; writing them twice changes nothing more."""
    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\n## After\n")

    write_into(page, "new\n")
    once = page.read_text()
    write_into(page, "new\n")

    assert once == f"# Before\n\n{BEGIN}\n\nnew\n\n{END}\n\n## After\n"
    assert once == page.read_text()


@pytest.mark.parametrize("text", [pytest.param("no place", id="none"), pytest.param(f"{BEGIN} only", id="no-end")])
def test_a_page_without_a_place_for_them_is_left_alone(tmp_path: Path, text: str) -> None:
    """Nothing is appended where nobody expects it."""
    page = tmp_path / "page.md"
    page.write_text(text)

    with pytest.raises(BenchError):
        write_into(page, "new")

    assert text == page.read_text()
