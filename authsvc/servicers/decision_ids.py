"""Decision ids: unpredictable, unique, cheap."""

from __future__ import annotations

import os

LENGTH = 24  # hexadecimal characters, 96 random bits

_BATCH = 512


class DecisionIds:
    """Hands out ids drawn from the system's randomness in batches: one system call for many requests."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        self._take = self._ready.pop

    def next(self) -> str:
        """Return a fresh id; safe to call from any thread."""
        try:
            return self._take()
        except IndexError:
            text = os.urandom(_BATCH * LENGTH // 2).hex()
            # Two threads may both come here; each then adds ids of its own.
            self._ready.extend(text[start : start + LENGTH] for start in range(LENGTH, len(text), LENGTH))
            return text[:LENGTH]
