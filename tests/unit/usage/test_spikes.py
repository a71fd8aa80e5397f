"""Spikes: a key against its own recent past, told once, in bounded memory."""

from __future__ import annotations

import logging

import pytest

from authsvc.domain.usage import MINUTE
from authsvc.telemetry import UsageCounters
from authsvc.usage.spikes import FACTOR, KNOWN, LEAST, Spikes
from tests.support.stored import key_id
from tests.support.usage import tally

START = tally().start


@pytest.fixture
def counters() -> UsageCounters:
    """What was told."""
    return UsageCounters()


@pytest.fixture
def spikes(counters: UsageCounters) -> Spikes:
    """Room for three keys."""
    return Spikes(counters, keys=3)


def see(spikes: Spikes, minute: int, count: int, **changes: str) -> None:
    """Count in a minute since the start."""
    spikes.see({tally(start=START + minute * MINUTE, **changes): count})


@pytest.mark.parametrize(
    ("usual", "sudden", "expected"),
    [
        pytest.param(LEAST, LEAST * FACTOR * 2, 1, id="far-more"),
        pytest.param(LEAST, LEAST * FACTOR // 2, 0, id="more"),
        pytest.param(1, LEAST - 1, 0, id="little"),
        pytest.param(1, LEAST, 1, id="enough"),
    ],
)
def test_a_spike_is_far_more_than_before(
    spikes: Spikes, counters: UsageCounters, usual: int, sudden: int, expected: int
) -> None:
    """More than ten times the baseline, and not a handful."""
    for minute in range(KNOWN * 5):
        see(spikes, minute, usual)
    see(spikes, KNOWN * 5, sudden)

    assert counters.spikes.get("shop", 0) == expected


def test_a_new_key_has_no_baseline(spikes: Spikes, counters: UsageCounters) -> None:
    """Ten minutes have to pass before its use can be unusual."""
    for minute in range(KNOWN):
        see(spikes, minute, 10 ** min(minute, 6))

    assert counters.spikes == {}


def test_a_spike_is_told_once_a_minute(
    spikes: Spikes, counters: UsageCounters, caplog: pytest.LogCaptureFixture
) -> None:
    """As a metric by API and in the log with the key's id, as soon as it is one."""
    see(spikes, 0, 1)
    for _ in range(5):
        see(spikes, KNOWN, LEAST, outcome="rate_limited")
    see(spikes, KNOWN + 1, LEAST * 100)

    assert counters.spikes == {"shop": 2}
    assert [(record.levelno, record.__dict__["key_id"]) for record in caplog.records] == [
        (logging.WARNING, key_id(1))
    ] * 2


def test_minutes_without_a_request_count(spikes: Spikes, counters: UsageCounters) -> None:
    """What was usual an hour ago no longer is."""
    for minute in range(KNOWN * 2):
        see(spikes, minute, LEAST)
    see(spikes, KNOWN * 2 + 60, LEAST)

    assert counters.spikes == {"shop": 1}


def test_late_counts_change_no_past(spikes: Spikes, counters: UsageCounters) -> None:
    """They belong to the present minute, and nothing goes back."""
    see(spikes, KNOWN, 1)
    see(spikes, 0, 1)
    see(spikes, KNOWN * 2, LEAST)

    assert counters.spikes == {"shop": 1}


def test_memory_is_bounded(spikes: Spikes) -> None:
    """The keys used last are remembered; nobody is no key."""
    for number in range(10):
        see(spikes, 0, 1, key_id=key_id(number))
    see(spikes, 0, 1, key_id="")

    assert len(spikes) == 3
