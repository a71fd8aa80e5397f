"""What `authsvc usage` reads and prints: names of enums, and rows of sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from authsvc_client.v1.decision_pb2 import VERDICT_UNSPECIFIED, Verdict
from authsvc_client.v1.usage_service_pb2 import USAGE_BUCKET_UNSPECIFIED, UsageBucket, UsageDimension, UsageRow

from authsvc.cli.errors import USAGE, CommandError
from authsvc.cli.output import NONE, Row, instant

EnumT = TypeVar("EnumT", bound=int)

_BUCKETS = {
    "minute": UsageBucket.USAGE_BUCKET_MINUTE,
    "hour": UsageBucket.USAGE_BUCKET_HOUR,
    "day": UsageBucket.USAGE_BUCKET_DAY,
}
_VERDICTS = {"allow": Verdict.VERDICT_ALLOW, "deny": Verdict.VERDICT_DENY}
# In the order in which rows are sorted.
_DIMENSIONS = {
    "key": UsageDimension.USAGE_DIMENSION_KEY,
    "org": UsageDimension.USAGE_DIMENSION_ORGANIZATION,
    "api": UsageDimension.USAGE_DIMENSION_API,
    "route": UsageDimension.USAGE_DIMENSION_ROUTE,
    "verdict": UsageDimension.USAGE_DIMENSION_VERDICT,
    "reason": UsageDimension.USAGE_DIMENSION_REASON,
}


def bucket(name: str) -> UsageBucket.ValueType:
    """Return a width; none is the whole period."""
    return _named(_BUCKETS, name, "--bucket") if name else USAGE_BUCKET_UNSPECIFIED


def verdict(name: str) -> Verdict.ValueType:
    """Return a verdict; none is any."""
    return _named(_VERDICTS, name, "--verdict") if name else VERDICT_UNSPECIFIED


def dimensions(names: Sequence[str]) -> list[UsageDimension.ValueType]:
    """Return what to tell apart by, each once."""
    return [_named(_DIMENSIONS, name, "--by") for name in dict.fromkeys(names)]


def columns(names: Sequence[str], *, in_time: bool) -> list[str]:
    """Return the headings of a table of sums that are told apart by these names."""
    time = ["TIME"] if in_time else []
    return [*time, *(name.upper() for name in _DIMENSIONS if name in names), "COUNT"]


def row(found: UsageRow, headings: Sequence[str]) -> Row:
    """Return a sum as a line of the table with these headings."""
    named = Verdict.Name(found.verdict).removeprefix("VERDICT_").lower()
    cells = {
        "TIME": instant(found.time),
        "KEY": found.key_id,
        "ORG": found.organization_id,
        "API": found.api,
        "ROUTE": found.route,
        "VERDICT": named,
        "REASON": found.reason or named,
        "COUNT": str(found.count),
    }
    return [cells[heading] or NONE for heading in headings]


def _named(known: Mapping[str, EnumT], name: str, option: str) -> EnumT:
    if name not in known:
        raise CommandError(f"{option}: one of {', '.join(known)}", USAGE)
    return known[name]
