"""What is counted: decisions by the minute, and the last use of each key. Nothing in here is a client's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from authsvc.domain.keys import Micros

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

ALLOW = "allow"  # the outcome of a decision that is no refusal; that of a refusal is its reason
MAX_ROUTE = 256  # bytes of a route's name that are kept


class Width(StrEnum):
    """How much time one stored row stands for."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


MICROS: Mapping[Width, Micros] = {Width.MINUTE: MINUTE, Width.HOUR: HOUR, Width.DAY: DAY}
# How long rows are kept, and how long a period may be asked for.
KEPT: Mapping[Width, Micros] = {Width.MINUTE: 48 * HOUR, Width.HOUR: 90 * DAY, Width.DAY: 730 * DAY}
LONGEST: Mapping[Width, Micros] = {Width.MINUTE: 24 * HOUR, Width.HOUR: 31 * DAY, Width.DAY: 400 * DAY}


class Tally(NamedTuple):
    """What decisions are told apart by. Empty: not known."""

    start: Micros
    api: str
    organization_id: str
    key_id: str
    route: str
    outcome: str


class Use(NamedTuple):
    """The last time a key was allowed something."""

    at: Micros
    address: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Counts to store together, once, however often it is tried: the id tells one batch from every other."""

    id: str
    counts: Mapping[Tally, int]
    uses: Mapping[str, Use]  # by key id


class Dimension(StrEnum):
    """What sums can be told apart by, in the order in which they are sorted."""

    KEY = "key_id"
    ORGANIZATION = "organization_id"
    API = "api"
    ROUTE = "route"
    VERDICT = "verdict"
    REASON = "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """What to sum. Filters that are None do not restrict."""

    start: Micros  # included
    end: Micros  # excluded
    width: Width
    whole: bool  # one sum for the whole period
    group_by: tuple[Dimension, ...]
    api: str | None
    organization_id: str | None
    key_id: str | None
    route: str | None
    allowed: bool | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """One sum; what was not asked for is not in `values`."""

    start: Micros
    values: Mapping[Dimension, str]
    count: int


def floor(instant: Micros, width: Micros) -> Micros:
    """Return the start of the minute, hour or day that an instant is in."""
    return instant - instant % width


def coarser(counts: Mapping[Tally, int], width: Micros) -> dict[Tally, int]:
    """Sum up to wider rows."""
    sums: dict[Tally, int] = {}
    for tally, count in counts.items():
        wide = Tally(floor(tally.start, width), *tally[1:])
        sums[wide] = sums.get(wide, 0) + count
    return sums


# The first that is found names the class: browsers claim to be each other, programs do not claim to be browsers.
_AGENTS = (
    ("curl", re.compile(r"^curl/")),
    ("python", re.compile(r"python|aiohttp|httpx")),
    ("go", re.compile(r"^go-http-client|\bgo/")),
    ("node", re.compile(r"\bnode|axios|undici")),
    ("java", re.compile(r"java|okhttp|apache-httpclient|jersey")),
    ("browser", re.compile(r"^mozilla/")),
)
AGENTS = frozenset({"", "other", *(name for name, _ in _AGENTS)})
_LOOKED_AT = 256  # characters of a User-Agent


def agent_class(user_agent: str | None) -> str:
    """Return which of a few kinds of client sent a request, by its `User-Agent`; empty where it sent none."""
    if not user_agent:
        return ""
    return _class_of(user_agent[:_LOOKED_AT])


@lru_cache(maxsize=1024)
def _class_of(user_agent: str) -> str:
    text = user_agent.lower()
    return next((name for name, pattern in _AGENTS if pattern.search(text)), "other")
