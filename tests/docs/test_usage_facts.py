"""Numbers and names that docs/usage.md repeats are those of the code."""

from __future__ import annotations

import re

import pytest

from authsvc import housekeeping
from authsvc.domain.usage import AGENTS, DAY, HOUR, KEPT, LONGEST, MAX_ROUTE, Width
from authsvc.usage import flusher, recorder, spikes
from tests.docs.markdown import ROOT, code, table

TEXT = re.sub(r"\s+", " ", (ROOT / "docs" / "usage.md").read_text())
UNITS = {"hours": HOUR, "days": DAY, "years": 365 * DAY}


def test_the_widths_are_kept_and_asked_for_as_the_table_says() -> None:
    """Retention, and the longest period of a query."""
    told = {code(row[0])[0]: tuple(micros(cell) for cell in row[1:]) for row in table("docs/usage.md", "bucket")}

    assert {width.value: (KEPT[width], LONGEST[width]) for width in Width} == told


def micros(text: str) -> int:
    """Return a length of time as people write it."""
    number, unit = text.split()
    return int(number) * UNITS[unit]


@pytest.mark.parametrize(
    "told",
    [
        f"when {recorder.FLUSH_AT:,} counters wait",
        f"Beyond {recorder.MOST:,} counters",
        f"for at most {flusher.LAST:.0f} s",
        f"more than {spikes.FACTOR} times the baseline, and at least {spikes.LEAST} requests",
        f"in use for {spikes.KNOWN} minutes, and be among the {spikes.KEYS:,}",
        f"at most {MAX_ROUTE} characters",
    ],
)
def test_bounds_are_told(told: str) -> None:
    """As they are."""
    assert told in TEXT


def test_what_is_told_follows_from_the_code() -> None:
    """Five seconds are more than a flush, a tick and a moment; nine tenths remain of a minute; ten minutes pass."""
    assert flusher.EVERY + flusher.TICK < 5
    assert 1 - spikes.WEIGHT == pytest.approx(0.9)
    assert housekeeping.EVERY == 600


def test_the_classes_of_clients_are_told() -> None:
    """Every one that is stored."""
    sentence = TEXT.partition("## Last use")[2].partition("Of a `User-Agent`")[0]

    assert set(re.findall(r"`([a-z]+)`", sentence)) == AGENTS - {""}
