"""The figures for people: a Markdown page of tables, and the one of goals first."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BenchError, Measure, Samples

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was found, where and how."""

    facts: Mapping[str, str]  # of the machine and of the run
    samples: Mapping[str, Samples]  # by measure
    missing: Mapping[str, str]  # measures that could not be made, and why


def markdown(run: Run, measures: Sequence[Measure], plot: str = "") -> str:
    """Return the page; `plot` is the path of the picture, empty for none."""
    shown = [measure for measure in measures if measure.name in run.samples]
    parts = [", ".join(f"{name} {fact}" for name, fact in run.facts.items()) + "."]
    parts += [f"![Every measure as bars]({plot})"] if plot else []
    parts += ["\n".join(goals(run, shown))] if any(measure.goals for measure in shown) else []
    for measure in shown:
        parts += [f"### {measure.title}", _sentence(measure.how), "\n".join(_table(measure, run.samples[measure.name]))]
    parts += [f"`{name}` was not measured: {why}." for name, why in run.missing.items()]
    return "\n\n".join(parts) + "\n"


def goals(run: Run, measures: Sequence[Measure]) -> Iterator[str]:
    """Yield the table of all goals, each with what was reached."""
    yield from _head(["goal", "measure", "to reach", "reached", ""], numbers=0)
    for measure in measures:
        for goal in measure.goals:
            value = goal.value(run.samples[measure.name])
            bound = f"{'≥' if goal.at_least else '≤'} {_figure(goal.bound)}"
            if value is None:
                cells = [_NONE, "not measured"]
            else:
                cells = [_figure(value), "yes" if goal.reached(value) else "**no**"]
            yield _line([goal.text, f"`{measure.name}`", bound, *cells])


def write_into(page: Path, text: str) -> None:
    """Put a text between the markers of a page, in place of what is there."""
    whole = page.read_text()
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{page} has no place for the figures: {BEGIN} and {END} around it, each on its own line")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _table(measure: Measure, samples: Samples) -> Iterator[str]:
    columns = [column for column in measure.columns if any(column.name in figures for figures in samples.values())]
    yield from _head(["", *(column.heading for column in columns)], numbers=len(columns))
    for row, figures in samples.items():
        found = [figures.get(column.name) for column in columns]
        yield _line(
            [
                row,
                *(
                    f"{statistics.median(one):,.{column.digits}f}" if one else _NONE
                    for one, column in zip(found, columns, strict=True)
                ),
            ]
        )


def _head(cells: Sequence[str], *, numbers: int) -> Iterator[str]:
    yield _line(cells)
    yield "|" + "---|" * (len(cells) - numbers) + "---:|" * numbers


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
