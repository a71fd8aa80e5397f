"""The cache with one rule taken out. What is meant to find such a mistake must find each of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.cache.entries import Entry, Flight
from authsvc.domain.decision import Bearer
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import Revision
from authsvc.ports import Absent


class NoFence(CachedKeyStore):
    """Keeps a load whatever was invalidated meanwhile."""

    def _admit(self, digests: Sequence[Digest], as_of: Revision, bearer: Bearer | None, also: tuple[str, ...]) -> None:
        self._tombs.clear()
        self._floor = self._absent_floor = 0
        super()._admit(digests, as_of, bearer, also)


class JoinOldFlight(CachedKeyStore):
    """Lets requests join a load from before an invalidation."""

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Invalidate, and leave the flights as they are."""
        super().invalidate(revision, *targets)
        for flight in self._flights.values():
            flight.detached = False


class _Changed(CachedKeyStore):
    """Has other settings than asked for."""

    changes: dict[str, Any]

    def __init__(self, store: Any, bearer_for: Any, clock: Any, settings: CacheSettings, counters: Any) -> None:
        super().__init__(store, bearer_for, clock, replace(settings, **self.changes), counters)


class NoFlightTimeout(_Changed):
    """Lets loads hang for ever and be joined at any age."""

    changes = {"load_budget": 1e9}  # noqa: RUF012 - never written


class UnboundedStale(_Changed):
    """Serves for as long as the database is away."""

    changes = {"max_staleness": 1e9}  # noqa: RUF012 - never written


class ConfirmedWhenReceived(CachedKeyStore):
    """Lets the lease begin when an answer arrives."""

    def confirm(self, head: Revision, sent: float) -> None:
        """Take the answer for fresh."""
        super().confirm(head, self._monotonic())


class Resurrect(CachedKeyStore):
    """Renews the lease when a question fails."""

    def lost(self) -> None:
        """Go on with what there is."""
        super().lost()
        if self._epoch is not None:
            self._confirmed = self._monotonic()


class IdleForEver(CachedKeyStore):
    """Uses a record of any age while the database is lost."""

    def get(self, digest: Digest) -> Bearer | Absent | None:
        """Look again, without the age."""
        known = super().get(digest)
        entry: Entry | None = self._found.get(digest)
        return entry.bearer if known is None and entry is not None and self._down else known


class KeepsOlder(CachedKeyStore):
    """Keeps a load that read before one that was answered already."""

    def _outdate(self, digest: Digest, as_of: Revision) -> None:
        """Leave everything as it is."""


class KeepsOvertaken(CachedKeyStore):
    """Keeps the earlier of two loads of one digest, if it comes last."""

    def confirm(self, head: Revision, sent: float) -> None:
        """Take every load for the latest of its digest."""
        super().confirm(head, sent)
        for flight in self.everyone:
            flight.superseded = False

    @property
    def everyone(self) -> list[Flight]:
        """Return every flight there ever was."""
        flights: list[Flight] = self.__dict__.setdefault("_everyone", [])
        return flights

    def _join(self, digests: Sequence[Digest], now: float, patience: float, *, fresh: bool) -> Flight:
        flight = super()._join(digests, now, patience, fresh=fresh)
        self.everyone.append(flight)
        return flight


class NeverJoins(CachedKeyStore):
    """Starts a load for every request."""

    def _join(self, digests: Sequence[Digest], now: float, patience: float, *, fresh: bool) -> Flight:
        self._flights.pop(digests[0], None)
        return super()._join(digests, now, patience, fresh=fresh)


class FloorOfTheLast(CachedKeyStore):
    """Takes the change that was told last for the newest."""

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Invalidate, with the floor too low."""
        super().invalidate(revision, *targets)
        if not self._tombs:
            self._floor = revision.seq


class ComparesAcrossEpochs(CachedKeyStore):
    """Holds a change in a new epoch against positions of the old one."""

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Invalidate as if there were one epoch for ever."""
        super().invalidate(replace(revision, epoch=self._epoch or revision.epoch), *targets)


class BackToTheFormer(CachedKeyStore):
    """Follows a late answer of the database that was replaced."""

    def confirm(self, head: Revision, sent: float) -> None:
        """Take every answer for the latest."""
        self._since = float("-inf")
        confirmed, self._confirmed = self._confirmed, float("-inf")
        super().confirm(head, sent)
        self._since = float("-inf")
        self._confirmed = max(self._confirmed, confirmed)


class UnknownWhenFailed(CachedKeyStore):
    """Takes a fault for "no such key"."""

    async def fetch(self, *args: Any, **kwargs: Any) -> Bearer | None:
        """Answer, whatever happens."""
        try:
            return await super().fetch(*args, **kwargs)
        except Exception:  # noqa: BLE001 - that is the mistake
            return None


class PatientForAll(CachedKeyStore):
    """Lets everybody join a load for as long as the most patient waits for it."""

    def _join(self, digests: Sequence[Digest], now: float, patience: float, *, fresh: bool) -> Flight:
        flight = self._flights.get(digests[0])
        if flight is not None and not flight.detached and now - flight.started < flight.patience and not fresh:
            self._counters.joined += 1
            return flight
        return super()._join(digests, now, patience, fresh=fresh)
