"""The cache's protocol under arbitrary interleavings, and proof that these would show a mistake in it."""

from __future__ import annotations

import logging

import pytest
from hypothesis import Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from authsvc.cache import CachedKeyStore
from tests.support import cache_mutants as mutants
from tests.support.cache_protocol import CacheProtocol, Violation

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


@pytest.mark.parametrize(
    ("mutant", "finds"),
    [
        pytest.param(machine(mutants.NoFence), "I1", id="no-fence"),
        pytest.param(machine(mutants.JoinOldFlight), "I1", id="join-old-flight"),
        pytest.param(machine(CachedKeyStore, first=True), "I1", id="acknowledge-before-invalidate"),
        pytest.param(machine(mutants.NeverJoins), "I8", id="never-joins"),
        pytest.param(machine(mutants.NoFlightTimeout), "I2", id="no-flight-timeout"),
        pytest.param(machine(mutants.ConfirmedWhenReceived), "I6", id="confirmed-when-received"),
        pytest.param(machine(mutants.UnboundedStale), "I6", id="unbounded-stale"),
        pytest.param(machine(mutants.Resurrect), "I6", id="resurrect"),
        pytest.param(machine(mutants.IdleForEver), "I2", id="idle-for-ever"),
        pytest.param(machine(mutants.KeepsOvertaken), "I[13]", id="keeps-overtaken"),
        pytest.param(machine(mutants.FloorOfTheLast), "I1", id="floor-of-the-last"),
        pytest.param(machine(mutants.ComparesAcrossEpochs), "I1", id="compares-across-epochs"),
        pytest.param(machine(mutants.BackToTheFormer), "I1", id="back-to-the-former"),
        pytest.param(machine(mutants.UnknownWhenFailed), "I[15]", id="unknown-when-failed"),
    ],
)
def test_a_rule_taken_out_is_found(mutant: type[CacheProtocol], finds: str) -> None:
    """The control arm: what finds nothing in a broken cache proves nothing about the real one."""
    search = settings(
        max_examples=10_000,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )
    with pytest.raises(Violation, match=finds):
        run_state_machine_as_test(mutant, settings=search)
