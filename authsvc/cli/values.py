"""What people write on the command line → values of requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.cli.errors import USAGE, CommandError
from authsvc.config.values import parse_duration


def labels(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read `name=value` pairs."""
    read: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or name in read:
            raise CommandError("--metadata: write NAME=VALUE, each name once", USAGE)
        read[name] = value
    return read


def networks(cidrs: Sequence[str] | None, *, allow_any: bool) -> NetworkList | None:
    """Return networks; none named is any."""
    return NetworkList(cidrs=cidrs, allow_any=allow_any) if cidrs else None


def origins(texts: Sequence[str] | None) -> OriginList | None:
    """Return origins; none named is any."""
    return OriginList(origins=texts) if texts else None


def expiry(lasting: str | None, at: str | None) -> Timestamp | None:
    """Return when a key ends, which is told in one of two ways or not at all."""
    if lasting is not None and at is not None:
        raise CommandError("give either --expires-in or --expires-at", USAGE)
    if lasting is not None:
        return _timestamp(_later(lasting))
    return None if at is None else instant(at, "--expires-at")


def instant(text: str, option: str) -> Timestamp:
    """Read an instant with its time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - stands for unreadable, as a time without a zone does
    if moment.tzinfo is None:
        raise CommandError(f"{option}: write an instant with its zone, such as 2030-01-31T12:00:00Z", USAGE)
    return _timestamp(moment)


def _later(lasting: str) -> datetime:
    try:
        return datetime.now(UTC) + timedelta(microseconds=parse_duration(lasting))
    except (ValueError, OverflowError):
        raise CommandError("--expires-in: write a number and ms, s, m, h or d, such as 90d", USAGE) from None


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise CommandError("the end of the key is too far away", USAGE) from None
    return timestamp
