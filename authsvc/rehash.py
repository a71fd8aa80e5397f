"""
Keys come into their newest form as they are used: off the request path, slowly, one at a time.

A load may find a key under an older pepper, or as the digest of another system. The text that led to it
is the proof that the newest form belongs to it; so the digest of that form is all that is kept here, and
replaces the stored one if that has not changed since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from authsvc.background import beside
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import PLAIN, Digest, PepperSet
from authsvc.ports import FormStore, Head, KeyStore, Loaded, StoredForm
from authsvc.telemetry import RehashCounters

_LOG = logging.getLogger(__name__)

PER_SECOND = 50
MOST_WAITING = 10_000  # keys; whatever does not fit is noticed at its next load


class Store(KeyStore, FormStore, Protocol):
    """What is needed of the database."""


class RehashingStore:
    """
    A `KeyStore` that notices which of the keys it loads are stored in an older form.

    The first digest of a load must be that of the newest form. A key under a pepper that is newer than
    this process's current one is left alone: another process has made it current already.
    """

    def __init__(self, store: Store, peppers: PepperSet, counters: RehashCounters) -> None:
        self._store = store
        self._peppers = peppers
        self._counters = counters
        self._waiting: dict[str, tuple[Digest, StoredForm]] = {}
        self._some = asyncio.Event()

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return what the store does."""
        loaded = await self._store.load(digests)
        if loaded.form is not None and loaded.form.digest != digests[0]:
            self._notice(loaded, loaded.form, digests[0])
        return loaded

    async def head(self) -> Head:
        """Return what the store does."""
        return await self._store.head()

    def __len__(self) -> int:
        """Return how many keys wait for their newest form."""
        return len(self._waiting)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Replace forms in the background. What waits at the end is noticed again by whoever loads it next."""
        async with beside(self._run()):
            yield

    async def step(self) -> None:
        """Replace the form of the key that has waited longest, if one waits."""
        key_id = next(iter(self._waiting), None)
        if key_id is None:
            return
        old, new = self._waiting.pop(key_id)
        try:
            replaced = await self._store.replace_form(key_id, old, new)
        except UnavailableError:
            self._counters.failed += 1
            return
        self._counters.done += replaced
        self._counters.overtaken += not replaced

    def _notice(self, loaded: Loaded, form: StoredForm, newest: Digest) -> None:
        record = loaded.record
        if record is None or record.revoked_at is not None or record.deleted_at is not None:
            return
        if form.pepper_id in self._peppers.newer or record.id in self._waiting:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._counters.dropped += 1
            return
        wanted = StoredForm(digest=newest, pepper_id=self._peppers.current.id, algorithm=PLAIN)
        self._waiting[record.id] = (form.digest, wanted)
        self._some.set()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._some.clear()
                await self._some.wait()
            await _survived(self.step())
            await asyncio.sleep(1 / PER_SECOND)


async def _survived(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a bug must not make this the last time
        _LOG.error("a key could not be brought into its newest form: %s", type(error).__name__)
