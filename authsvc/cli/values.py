"""What people write on the command line → values of requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from authsvc_client.v1.key_pb2 import KEY_ASSURANCE_DECLARED, KEY_ASSURANCE_UNKNOWN, KeyAssurance, KeyStatus
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.cli.errors import USAGE, CommandError
from authsvc.config.values import parse_duration

_ASSURANCE: Mapping[str, KeyAssurance.ValueType] = {
    "unknown": KEY_ASSURANCE_UNKNOWN,
    "declared": KEY_ASSURANCE_DECLARED,
}


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


def assurance(word: str) -> KeyAssurance.ValueType:
    """Read what is known of the texts behind digests."""
    if word not in _ASSURANCE:
        raise CommandError(f"--assurance: one of {', '.join(_ASSURANCE)}", USAGE)
    return _ASSURANCE[word]


def expiry(after: str | None, at: str | None) -> Timestamp | None:
    """Return when a key ends, which is told in one of two ways or not at all."""
    if after is not None and at is not None:
        raise CommandError("give either --expires-in or --expires-at", USAGE)
    if after is not None:
        return ahead(after, "--expires-in")
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


def duration(text: str, option: str) -> timedelta:
    """Read a length of time, such as 15m."""
    try:
        return timedelta(microseconds=parse_duration(text))
    except (ValueError, OverflowError):
        raise CommandError(f"{option}: write a number and ms, s, m, h or d, such as 90d", USAGE) from None


def ago(text: str, option: str) -> Timestamp:
    """Return the instant that lies this long behind."""
    try:
        return _timestamp(datetime.now(UTC) - duration(text, option))
    except OverflowError:
        raise CommandError(f"{option}: that was before there were keys", USAGE) from None


def ahead(text: str, option: str) -> Timestamp:
    """Return the instant that lies this long ahead."""
    try:
        return _timestamp(datetime.now(UTC) + duration(text, option))
    except OverflowError:
        raise CommandError(f"{option}: that is too far away", USAGE) from None


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def mask(given: Mapping[str, object], cleared: Sequence[str] | None, clearable: Collection[str]) -> FieldMask:
    """Return which fields to change: those that a value is given for, and those to empty."""
    names = [name for name, value in given.items() if value is not None]
    for name in cleared or ():
        if name not in clearable or name in names:
            raise CommandError(f"--clear: one of {', '.join(sorted(clearable))}, and no new value for it", USAGE)
    if not names and not cleared:
        raise CommandError("nothing to change: say what, for instance --name", USAGE)
    return FieldMask(paths=[*names, *dict.fromkeys(cleared or ())])


def key_status(name: str) -> KeyStatus.ValueType:
    """Return a status, which people write in lower case and with blanks or hyphens."""
    try:
        return KeyStatus.Value(f"KEY_STATUS_{name.upper().replace('-', '_').replace(' ', '_')}")
    except ValueError:
        known = [text.removeprefix("KEY_STATUS_").lower() for text, number in KeyStatus.items() if number]
        raise CommandError(f"--status: one of {', '.join(known)}", USAGE) from None


def lasting(text: str, option: str) -> Duration:
    """Return a length of time as requests carry it."""
    wanted = Duration()
    wanted.FromTimedelta(duration(text, option))
    return wanted


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise CommandError("the end of the key is too far away", USAGE) from None
    return timestamp
