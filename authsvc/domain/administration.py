"""Organizations and keys as administrators see them, and what is written down about every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from authsvc.domain.keys import KeyRecord, Micros, Revision
from authsvc.domain.network import Network

T = TypeVar("T")

# The organization that operators' keys belong to; it cannot be suspended or deleted.
OPERATORS = "authsvc-operators"

# The API whose keys administer this service.
ADMIN_API = "authsvc"


class OrganizationStatus(StrEnum):
    """Whether an organization's keys work. Anything stored that is not `active` refuses them."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A customer: the owner of keys, and the subject of suspension, plans and shared limits."""

    id: str
    name: str
    status: OrganizationStatus
    plan: str | None
    networks: tuple[Network, ...] | None
    metadata: Mapping[str, str]
    created_at: Micros
    updated_at: Micros
    suspended_at: Micros | None
    suspend_reason: str
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key with what policy does not need. Never its text, never its digest."""

    record: KeyRecord
    name: str
    hint: str  # prefix and four characters
    created_at: Micros
    created_by: str  # id of the key that made it; a word for what was made on the database's machine
    updated_at: Micros
    last_used_at: Micros | None
    revoke_reason: str
    successor_id: str | None
    predecessor_id: str | None
    etag: str
    last_used_address: str = ""
    last_used_agent: str = ""  # a class of clients, see `domain.usage`
    import_source: str = ""  # the system it was imported from, with its id there
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a change, from where, under which request id: the first columns of its audit row."""

    key_id: str
    organization_id: str
    address: str
    request_id: str
    as_of: int | None = None  # position at which the key was read: no change of it since may have happened
    body: bytes = b""  # digest of all that is asked under `request_id`; empty: a repetition is not recognized


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A key that was replaced, and the one that replaces it."""

    key: Key
    predecessor: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Generic[T]):
    """What a mutation left behind, and the position of the change log at which it did."""

    value: T
    revision: Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list; `next_token` is empty at its end."""

    items: tuple[T, ...]
    next_token: str
