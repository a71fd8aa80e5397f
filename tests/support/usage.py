"""Usage to record and to store; a test states only what matters to it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsvc.domain.administration import Page
from authsvc.domain.api import Api
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.errors import UnavailableError
from authsvc.domain.usage import Batch, Tally, UsageQuery, UsageSum, Use
from tests.support.builders import NOW, REVISION, api, record
from tests.support.stored import key_id, organization_id

SHOP = api()


@dataclass(slots=True)
class Caller:
    """Who sends a request, as a door describes it."""

    told_address: str | None
    told_agent: str | None

    def address(self, _: Api) -> str | None:
        """Return the address."""
        return self.told_address

    def agent(self) -> str | None:
        """Return the User-Agent header."""
        return self.told_agent


def caller(address: str | None, agent: str | None) -> Caller:
    """Return a sender."""
    return Caller(address, agent)


def bearer(number: int = 1) -> Bearer:
    """Return a key of the first organization, as the cache knows it."""
    return bearer_of(record(id=key_id(number), organization_id=organization_id(1)), SHOP, REVISION)


def tally(**changes: Any) -> Tally:
    """The first key's allowed requests for things, in the present minute."""
    plain = Tally(NOW - NOW % 60_000_000, "shop", organization_id(1), key_id(1), "GET /v1/things", "allow")
    return plain._replace(**changes)


def use(**changes: Any) -> Use:
    """A use in this moment."""
    return Use(NOW, "192.0.2.1", "curl")._replace(**changes)


_numbers = itertools.count(1)


def batch(
    counts: Mapping[Tally, int] | None = None, uses: Mapping[str, Use] | None = None, name: str | None = None
) -> Batch:
    """A batch of one count, under an id of its own."""
    return Batch(
        id=name or f"batch-{next(_numbers)}",
        counts={tally(): 1} if counts is None else counts,
        uses=uses or {},
    )


@dataclass
class FakeUsageStore:
    """
    Keeps what `ports.UsageStore` promises.

    `fail` loses what is written before it is stored, `forget` stores it and loses the acknowledgement.
    """

    ids: set[str] = field(default_factory=set)
    counts: dict[Tally, int] = field(default_factory=dict)
    uses: dict[str, Use] = field(default_factory=dict)
    writes: int = 0
    fail: bool = False
    forget: bool = False

    async def write_usage(self, batch: Batch) -> None:
        """Add a batch, once."""
        self.writes += 1
        if self.fail:
            raise UnavailableError("the database is not available")
        if batch.id not in self.ids:
            self.ids.add(batch.id)
            for what, count in batch.counts.items():
                self.counts[what] = self.counts.get(what, 0) + count
            self.uses.update(batch.uses)
        if self.forget:
            raise UnavailableError("the database is not available")

    async def query_usage(self, query: UsageQuery, limit: int, after: str | None) -> Page[UsageSum]:
        """Nothing here asks."""
        raise NotImplementedError
