"""What `make soak` calls flat."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.service import MIB
from tools import soak
from tools.soak import Sample

SECONDS = 600
LEAK = 0.02 * MIB  # a second


def samples(memory: Callable[[int], float], descriptors: Callable[[int], int] = lambda _: 30) -> list[Sample]:
    """Return a sample every five seconds."""
    return [Sample(at, int(memory(at)), descriptors(at), 14) for at in range(0, SECONDS + 1, 5)]


@pytest.mark.parametrize(
    ("seen", "flat"),
    [
        pytest.param(samples(lambda _: 100 * MIB), True, id="flat"),
        pytest.param(samples(lambda at: 100 * MIB + min(at, 59) * MIB), True, id="warming-up"),
        pytest.param(samples(lambda at: 100 * MIB + at % 15 * MIB), True, id="to-and-fro"),
        pytest.param(samples(lambda at: 100 * MIB + 20 * MIB * (at == 300)), True, id="one-peak"),
        pytest.param(samples(lambda at: 130 * MIB - at * LEAK), True, id="falling"),
        pytest.param(samples(lambda at: 100 * MIB + at * LEAK), False, id="leak"),
        pytest.param(samples(lambda at: 100 * MIB + at * LEAK + at % 15 * MIB / 8), False, id="leak-to-and-fro"),
        pytest.param(samples(lambda _: 100 * MIB, lambda at: 30 + at // 100), False, id="descriptors"),
        pytest.param(samples(lambda _: 100 * MIB, lambda at: 30 + (at > 200)), True, id="one-descriptor"),
    ],
)
def test_what_is_flat(seen: list[Sample], flat: bool) -> None:  # noqa: FBT001 - what is expected
    """Memory that grows at both the ends and the fit, or descriptors that are not given back, are not."""
    assert soak.verdict(seen).flat is flat


def test_the_slope_is_that_of_the_leak() -> None:
    """In bytes a second, from what comes after the first tenth."""
    found = soak.verdict(samples(lambda at: 100 * MIB + at * LEAK))

    assert found.slope == pytest.approx(LEAK, rel=0.01)
    assert found.gained == pytest.approx(LEAK * SECONDS * 0.9, rel=0.01)
    assert "slope +72.00 MiB an hour" in soak.report(found, samples(lambda _: 1))


def test_too_few_samples_are_no_verdict() -> None:
    """A run that ended early must not pass for a flat one."""
    with pytest.raises(ValueError, match="at least 20 samples"):
        soak.verdict(samples(lambda _: 1)[: soak.LEAST - 1])
