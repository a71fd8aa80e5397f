"""The local limiter: several limits as one, buckets shared and bounded, any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest

from authsvc.domain.decision import Bearer
from authsvc.domain.keys import KeyRecord
from authsvc.domain.quotas import Algorithm, Limit, Subject
from authsvc.limits import LocalLimiter
from tests.support.builders import api, bearer, limit, record

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_000 * SECOND
BOTH = [pytest.param(Algorithm.GCRA, id="gcra"), pytest.param(Algorithm.SLIDING_WINDOW, id="sliding-window")]


@dataclass
class Ticks:
    """Time, moved by hand."""

    now: int = START

    def __call__(self) -> int:
        """Return it."""
        return self.now


def holder(*limits: Limit, **changes: object) -> Bearer:
    """Return the bearer of a key with limits of its own."""
    return bearer(record(limits=limits, **changes))


def passes(limiter: LocalLimiter, of: Bearer, times: int) -> int:
    """Ask so often; return how many were let through."""
    return sum(all(verdict.allowed for verdict in limiter.spend(of)) for _ in range(times))


def test_a_key_without_limits_is_not_counted() -> None:
    """And has no verdicts to put into headers."""
    limiter = LocalLimiter()

    assert () == limiter.spend(holder()) == limiter.peek(holder())
    assert 0 == len(limiter)


@pytest.mark.parametrize("algorithm", BOTH)
def test_exactly_as_many_pass_as_the_limit_says(algorithm: Algorithm) -> None:
    """At one instant."""
    limiter = LocalLimiter(now=Ticks())

    assert 10 == passes(limiter, holder(limit(algorithm=algorithm)), 50)


def test_a_refused_request_takes_nothing_from_any_limit() -> None:
    """Else a client that hits its strict limit would use up its generous one."""
    ticks = Ticks()
    limiter = LocalLimiter(now=ticks)
    strict = limit(name="strict", count=1, burst=1)
    generous = limit(name="generous", algorithm=Algorithm.SLIDING_WINDOW, count=5)
    both, alone = holder(strict, generous), holder(generous)
    spent = passes(limiter, both, 20)

    assert 1 == spent
    assert 4 == passes(limiter, alone, 20)


@pytest.mark.parametrize("order", [pytest.param(1, id="strict-first"), pytest.param(-1, id="strict-last")])
def test_the_tightest_verdict_comes_first(order: int) -> None:
    """A refusal before an allowance, the longer wait before the shorter, the fewer left before the more."""
    limits = [
        limit(name="wide", count=100, burst=100),
        limit(name="slow", count=1, burst=1, period_ns=2 * MINUTE),
        limit(name="quick", count=1, burst=1),
        limit(name="narrow", count=5, burst=5),
    ]
    limiter, of = LocalLimiter(now=Ticks()), holder(*limits[::order])
    first = [verdict.limit.name for verdict in limiter.spend(of)]
    second = [verdict.limit.name for verdict in limiter.spend(of)]

    assert {"slow", "quick"} == set(first[:2])
    assert ["narrow", "wide"] == first[2:]
    assert ["slow", "quick", "narrow", "wide"] == second


def test_peeking_says_what_spending_would_and_takes_nothing() -> None:
    """However often."""
    limiter, of = LocalLimiter(now=Ticks()), holder(limit(count=2, burst=2))
    peeked = [limiter.peek(of) for _ in range(10)]
    spent = [limiter.spend(of) for _ in range(3)]

    assert [spent[0]] * 10 == peeked
    assert [True, True, False] == [verdicts[0].allowed for verdicts in spent]
    assert limiter.peek(of) == spent[2]


def test_the_keys_of_an_organization_share_its_bucket() -> None:
    """And only that: each has its own beside it."""
    shared = limit(name="org", subject=Subject.ORGANIZATION)
    limiter = LocalLimiter(now=Ticks())
    first, second = (holder(shared, limit(count=8, burst=8), id=f"key_{n}") for n in range(2))
    stranger = holder(shared, organization_id="org_01J00000000000000000000002")

    assert 8 == passes(limiter, first, 20)
    assert 2 == passes(limiter, second, 20)
    assert 10 == passes(limiter, stranger, 20)
    assert 4 == len(limiter)


def test_an_organizations_bucket_is_of_one_api() -> None:
    """Two products do not use up each other's limits."""
    shared = limit(subject=Subject.ORGANIZATION)
    limiter = LocalLimiter(now=Ticks())

    assert 10 == passes(limiter, bearer(record(limits=(shared,))), 20)
    assert 10 == passes(limiter, bearer(record(api="other", limits=(shared,)), api(name="other")), 20)


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize("subject", [pytest.param(subject, id=subject.value) for subject in Subject])
def test_exactly_as_many_pass_on_64_threads(algorithm: Algorithm, subject: Subject) -> None:
    """None too many, and none too few."""
    limiter = LocalLimiter(now=Ticks())
    rule = limit(algorithm=algorithm, subject=subject, count=500, burst=500, period_ns=3600 * SECOND)
    bearers = [holder(rule, id="key_0" if subject is Subject.KEY else f"key_{number}") for number in range(64)]
    barrier = Barrier(64)

    def race(of: Bearer) -> int:
        barrier.wait()
        return passes(limiter, of, 50)

    with ThreadPoolExecutor(64) as pool:
        assert 500 == sum(pool.map(race, bearers))


def test_a_limit_that_was_changed_starts_afresh() -> None:
    """Its state was in other units; nobody is locked out by what another limit counted."""
    ticks = Ticks()
    limiter = LocalLimiter(now=ticks)
    before = holder(limit(count=1, burst=1, period_ns=3600 * SECOND))
    after = holder(limit(count=5, burst=5))
    window = holder(limit(count=5, algorithm=Algorithm.SLIDING_WINDOW))

    assert (1, 5, 5) == tuple(passes(limiter, of, 10) for of in (before, after, window))


def keys(*numbers: int, **changes: object) -> list[Bearer]:
    """Return keys with a limit each."""
    return [holder(limit(**changes), id=f"key_{number}") for number in numbers]


def test_buckets_are_bounded() -> None:
    """Whatever comes in."""
    limiter = LocalLimiter(capacity=100, now=Ticks())
    for of in keys(*range(1_000)):
        limiter.spend(of)

    assert 100 == len(limiter)
    assert 100 == len(limiter._recovery)


@pytest.mark.parametrize("algorithm", BOTH)
def test_recovered_buckets_go_before_any_that_is_in_debt(algorithm: Algorithm) -> None:
    """Dropping those changes nothing, dropping this one would let its holder through again."""
    ticks = Ticks()
    limiter = LocalLimiter(capacity=100, now=ticks)
    (debtor,) = keys(0, algorithm=algorithm, count=3, burst=3, period_ns=3600 * SECOND)
    passes(limiter, debtor, 10)
    for number, of in enumerate(keys(*range(1, 5_000), algorithm=algorithm, count=1, burst=1, period_ns=SECOND)):
        # Always at least one that has recovered, never a second after the last look at all of them.
        ticks.now += SECOND // 50 if number % 2 else 0
        limiter.spend(of)

        assert not limiter.peek(debtor)[0].allowed

    assert len(limiter) <= 100


def test_a_bucket_in_use_is_not_taken_for_the_old_one_it_was() -> None:
    """What was noted when it was made is looked at again before it is dropped."""
    ticks = Ticks()
    limiter = LocalLimiter(capacity=10, now=ticks)
    (busy,) = keys(0, count=1, burst=1, period_ns=10 * SECOND)
    for of in keys(*range(1, 200), count=1, burst=1, period_ns=10 * SECOND):
        limiter.spend(busy)
        limiter.spend(of)
        ticks.now += 2 * SECOND

    assert 0 == passes(limiter, busy, 1) or limiter.peek(busy)[0].remaining == 0
    assert len(limiter) <= 10


def test_the_one_that_recovers_first_goes_when_none_has() -> None:
    """Whoever has the longest to wait keeps waiting."""
    limiter = LocalLimiter(capacity=3, now=Ticks())
    long = keys(0, 1, count=1, burst=1, period_ns=3600 * SECOND)
    short = keys(2, 3, 4, 5, count=1, burst=1, period_ns=SECOND)
    for of in (*long, *short):
        limiter.spend(of)

    assert [False, False] == [limiter.peek(of)[0].allowed for of in long]
    assert 3 == len(limiter)


def test_a_bucket_dropped_in_debt_starts_afresh() -> None:
    """The bound has this price, and only this."""
    limiter = LocalLimiter(capacity=1, now=Ticks())
    first, second = keys(0, 1, count=1, burst=1)

    assert [1, 1, 1] == [passes(limiter, of, 3) for of in (first, second, first)]


def test_a_key_with_more_limits_than_there_is_room_is_still_counted() -> None:
    """By those that fit."""
    limiter = LocalLimiter(capacity=2, now=Ticks())
    of = holder(*(limit(name=f"limit-{number}", count=1, burst=1) for number in range(5)))

    assert 1 == passes(limiter, of, 3)
    assert 2 == len(limiter)


def test_records_of_different_loads_share_their_buckets() -> None:
    """A limit read again is the same limit."""
    limiter = LocalLimiter(now=Ticks())
    loads: list[KeyRecord] = [record(limits=(limit(),)) for _ in range(20)]

    assert 10 == sum(passes(limiter, bearer(load), 1) for load in loads)
