"""Rate limits against naive exact models, over arbitrary runs of requests."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.quotas import Algorithm, Limit, State, Verdict, parse_rate, recovers, spend
from tests.support.builders import limit

START = 10**12


@st.composite
def limits(draw: st.DrawFn, *algorithms: Algorithm) -> Limit:
    """Draw a limit whose period rarely divides by its count."""
    return limit(
        algorithm=draw(st.sampled_from(algorithms)),
        count=draw(st.integers(min_value=1, max_value=12)),
        period_ns=draw(st.integers(min_value=1, max_value=200)),
        burst=draw(st.integers(min_value=1, max_value=12)),
    )


# Gaps around the length of a period, zero often.
RUNS = st.lists(st.just(0) | st.integers(min_value=0, max_value=250), min_size=1, max_size=60).map(
    lambda gaps: [START + sum(gaps[: end + 1]) for end in range(len(gaps))]
)
BOTH = limits(Algorithm.GCRA, Algorithm.SLIDING_WINDOW)
GCRA = limits(Algorithm.GCRA)
WINDOW = limits(Algorithm.SLIDING_WINDOW)


@dataclass
class Ran:
    """What came of a run: each time's verdict, and the state before the last."""

    verdicts: list[Verdict]
    state: State | None

    def allowed(self, times: list[int]) -> list[int]:
        """Return the times that were let through."""
        return [now for now, verdict in zip(times, self.verdicts, strict=True) if verdict.allowed]


def run(rule: Limit, times: list[int]) -> Ran:
    """Ask once at each time, keeping states as the limiter does."""
    ran = Ran([], None)
    for now in times:
        verdict, after = spend(rule, ran.state, now)
        ran.verdicts.append(verdict)
        ran.state = after if verdict.allowed else ran.state
    return ran


def would_pass(rule: Limit, state: State | None, now: int) -> bool:
    """Whether one more request would be let through."""
    return spend(rule, state, now)[0].allowed


@given(GCRA, RUNS)
def test_gcra_equals_a_leaky_bucket(rule: Limit, times: list[int]) -> None:
    """A bucket of `burst` requests that leaks one an interval, counted in whole nanoseconds."""
    interval = -(-rule.period_ns // rule.count)
    level, last, expected = 0, START, []
    for now in times:
        level, last = max(0, level - (now - last)), now
        fits = level + interval <= interval * rule.burst
        level += interval if fits else 0
        expected.append(fits)

    assert expected == [verdict.allowed for verdict in run(rule, times).verdicts]


@given(GCRA, RUNS)
def test_gcra_never_lets_more_through_than_burst_and_pace(rule: Limit, times: list[int]) -> None:
    """Between any two requests that passed: at most the burst, and one for each interval gone by."""
    passed = run(rule, times).allowed(times)
    excesses = [
        (last - first + 1) - rule.burst - (passed[last] - passed[first]) * rule.count // rule.period_ns
        for first in range(len(passed))
        for last in range(first, len(passed))
    ]

    assert max(excesses, default=0) <= 0


@given(WINDOW, RUNS)
def test_sliding_window_equals_counting(rule: Limit, times: list[int]) -> None:
    """Remember every request that passed, and count those of the last period."""
    passed: list[int] = []
    expected = []
    for now in times:
        fits = sum(1 for instant in passed if now - instant < rule.period_ns) < rule.count
        if fits:
            passed.append(now)
        expected.append(fits)

    assert expected == [verdict.allowed for verdict in run(rule, times).verdicts]


@given(WINDOW, RUNS)
def test_no_window_holds_more_than_the_count(rule: Limit, times: list[int]) -> None:
    """Wherever one lays a window of one period over the requests that passed."""
    passed = run(rule, times).allowed(times)
    fullest = max(sum(1 for t in passed if first <= t < first + rule.period_ns) for first in passed)

    assert fullest <= rule.count


@given(BOTH, RUNS, st.lists(st.integers(min_value=-100, max_value=100), min_size=60, max_size=60))
def test_clocks_read_out_of_order_let_nothing_extra_through(rule: Limit, times: list[int], jitter: list[int]) -> None:
    """A request that read the clock early counts as late as the latest before it, at most."""
    shaken = [max(START, now + shift) for now, shift in zip(times, jitter, strict=False)]
    latest = [max(shaken[: end + 1]) for end in range(len(shaken))]
    passed = run(rule, shaken).allowed(latest)
    most = rule.count if rule.algorithm is Algorithm.SLIDING_WINDOW else rule.burst + rule.count
    fullest = max(sum(1 for t in passed if first <= t < first + rule.period_ns) for first in passed)

    assert fullest <= most


@given(BOTH, RUNS)
def test_remaining_is_how_many_more_would_pass_right_now(rule: Limit, times: list[int]) -> None:
    """Neither one more nor one fewer."""
    ran, now = run(rule, times), times[-1]
    state, more = ran.state, 0
    while would_pass(rule, state, now):
        _, state = spend(rule, state, now)
        more += 1

    assert more == ran.verdicts[-1].remaining


@given(BOTH, RUNS)
def test_after_the_retry_time_one_more_passes_and_before_it_none(rule: Limit, times: list[int]) -> None:
    """`Retry-After` is the truth."""
    ran, now = run(rule, times), times[-1]
    verdict = ran.verdicts[-1]

    assert verdict.allowed == (verdict.retry_ns == 0)
    assert verdict.allowed or would_pass(rule, ran.state, now + verdict.retry_ns)
    assert verdict.allowed or not would_pass(rule, ran.state, now + verdict.retry_ns - 1)


@given(BOTH, RUNS)
def test_at_the_reset_time_the_full_allowance_is_back_and_not_before(rule: Limit, times: list[int]) -> None:
    """From then on the past makes no difference."""
    ran, now = run(rule, times), times[-1]
    reset = now + ran.verdicts[-1].reset_ns
    assert ran.state is not None

    assert recovers(rule, ran.state) == reset


@given(BOTH, RUNS, st.integers(min_value=0, max_value=500))
def test_forgetting_what_has_recovered_changes_nothing(rule: Limit, times: list[int], later: int) -> None:
    """The limiter drops such states to make room."""
    state, now = run(rule, times).state, times[-1] + later
    assert state is not None

    assert now < recovers(rule, state) or spend(rule, state, now) == spend(rule, None, now)


@given(st.integers(min_value=1, max_value=10**9), st.sampled_from(["second", "minute", "hour", "day"]))
def test_rates_are_read_back(count: int, unit: str) -> None:
    """What is written is what is meant."""
    parsed = parse_rate(f"{count}/{unit}")

    assert parsed is not None
    assert count == parsed[0]


@given(st.text())
def test_any_text_is_a_rate_or_none(text: str) -> None:
    """Reading never fails."""
    parsed = parse_rate(text)

    assert parsed is None or text.startswith(f"{parsed[0]}/")
