"""The figures as a picture: for each measure, bars of its first column. SVG, readable on light and on dark."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from html import escape

from bench.figures import Measure
from bench.report import Run

_WIDTH, _LABEL, _NUMBER = 780, 300, 80  # of the picture, and of what stands left and right of a bar
_ROW, _TITLE, _GAP, _BAR = 20, 26, 14, 12
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600}.ours{fill:#2b7bba}.other{fill:#9aa5b1}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


def svg(run: Run, measures: Sequence[Measure]) -> str:
    """Return the picture. A measure's first row is in the colour of ours, as every row named after us is."""
    top, parts = _GAP, list[str]()
    for measure in measures:
        if measure.name not in run.samples:
            continue
        parts += _panel(measure, run, top)
        top += _TITLE + _ROW * len(run.samples[measure.name]) + _GAP
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(measure: Measure, run: Run, top: int) -> Iterator[str]:
    column = measure.columns[0]
    rows = {row: statistics.median(found[column.name]) for row, found in run.samples[measure.name].items()}
    longest = max(rows.values(), default=0) or 1
    yield f'<text class="title" x="{_GAP}" y="{top + _BAR}">{escape(measure.title)}: {escape(column.heading)}</text>'
    for number, (row, value) in enumerate(rows.items()):
        y = top + _TITLE + number * _ROW
        length = max(1.0, value / longest * (_WIDTH - _LABEL - _NUMBER))
        kind = "other" if row.startswith(("Go", "grpc.aio", "Envoy alone")) else "ours"
        yield f'<text x="{_LABEL - 8}" y="{y + _BAR - 2}" text-anchor="end">{escape(row)}</text>'
        yield f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        yield f'<text x="{_LABEL + length + 6:.1f}" y="{y + _BAR - 2}">{value:,.{column.digits}f}</text>'
