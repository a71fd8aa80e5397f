"""What decisions need: records, the time, limits, somebody who counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from authsvc.domain.api import Api
from authsvc.domain.decision import Bearer, Sender
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.quotas import Verdict
from authsvc.domain.routes import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredForm:
    """How a record is stored: the digest it was found by, and what made that."""

    digest: Digest
    pepper_id: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The answer to one load: the record, if there is one, as of a position of the change log."""

    record: KeyRecord | None
    as_of: Revision
    form: StoredForm | None = None  # of the record
    # Ids of keys and organizations whose changes concern the answer too: those of the text's other records.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the change log and the database's clock, read together."""

    revision: Revision
    now: Micros


class CorruptRecordError(UnavailableError):
    """A stored record cannot be read: nothing is decided from it, and no retry helps until it is repaired."""


class KeyStore(Protocol):
    """Where key records come from. Every failure is an `UnavailableError`, never an absent record."""

    async def load(self, digests: Sequence[Digest]) -> Loaded:
        """Return the record stored under any of the digests, in one statement with its position."""

    async def head(self) -> Head:
        """Return the end of the change log."""


class FormStore(Protocol):
    """Where the form of a record can be replaced. Every failure is an `UnavailableError`."""

    async def replace_form(self, key_id: str, old: Digest, new: StoredForm) -> bool:
        """Store a key under another digest of the same text; False, and nothing, where the old one is not there."""


class Absent(Enum):
    """Says of a digest that nothing is stored under it."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class KeyCache(Protocol):
    """Keys as they are known without waiting, and the way to wait for more. All faults are `UnavailableError`."""

    def get(self, digest: Digest) -> Bearer | Absent | None:
        """Return the bearer, or that there is none; None when only `fetch` can tell. Any thread may call it."""

    async def fetch(
        self, digests: Sequence[Digest], budget: float, at_least: Revision | None, *, patient: bool = False
    ) -> Bearer | None:
        """
        Return the bearer within `budget` seconds; None when there is none.

        A request of the data plane has no use for an answer that comes after its proxy has given up; a
        patient caller has.
        """

    def invalidate(self, revision: Revision, *targets: str) -> None:
        """Forget what is known of these key and organization ids from before the revision."""

    def invalidate_absent(self, revision: Revision, digests: Iterable[Digest]) -> None:
        """
        Forget every digest that was not found before the revision, at which keys were stored.

        `digests` are those under which they may be: a text that was found under another of its digests has two records.
        """


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> Micros:
        """Return the time of day, as the database tells it where it has been asked."""

    def monotonic(self) -> float:
        """Return seconds that never step back."""


class Limiter(Protocol):
    """Counts requests against limits."""

    def spend(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Take one request from every limit of the bearer, or from none; the tightest verdict first."""

    def peek(self, bearer: Bearer) -> tuple[Verdict, ...]:
        """Say what `spend` would, and take nothing."""


class RecordUsage(Protocol):
    """Notes a decision for usage. Any thread may call it; it does not wait."""

    def __call__(
        self,
        bearer: Bearer | None,
        api: Api | None,
        route: Route | None,
        reason: str | None,
        sender: Sender | None,
        /,
    ) -> None:
        """Count one; `reason` is that of a refusal, None for an allow, which is also the key's last use."""


def uncounted(*_: object) -> None:
    """Stand for `RecordUsage` where nobody counts."""
