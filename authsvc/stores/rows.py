"""Rows to domain values and back. A value that cannot be read raises: no default stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Any, TypeVar

from authsvc.domain.administration import Key, Organization, OrganizationStatus
from authsvc.domain.audit import AuditEvent, Outcome
from authsvc.domain.keys import Assurance, KeyRecord, Micros, Revision
from authsvc.domain.network import Network, parse_network
from authsvc.domain.origins import OriginPattern, parse_pattern
from authsvc.domain.quotas import Algorithm, Limit, Subject
from authsvc.domain.scopes import valid_name
from authsvc.ports import CorruptRecordError

T = TypeVar("T")

Row = Mapping[Any, Any]  # column names to values

_EVENT = tuple(field.name for field in fields(AuditEvent) if field.name not in ("revision", "outcome"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def key_record(row: Row) -> KeyRecord:
    """Read what policy needs of a key and its organization."""
    with readable():
        return KeyRecord(
            id=row["id"],
            api=intern(row["api"]),
            organization_id=intern(row["organization_id"]),
            organization_active=OrganizationStatus(row["organization_status"]) is OrganizationStatus.ACTIVE,
            organization_networks=_optional(row["organization_networks"], parse_network),
            plan=row["organization_plan"],
            kind=intern(row["kind"]),
            environment=None if row["environment"] is None else intern(row["environment"]),
            scopes=_scopes(_each(row["scopes"], _scope)),
            full_access=_flag(row["full_access"]),
            origins=_optional(row["origins"], parse_pattern),
            networks=_optional(row["networks"], parse_network),
            limits=_limits(tuple(_limit(item) for item in _list(row["limits"]))),
            not_before=row["not_before"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
            deleted_at=row["deleted_at"],
            grace_ends_at=row["grace_ends_at"],
            metadata=_labels(row["metadata"]),
            assurance=None if row["assurance"] is None else Assurance(row["assurance"]),
        )


def key(row: Row) -> Key:
    """Read a key as administrators see it."""
    with readable():
        return Key(
            record=key_record(row),
            name=row["name"],
            hint=row["hint"],
            created_at=row["created_at"],
            created_by=row["created_by"],
            updated_at=row["updated_at"],
            last_used_at=row["last_used_at"],
            revoke_reason=row["revoke_reason"],
            successor_id=row["successor_id"],
            predecessor_id=row["predecessor_id"],
            etag=str(row["version"]),
            last_used_address=row["last_used_address"] or "",
            last_used_agent=row["last_used_agent"] or "",
            import_source=row["import_source"] or "",
            external_id=row["external_id"] or "",
        )


def organization(row: Row) -> Organization:
    """Read an organization."""
    with readable():
        return Organization(
            id=row["id"],
            name=row["name"],
            status=OrganizationStatus(row["status"]),
            plan=row["plan"],
            networks=_optional(row["networks"], parse_network),
            metadata=_labels(row["metadata"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            suspended_at=row["suspended_at"],
            suspend_reason=row["suspend_reason"],
            etag=str(row["version"]),
        )


def audit_event(row: Row) -> AuditEvent:
    """Read an event of the audit trail."""
    with readable():
        return AuditEvent(
            **{name: row[name] for name in _EVENT},
            revision=None if row["revision_seq"] is None else _revision(row),
            outcome=Outcome(row["outcome"]),
        )


def networks_document(networks: Iterable[Network] | None) -> list[str] | None:
    """Write networks; None stays None."""
    return None if networks is None else [str(network) for network in networks]


def origins_document(origins: Iterable[OriginPattern] | None) -> list[str] | None:
    """Write origins; None stays None."""
    return None if origins is None else [origin.text for origin in origins]


def limits_document(limits: Iterable[Limit]) -> list[dict[str, str | int]]:
    """Write limits."""
    return [
        {
            "name": limit.name,
            "subject": limit.subject.value,
            "algorithm": limit.algorithm.value,
            "count": limit.count,
            "period_ns": limit.period_ns,
            "burst": limit.burst,
        }
        for limit in limits
    ]


def instant_text(instant: Micros | None) -> str | None:
    """Write an instant for people, as the audit trail keeps it; None stays None."""
    if instant is None:
        return None
    return (_EPOCH + timedelta(microseconds=instant)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@contextmanager
def readable() -> Iterator[None]:
    """Say of what cannot be read that it cannot."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptRecordError("a stored record cannot be read") from error


def _revision(row: Row) -> Revision:
    return Revision(epoch=row["revision_epoch"], seq=row["revision_seq"])


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _each(value: object, parse: Callable[[str], T | None]) -> tuple[T, ...]:
    return tuple(_parsed(item, parse) for item in _list(value))


def _optional(value: object, parse: Callable[[str], T | None]) -> tuple[T, ...] | None:
    return None if value is None else _each(value, parse)


def _parsed(item: object, parse: Callable[[str], T | None]) -> T:
    parsed = parse(_text(item))
    if parsed is None:
        raise ValueError("an entry cannot be parsed")
    return parsed


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a flag")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("not a count")
    return value


def _scope(name: str) -> str | None:
    return intern(name) if valid_name(name) else None


# The keys of a product hold few different sets of scopes and of limits: one object serves all of them.
@lru_cache(maxsize=4096)
def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return scopes


@lru_cache(maxsize=4096)
def _limits(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    return limits


_NO_LABELS: dict[str, str] = {}


def _limit(item: Mapping[str, Any]) -> Limit:
    return Limit(
        name=_text(item["name"]),
        subject=Subject(item["subject"]),
        algorithm=Algorithm(item["algorithm"]),
        count=_count(item["count"]),
        period_ns=_count(item["period_ns"]),
        burst=_count(item["burst"]),
    )


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("not a set of labels")
    if not value:
        return _NO_LABELS
    return {_text(name): _text(label) for name, label in value.items()}
