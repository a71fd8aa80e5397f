"""Administration's messages ⇄ domain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from authsvc_client.v1 import key_pb2, organization_pb2
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest
from authsvc_client.v1.key_service_pb2 import KeyFilter as KeyFilterMessage
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain import inputs
from authsvc.domain.administration import Key, Organization, OrganizationStatus
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.issuing import Wanted
from authsvc.domain.keys import Assurance, Micros
from authsvc.domain.lifecycle import KeyStatus, status_of
from authsvc.domain.network import Network
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import NANOS_PER_SECOND, Limit
from authsvc.ports import KeyFilter
from authsvc.servicers.auth_wire import timestamp

MessageT = TypeVar("MessageT", bound=Message)

DEFAULT_PAGE = 100
MAX_PAGE = 1000
MAX_WORD = 64  # bytes of a name from the configuration

_MICROS_PER_SECOND = 1_000_000
_NANOS_PER_MICRO = 1000
_LONGEST = 315_576_000_000  # seconds that a Duration can hold
_END_OF_TIME = 253_402_300_800  # seconds: the year 10000, where a Timestamp ends
_PERIODS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}

_KEY_STATUS = {
    KeyStatus.ACTIVE: key_pb2.KEY_STATUS_ACTIVE,
    KeyStatus.NOT_YET_VALID: key_pb2.KEY_STATUS_NOT_YET_VALID,
    KeyStatus.EXPIRED: key_pb2.KEY_STATUS_EXPIRED,
    KeyStatus.REVOKED: key_pb2.KEY_STATUS_REVOKED,
    KeyStatus.DELETED: key_pb2.KEY_STATUS_DELETED,
    KeyStatus.ROTATING: key_pb2.KEY_STATUS_ROTATING,
}
_STATUS_NAMED: Mapping[int, KeyStatus] = {number: status for status, number in _KEY_STATUS.items()}
_ORGANIZATION_STATUS = {
    OrganizationStatus.ACTIVE: organization_pb2.ORGANIZATION_STATUS_ACTIVE,
    OrganizationStatus.SUSPENDED: organization_pb2.ORGANIZATION_STATUS_SUSPENDED,
    OrganizationStatus.DELETED: organization_pb2.ORGANIZATION_STATUS_DELETED,
}


_ASSURANCE = {
    None: key_pb2.KEY_ASSURANCE_UNSPECIFIED,
    Assurance.UNKNOWN: key_pb2.KEY_ASSURANCE_UNKNOWN,
    Assurance.DECLARED: key_pb2.KEY_ASSURANCE_DECLARED,
}

# -- out


def key_message(key: Key, now: Micros) -> key_pb2.Key:
    """Return a key as it stands at an instant."""
    record = key.record
    return key_pb2.Key(
        id=record.id,
        api=record.api,
        organization_id=record.organization_id,
        kind=record.kind,
        environment=record.environment or "",
        name=key.name,
        hint=key.hint,
        scopes=sorted(record.scopes),
        full_access=record.full_access,
        origins=_origin_list(record.origins),
        networks=_network_list(record.networks),
        not_before=_optional(record.not_before),
        expires_at=_optional(record.expires_at),
        status=_KEY_STATUS[status_of(record, now)],
        created_at=timestamp(key.created_at),
        created_by=key.created_by,
        updated_at=timestamp(key.updated_at),
        last_used_at=_optional(key.last_used_at),
        last_used_address=key.last_used_address,
        last_used_agent=key.last_used_agent,
        revoked_at=_optional(record.revoked_at),
        revoke_reason=key.revoke_reason,
        successor_id=key.successor_id or "",
        predecessor_id=key.predecessor_id or "",
        grace_ends_at=_optional(record.grace_ends_at),
        metadata=record.metadata,
        rate_limits=[_rate(limit) for limit in record.limits],
        etag=key.etag,
        import_source=key.import_source,
        external_id=key.external_id,
        assurance=_ASSURANCE[record.assurance],
    )


def organization_message(organization: Organization) -> organization_pb2.Organization:
    """Return an organization."""
    return organization_pb2.Organization(
        id=organization.id,
        name=organization.name,
        status=_ORGANIZATION_STATUS[organization.status],
        plan=organization.plan or "",
        networks=_network_list(organization.networks),
        metadata=organization.metadata,
        created_at=timestamp(organization.created_at),
        updated_at=timestamp(organization.updated_at),
        suspended_at=_optional(organization.suspended_at),
        suspend_reason=organization.suspend_reason,
        etag=organization.etag,
    )


def _optional(micros: Micros | None) -> Timestamp | None:
    return None if micros is None else timestamp(micros)


def _origin_list(origins: Sequence[OriginPattern] | None) -> OriginList | None:
    return None if origins is None else OriginList(origins=[origin.text for origin in origins])


def _network_list(networks: Sequence[Network] | None) -> NetworkList | None:
    return None if networks is None else NetworkList(cidrs=[str(network) for network in networks])


def _rate(limit: Limit) -> str:
    seconds, rest = divmod(limit.period_ns, NANOS_PER_SECOND)
    unit = _PERIODS.get(seconds) if rest == 0 else None
    return f"{limit.count}/{unit or f'{limit.period_ns}ns'}"


# -- in


def wanted_key(request: CreateKeyRequest | key_pb2.Key) -> Wanted:
    """Return what is asked for of a key."""
    return Wanted(
        name=request.name,
        metadata=request.metadata,
        kind=word(request.kind, "kind"),
        environment=word(request.environment, "environment"),
        scopes=tuple(request.scopes),
        full_access=request.full_access,
        origins=tuple(request.origins.origins) if request.HasField("origins") else None,
        networks=wanted_networks(request.networks) if request.HasField("networks") else None,
        rate_limits=tuple(request.rate_limits),
        not_before=instant(request.not_before, "not_before") if request.HasField("not_before") else None,
        expires_at=instant(request.expires_at, "expires_at") if request.HasField("expires_at") else None,
    )


def body_of(request: Message) -> bytes:
    """Return the digest by which a repeated request is told from another one."""
    asked = request.SerializeToString(deterministic=True)
    return hashlib.sha256(request.DESCRIPTOR.full_name.encode() + b"\0" + asked).digest()


def masked_fields(mask: FieldMask, allowed: frozenset[str]) -> frozenset[str]:
    """Return the names of the fields to change; anything else than a field that can change is refused."""
    if not mask.paths:
        raise InvalidInputError("update_mask: name what to change")
    if not allowed.issuperset(mask.paths):
        raise InvalidInputError(f"update_mask: only {', '.join(sorted(allowed))} can change")
    return frozenset(mask.paths)


def only(message: MessageT, fields: frozenset[str]) -> MessageT:
    """Return a copy that has these fields and no others."""
    copy = type(message)()
    copy.CopyFrom(message)
    for field, _ in message.ListFields():
        if field.name not in fields:
            copy.ClearField(field.name)
    return copy


def grace(message: Duration) -> Micros:
    """Return a duration in whole microseconds; a fraction of one is cut off."""
    if not 0 <= message.seconds <= _LONGEST or not 0 <= message.nanos < NANOS_PER_SECOND:
        raise InvalidInputError("grace: zero or above, and at most what the API permits")
    return message.seconds * _MICROS_PER_SECOND + message.nanos // _NANOS_PER_MICRO


def wanted_networks(message: NetworkList) -> WantedNetworks:
    """Return the networks of a list that is present."""
    return WantedNetworks(cidrs=tuple(message.cidrs), allow_any=message.allow_any)


def instant(message: Timestamp, field: str) -> Micros:
    """Return an instant, in whole microseconds; a fraction of one is cut off."""
    if not 0 <= message.seconds < _END_OF_TIME or not 0 <= message.nanos < NANOS_PER_SECOND:
        raise InvalidInputError(f"{field}: not an instant from 1970 to 9999")
    return message.seconds * _MICROS_PER_SECOND + message.nanos // _NANOS_PER_MICRO


def key_filter(message: KeyFilterMessage) -> KeyFilter:
    """Return which keys to list."""
    if message.unused and message.HasField("last_used_before"):
        raise InvalidInputError("filter.unused: a key that was never used was not used before an instant either")
    return KeyFilter(
        api=word(message.api, "filter.api") or None,
        organization_id=word(message.organization_id, "filter.organization_id") or None,
        kind=word(message.kind, "filter.kind") or None,
        environment=word(message.environment, "filter.environment") or None,
        statuses=_statuses(message.statuses),
        name_prefix=inputs.name_prefix(message.name_prefix),
        unused=message.unused,
        **{
            name: instant(getattr(message, name), f"filter.{name}")
            for name in ("created_after", "created_before", "expires_before", "last_used_before")
            if message.HasField(name)
        },
    )


def _statuses(asked: Sequence[int]) -> frozenset[KeyStatus] | None:
    if len(asked) > len(_STATUS_NAMED) or not _STATUS_NAMED.keys() >= set(asked):
        raise InvalidInputError(f"filter.statuses: at most {len(_STATUS_NAMED)}, each a status a key can have")
    return frozenset(_STATUS_NAMED[status] for status in asked) or None


def refuse_other_fields(message: Message, supported: frozenset[str]) -> None:
    """Refuse a filter that would select more than was asked for if a field were passed over."""
    for field, _ in message.ListFields():
        if field.name not in supported:
            raise InvalidInputError(f"filter.{field.name}: not supported yet")


def page_size(asked: int) -> int:
    """Return how many items a page holds at most."""
    if not 0 <= asked <= MAX_PAGE:
        raise InvalidInputError(f"page_size: 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}")
    return asked or DEFAULT_PAGE


def word(text: str, field: str) -> str:
    """Return a name as configurations have them."""
    if len(text) > MAX_WORD or not text.isascii() or not text.isprintable():
        raise InvalidInputError(f"{field}: at most {MAX_WORD} characters of ASCII")
    return text
