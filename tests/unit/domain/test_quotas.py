"""Rate-limit arithmetic at its edges; runs of requests are in tests/property."""

from __future__ import annotations

import pytest

from authsvc.domain.quotas import (
    MAX_COUNT,
    Algorithm,
    Limit,
    State,
    Verdict,
    parse_rate,
    recovers,
    spend,
)
from tests.support.builders import limit

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
T = 5_000 * SECOND

GCRA = limit()
WINDOW = limit(algorithm=Algorithm.SLIDING_WINDOW)


def run(rule: Limit, times: list[int]) -> list[Verdict]:
    """Ask once at each time, keeping the state as the limiter does."""
    state: State | None = None
    verdicts = []
    for now in times:
        verdict, after = spend(rule, state, now)
        state = after if verdict.allowed else state
        verdicts.append(verdict)
    return verdicts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10/minute", (10, MINUTE), id="minute"),
        pytest.param("1/second", (1, SECOND), id="second"),
        pytest.param("5/hour", (5, 60 * MINUTE), id="hour"),
        pytest.param("100/day", (100, 1440 * MINUTE), id="day"),
        pytest.param(f"{MAX_COUNT}/second", (MAX_COUNT, SECOND), id="largest"),
        pytest.param(f"{MAX_COUNT + 1}/second", None, id="too-large"),
        pytest.param("9999999999/day", None, id="ten-digits-too-large"),
        pytest.param("0/second", None, id="zero"),
        pytest.param("-1/second", None, id="negative"),
        pytest.param("01/second", None, id="padded"),
        pytest.param("1.5/second", None, id="fraction"),
        pytest.param("1e3/second", None, id="exponent"),
        pytest.param("10 / minute", None, id="blanks"),
        pytest.param("10/minutes", None, id="plural"),
        pytest.param("10/Minute", None, id="case"),
        pytest.param("10", None, id="no-unit"),
        pytest.param("/minute", None, id="no-count"),
        pytest.param("", None, id="empty"),
        pytest.param("10/minute\n", None, id="trailing-newline"),
        pytest.param("\u0661\u0660/minute", None, id="arabic-digits"),
        pytest.param("\uff11/minute", None, id="full-width-digit"),
        pytest.param("1" * 100_000 + "/minute", None, id="100-kb"),
    ],
)
def test_parse_rate(text: str, expected: tuple[int, int] | None) -> None:
    """A rate is a positive whole number and a unit."""
    assert expected == parse_rate(text)


def test_gcra_allows_the_burst_then_a_steady_pace() -> None:
    """Ten at once, then one every six seconds."""
    allowed = [v.allowed for v in run(GCRA, [T] * 11 + [T + 6 * SECOND - 1, T + 6 * SECOND, T + 6 * SECOND])]

    assert allowed == [True] * 10 + [False, False, True, False]


def test_sliding_window_refuses_the_eleventh_of_a_minute() -> None:
    """Half-open: a request made exactly a minute ago no longer counts."""
    times = [*range(T, T + 10 * SECOND, SECOND), T + 10 * SECOND, T + MINUTE - 1, T + MINUTE, T + MINUTE]
    allowed = [v.allowed for v in run(WINDOW, times)]

    assert allowed == [True] * 10 + [False, False, True, False]


@pytest.mark.parametrize("rule", [GCRA, WINDOW], ids=["gcra", "window"])
def test_remaining_counts_down(rule: Limit) -> None:
    """Headers tell how many are left after this one."""
    remaining = [v.remaining for v in run(rule, [T] * 11)]

    assert remaining == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]


def test_what_a_refusal_tells() -> None:
    """When one more would pass, and when the full allowance is back."""
    gcra, window = run(GCRA, [T] * 11)[-1], run(WINDOW, [T] * 10 + [T + SECOND])[-1]

    assert (gcra.retry_ns, gcra.reset_ns) == (6 * SECOND, MINUTE)
    assert (window.retry_ns, window.reset_ns) == (59 * SECOND, 59 * SECOND)


def test_what_an_allowance_tells() -> None:
    """Nothing to wait for; the window is full again a period after its newest request."""
    gcra, window = run(GCRA, [T])[0], run(WINDOW, [T, T + SECOND])[-1]

    assert (gcra.retry_ns, gcra.reset_ns) == (0, 6 * SECOND)
    assert (window.retry_ns, window.reset_ns) == (0, MINUTE)


@pytest.mark.parametrize("rule", [GCRA, WINDOW], ids=["gcra", "window"])
def test_a_refusal_changes_nothing(rule: Limit) -> None:
    """Hammering does not lengthen the wait."""
    state: State | None = None
    for _ in range(10):
        _, state = spend(rule, state, T)
    _, after = spend(rule, state, T + 1)

    assert state == after


def test_a_pace_that_does_not_divide_is_rounded_down() -> None:
    """Three a second is one every 333,333,334 ns: never more than promised."""
    rule = limit(count=3, period_ns=SECOND, burst=1)
    allowed = [v.allowed for v in run(rule, [T, T + 333_333_333, T + 333_333_334])]

    assert allowed == [True, False, True]


def test_a_count_that_was_lowered_holds_at_once() -> None:
    """A window that remembers more than it may now hold waits for enough of them to leave."""
    state = tuple(range(T, T + 10))
    verdict, after = spend(limit(algorithm=Algorithm.SLIDING_WINDOW, count=3), state, T + 10)

    assert (verdict.allowed, verdict.retry_ns) == (False, MINUTE - 3)
    assert state == after


def test_an_instant_out_of_order_still_counts() -> None:
    """Two threads may read the clock in one order and take their turns in the other."""
    rule = limit(algorithm=Algorithm.SLIDING_WINDOW, count=2)
    verdicts = run(rule, [T + 100, T, T + MINUTE + 50])
    _, state = spend(rule, (T + 100,), T)

    assert [v.allowed for v in verdicts] == [True, True, False]
    assert state == (T + 100, T + 100)


def test_gcra_after_the_clock_stepped_back() -> None:
    """An earlier time never frees what was spent later."""
    allowed = [v.allowed for v in run(GCRA, [T + MINUTE] * 10 + [T])]

    assert allowed == [True] * 10 + [False]


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        pytest.param(GCRA, (1, 2, 3), id="window-state-for-gcra"),
        pytest.param(WINDOW, 123, id="gcra-state-for-window"),
    ],
)
def test_a_state_of_the_other_algorithm_starts_afresh(rule: Limit, state: State) -> None:
    """A reconfigured limit must not crash on what it finds."""
    assert spend(rule, None, T) == spend(rule, state, T)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(T, True, id="gcra-recovered"),
        pytest.param(T + 1, False, id="gcra-not-yet"),
        pytest.param((), True, id="window-empty"),
        pytest.param((T - MINUTE,), True, id="window-left"),
        pytest.param((T - 2 * MINUTE, T - MINUTE + 1), False, id="window-not-yet"),
    ],
)
def test_recovers(state: State, *, expected: bool) -> None:
    """From when on a state equals none, and may be dropped."""
    assert expected == (recovers(WINDOW, state) <= T)
