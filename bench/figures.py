"""What a measure is: how it is run, what it found, and how near that is to its goals. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# By row, by column: one figure for each round. The n-th figures of two rows were measured one after the other.
Samples = Mapping[str, Mapping[str, Sequence[float]]]
Figures = Mapping[str, float]  # one round of one row, by column

# Builds the programs in Go, once, and returns their folder; None without Go.
Comparators = Callable[[], Path | None]

QUICK_KEYS, MANY_KEYS, LARGE_KEYS = 10_000, 100_000, 1_000_000


class BenchError(Exception):
    """A measurement that cannot be made here, or cannot be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How measures are run."""

    folder: Path  # empty, for whatever a measure needs
    rounds: int  # at least 1
    seconds: int  # of one burst of load
    keys: int  # where there are many
    comparators: Comparators


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A kind of figure."""

    name: str
    heading: str  # with the unit
    digits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound for a row's figure, or for its ratio to another row's."""

    text: str  # what is bounded, by what it is compared with
    row: str
    column: str
    bound: float
    against: str | None = None  # a row; None: the figure itself is bounded
    at_least: bool = False  # else at most

    def value(self, samples: Samples) -> float | None:
        """Return what was reached, the median over the rounds; None where it was not measured."""
        figures = _column(samples, self.row, self.column)
        if self.against is None or figures is None:
            return None if figures is None else statistics.median(figures)
        others = _column(samples, self.against, self.column)
        return None if others is None else ratio(figures, others)

    def reached(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that is measured. Its rows and columns are shown as they stand here."""

    name: str
    title: str
    how: str  # for the page of figures
    columns: Sequence[Column]
    run: Callable[[Conditions], Samples]
    goals: Sequence[Goal] = ()


CPU = Column(name="cpu_us", heading="CPU µs", digits=1)
KERNEL = Column(name="kernel_us", heading="in the kernel, µs", digits=1)
RATE = Column(name="rate", heading="requests/s")
P50, P99, P999 = (
    Column(name=f"p{name}_us", heading=f"p{heading}, µs")
    for name, heading in (("50", "50"), ("99", "99"), ("999", "99.9"))
)


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """
    Return the median of the rounds' ratios.

    A busy neighbour slows both of one round, so their ratio is steadier than either.
    """
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def interleaved(offers: Mapping[str, Callable[[], Figures]], rounds: int, *, warm_up: bool = True) -> Samples:
    """Ask for every row's figures in turn, round after round; the first round only warms up. Errors name the row."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in offers}
    for number in range(rounds + warm_up):
        for name, offer in offers.items():
            try:
                figures = offer()
            except BenchError as error:
                raise BenchError(f"{name}: {error}") from None
            for column, figure in figures.items():
                if number or not warm_up:
                    found[name].setdefault(column, []).append(figure)
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest figure that so large a share of them does not exceed; they come in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _column(samples: Samples, row: str, column: str) -> Sequence[float] | None:
    return samples.get(row, {}).get(column)
