"""The cache's protocol under arbitrary interleavings, and proof that these would show a mistake in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from hypothesis import Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from authsvc.cache import CachedKeyStore
from tests.support import cache_mutants as mutants
from tests.support.cache_model import Violation
from tests.support.cache_protocol import CacheProtocol

STEPS = 50


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keep the log of many restores out of the way."""
    caplog.set_level(logging.CRITICAL)


def test_the_protocol_holds() -> None:
    """No interleaving of changes, loads, beats, outages, restores and evictions breaks an invariant."""
    # A run is many examples' worth of steps.
    examples = max(settings.default.max_examples // 4, 1) if settings.default else 1
    run_state_machine_as_test(CacheProtocol, settings=settings(max_examples=examples, stateful_step_count=STEPS))


def machine(cache_: type[CachedKeyStore], *, first: bool = False) -> type[CacheProtocol]:
    """Return the protocol around another cache."""

    class Mutant(CacheProtocol):
        cache = cache_
        acknowledges_first = first

    return Mutant


def overtaken(run: CacheProtocol) -> None:
    """Ask twice, answer the later question first, evict, then answer the earlier."""
    run.begin(keys=50, tombstones=50, loads=3)
    run.request(0, "read")
    run.change((0,), "elsewhere")
    run.request(0, "at least")
    run.answer(1, "read")
    run.answer(1, "deliver")
    run.disturb("evict", 0)
    run.answer(0, "deliver")
    run.request(0, "")


def told_out_of_order(run: CacheProtocol) -> None:
    """Read between two changes, tell of the later first, and let the other be a tombstone too many."""
    run.begin(keys=50, tombstones=1, loads=3)
    run.change((), "here")
    run.request(0, "read")
    run.change((0,), "here")
    run.tell(1)
    run.tell(0)
    run.answer(0, "deliver")
    run.request(0, "")


def revoked_in_another_epoch(run: CacheProtocol) -> None:
    """Cache a key, put another database in place, and let a change there be the first to tell."""
    run.begin(keys=50, tombstones=50, loads=3)
    for _ in range(9):
        run.change((), "elsewhere")
    run.request(0, "deliver")
    run.disturb("restore", 0)
    run.change((0,), "at once")
    run.request(0, "")


def answered_by_the_former(run: CacheProtocol) -> None:
    """Revoke in the new database while an answer of the former is on its way."""
    run.begin(keys=50, tombstones=50, loads=3)
    run.request(0, "read")
    run.advance(0.25, beats=False)
    run.disturb("restore", 0)
    run.beat()
    run.change((0,), "at once")
    run.answer(0, "deliver")
    run.request(0, "")


def read_the_other_way_round(run: CacheProtocol) -> None:
    """Let the database see the later of two questions first."""
    run.begin(keys=50, tombstones=50, loads=3)
    run.request(0, "")
    run.change((0,), "at once")
    run.request(0, "")
    run.answer(1, "read")
    run.change((), "elsewhere")
    run.answer(0, "read")
    run.answer(0, "deliver")
    run.answer(0, "deliver")
    run.request(0, "")


def idle_when_the_database_goes(run: CacheProtocol) -> None:
    """Use a key once, then not until the database is lost."""
    run.begin(keys=50, tombstones=50, loads=3)
    run.request(0, "deliver")
    run.advance(34.0, beats=True)
    run.disturb("down", 0)
    run.beat()
    run.request(0, "")


SCRIPTS = [
    pytest.param(read_the_other_way_round, mutants.KeepsOlder, id="read-the-other-way-round"),
    pytest.param(idle_when_the_database_goes, mutants.IdleForEver, id="idle-when-the-database-goes"),
    pytest.param(overtaken, mutants.KeepsOvertaken, id="overtaken"),
    pytest.param(told_out_of_order, mutants.FloorOfTheLast, id="told-out-of-order"),
    pytest.param(revoked_in_another_epoch, mutants.ComparesAcrossEpochs, id="revoked-in-another-epoch"),
    pytest.param(answered_by_the_former, mutants.BackToTheFormer, id="answered-by-the-former"),
]


@pytest.mark.parametrize(("script", "mutant"), SCRIPTS)
def test_a_rare_run_shows_a_mistake(script: Callable[[CacheProtocol], None], mutant: type[CachedKeyStore]) -> None:
    """Runs that a search seldom hits: the invariants hold in the real cache, and not in the broken one."""
    for cache, holds in ((CachedKeyStore, True), (mutant, False)):
        run = machine(cache)()
        with nullcontext() if holds else pytest.raises(Violation):
            script(run)
        run.teardown()


@pytest.mark.parametrize(
    ("mutant", "finds", "number"),
    [
        pytest.param(machine(mutants.NoFence), "I[13]", 0, id="no-fence"),
        pytest.param(machine(mutants.JoinOldFlight), "I[13]", 0, id="join-old-flight"),
        pytest.param(machine(CachedKeyStore, first=True), "I[13]", 0, id="acknowledge-before-invalidate"),
        pytest.param(machine(mutants.NeverJoins), "I8", 0, id="never-joins"),
        pytest.param(machine(mutants.NoFlightTimeout), "I[28]", 0, id="no-flight-timeout"),
        pytest.param(machine(mutants.PatientForAll), "I[238]", 8, id="patient-for-all"),
        pytest.param(machine(mutants.ConfirmedWhenReceived), "I[68]", 0, id="confirmed-when-received"),
        pytest.param(machine(mutants.UnboundedStale), "I[26]", 0, id="unbounded-stale"),
        pytest.param(machine(mutants.Resurrect), "I[236]", 0, id="resurrect"),
        pytest.param(machine(mutants.UnknownWhenFailed), "I[15]", 0, id="unknown-when-failed"),
    ],
)
def test_a_rule_taken_out_is_found(mutant: type[CacheProtocol], finds: str, number: int) -> None:
    """
    The control arm: what finds nothing in a broken cache proves nothing about the real one.

    Each search begins where it is known to find something soon; some mistakes need thousands of runs otherwise.
    """
    search = settings(
        max_examples=10_000,
        stateful_step_count=STEPS,
        derandomize=False,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )
    with pytest.raises(Violation, match=finds):
        run_state_machine_as_test(seed(number)(mutant), settings=search)
