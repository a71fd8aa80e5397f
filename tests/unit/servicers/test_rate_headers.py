"""The rate-limit headers clients expect."""

from __future__ import annotations

import pytest

from authsvc.domain.api import RateHeaders
from authsvc.servicers.rate_headers import rate_headers, rate_states, retry_after, whole_seconds
from tests.support.builders import limit, verdict

SECOND = 1_000_000_000
HOURLY = limit(name="hourly", count=100, period_ns=3600 * SECOND)
TIGHT = verdict(remaining=3, reset_ns=20 * SECOND + 1)
WIDE = verdict(limit=HOURLY, remaining=90, reset_ns=600 * SECOND)
STANDARD = [
    ("ratelimit", '"per-key";r=3;t=21, "hourly";r=90;t=600'),
    ("ratelimit-policy", '"per-key";q=10;w=60, "hourly";q=100;w=3600'),
]
LEGACY = [("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "21")]


@pytest.mark.parametrize(
    ("nanos", "seconds"),
    [(0, 0), (1, 1), (SECOND - 1, 1), (SECOND, 1), (SECOND + 1, 2), (3600 * SECOND, 3600)],
)
def test_seconds_are_rounded_up(nanos: int, seconds: int) -> None:
    """Who waits as long as told has waited long enough."""
    assert seconds == whole_seconds(nanos)


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        pytest.param([0], 1, id="at-least-one"),
        pytest.param([1], 1, id="rounded-up"),
        pytest.param([5 * SECOND, 90 * SECOND, 0], 90, id="the-longest"),
    ],
)
def test_retry_after_waits_for_every_limit(waits: list[int], seconds: int) -> None:
    """One limit with room is not enough."""
    assert seconds == retry_after([verdict(allowed=False, retry_ns=wait) for wait in waits])


@pytest.mark.parametrize(
    ("standard", "legacy", "expected"),
    [
        pytest.param(True, False, STANDARD, id="standard"),
        pytest.param(False, True, LEGACY, id="legacy"),
        pytest.param(True, True, [*STANDARD, *LEGACY], id="both"),
        pytest.param(False, False, [], id="neither"),
    ],
)
def test_headers_of_two_limits(expected: list[tuple[str, str]], *, standard: bool, legacy: bool) -> None:
    """The draft's headers list every limit; the older ones have room for the tightest."""
    assert expected == rate_headers(RateHeaders(standard=standard, legacy=legacy), rate_states((TIGHT, WIDE)))


def test_without_a_limit_there_is_no_header() -> None:
    """Saying nothing is the only truthful answer."""
    assert rate_headers(RateHeaders(standard=True, legacy=True), ()) == []


def test_states_can_be_compared() -> None:
    """Two answers that say the same in whole seconds share what was rendered."""
    later = verdict(remaining=3, reset_ns=20 * SECOND + 2)

    assert rate_states((TIGHT,)) == rate_states((later,))
