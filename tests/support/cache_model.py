"""What the cache's protocol is held against: a database that remembers all it ever was, and what is owed to whom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NoReturn

from authsvc.domain.decision import Bearer
from authsvc.domain.keys import Revision


class Violation(AssertionError):  # noqa: N818 - what it is called in the protocol
    """An invariant does not hold."""


def violated(name: str, what: str) -> NoReturn:
    """Say which, and how."""
    raise Violation(f"{name}: {what}")


@dataclass
class Database:
    """What is stored, and everything that ever was."""

    epoch: int = 1
    seq: int = 1
    up: bool = True
    made: int = 2
    versions: dict[int, int] = field(default_factory=lambda: {0: 1, 1: 2})
    past: dict[Revision, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.past[self.position] = dict(self.versions)

    @property
    def position(self) -> Revision:
        """Return the end of the change log."""
        return Revision(epoch=f"00000000-0000-0000-0000-{self.epoch:012d}", seq=self.seq)

    def commit(self, *numbers: int) -> Revision:
        """Change keys in one transaction."""
        self.seq += 1
        for number in numbers:
            self.made += 1
            self.versions[number] = self.made
        self.past[self.position] = dict(self.versions)
        return self.position

    def restore(self) -> None:
        """Become another database with the same keys, changed, and a shorter log."""
        self.epoch, self.seq = self.epoch + 1, self.seq // 2
        self.commit(*self.versions)


@dataclass
class Read:
    """What the database has answered and the process has not received."""

    number: int
    at: float
    position: Revision
    version: int | None


@dataclass
class Change:
    """A change this process has made, committed and not acknowledged."""

    position: Revision
    versions: dict[int, int]
    targets: tuple[str, ...]
    creates: bool


@dataclass
class Probe:
    """One beat of the heartbeat."""

    sent: float
    head: Revision | None


@dataclass
class Request:
    """One request, with what was owed to it when it started."""

    number: int
    started: float
    acknowledged: int
    answered: Revision | None  # the position behind the last answer before it
    heard: float
    exists: bool  # for all that this process can know
    at_least: Revision | None
    task: asyncio.Task[Bearer | None]
    waited: bool
