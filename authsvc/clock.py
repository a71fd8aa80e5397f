"""The process's clock, set by the database's: an instance with a wrong clock must not revive a key."""

from __future__ import annotations

import time

from authsvc.domain.keys import Micros

_NANOS_PER_MICRO = 1000
_MICROS_PER_SECOND = 1_000_000


class DatabaseClock:
    """
    Tells the database's time between two answers of it, counting on by the monotonic clock.

    Before the first answer it is the machine's own time. It never steps back: a key once refused as
    expired stays refused.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // _NANOS_PER_MICRO - time.monotonic_ns() // _NANOS_PER_MICRO
        self._anchored = False
        self.monotonic = time.monotonic  # seconds that never step back

    def now(self) -> Micros:
        """Return the time of day."""
        return time.monotonic_ns() // _NANOS_PER_MICRO + self._offset

    def anchor(self, database_now: Micros, sent: float) -> None:
        """Note what the database's clock said to a question sent at `sent` (monotonic seconds)."""
        offset = database_now - int(sent * _MICROS_PER_SECOND)
        # The first answer replaces the machine's own time, in either direction; later ones only advance.
        if not self._anchored or offset > self._offset:
            self._offset = offset
            self._anchored = True
