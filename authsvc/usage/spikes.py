"""Notices keys that are suddenly used far more than before."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from authsvc.domain.keys import Micros
from authsvc.domain.usage import MINUTE, Tally
from authsvc.telemetry import UsageCounters

_LOG = logging.getLogger(__name__)

FACTOR = 10  # times its own baseline
LEAST = 100  # requests a minute, below which nothing is a spike
KNOWN = 10  # minutes of a key's history before it can have one
WEIGHT = 0.1  # of the newest minute in the baseline
KEYS = 10_000  # the ones used last


@dataclass(slots=True)
class _History:
    """One key's recent past."""

    first: Micros
    minute: Micros
    count: int = 0  # in this minute
    baseline: float = 0.0  # requests a minute before it
    told: bool = False


class Spikes:
    """
    Compares each key's minute with its own recent ones, as this process sees them.

    The baseline is a mean in which every minute weighs nine tenths of the next, minutes without a
    request included. A minute is a spike when it has at least `LEAST` requests, refused ones included,
    and more than `FACTOR` times the baseline of a key that has been known for `KNOWN` minutes. It is
    told once: as a metric by API, and in the log with the key's id.
    """

    def __init__(self, counters: UsageCounters, keys: int = KEYS) -> None:
        self._counters = counters
        self._keys = keys
        self._histories: OrderedDict[str, _History] = OrderedDict()

    def see(self, counts: Mapping[Tally, int]) -> None:
        """Take in what was counted since the last time, the oldest minute first."""
        for tally, count in counts.items():
            if tally.key_id:
                self._see(tally, count)

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._histories)

    def _see(self, tally: Tally, count: int) -> None:
        history = self._histories.setdefault(tally.key_id, _History(tally.start, tally.start))
        self._histories.move_to_end(tally.key_id)
        if len(self._histories) > self._keys:
            self._histories.popitem(last=False)
        if tally.start > history.minute:
            _turn(history, tally.start)
        history.count += count
        if not history.told and _is_spike(history):
            history.told = True
            self._counters.spikes[tally.api] = self._counters.spikes.get(tally.api, 0) + 1
            detail = f"{history.count} requests in a minute, {history.baseline:.1f} before"
            _LOG.warning("usage spike", extra={"key_id": tally.key_id, "api": tally.api, "detail": detail})


def _turn(history: _History, minute: Micros) -> None:
    idle = (minute - history.minute) // MINUTE - 1
    history.baseline += WEIGHT * (history.count - history.baseline)
    history.baseline *= (1 - WEIGHT) ** idle
    history.minute, history.count, history.told = minute, 0, False


def _is_spike(history: _History) -> bool:
    known = history.minute - history.first >= KNOWN * MINUTE
    return known and history.count >= LEAST and history.count > FACTOR * history.baseline
