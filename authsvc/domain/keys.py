"""A key as policy sees it. The text a customer holds is in `key_text`, its digest in `hashing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from authsvc.domain.network import Network
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import Limit

# Instants are whole microseconds since 1970-01-01T00:00:00Z: exact in both databases, cheap to compare.
Micros = int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A position in the change log. Positions compare only within one epoch."""

    epoch: str  # UUID text; changes when the database was restored
    seq: int

    def reaches(self, other: Revision) -> bool:
        """Whether a state as of here includes the other position, for all that can be told."""
        return self.epoch == other.epoch and self.seq >= other.seq

    def __str__(self) -> str:
        """Return the form on the wire: `epoch:seq`."""
        return f"{self.epoch}:{self.seq}"


class Assurance(StrEnum):
    """What is known of an imported digest's text. Keys whose text was seen or made here have none."""

    DECLARED = "declared"  # the importer says that it was drawn at random, from 128 bits or more
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """
    A stored key with its organization: no secret, no digest.

    No field has a default: a mapper that forgets one must crash, not allow. For `origins` and the
    networks, None is unrestricted and empty matches nobody.
    """

    id: str
    api: str
    organization_id: str
    organization_active: bool
    organization_networks: tuple[Network, ...] | None
    plan: str | None
    kind: str
    environment: str | None
    scopes: tuple[str, ...]
    full_access: bool
    origins: tuple[OriginPattern, ...] | None
    networks: tuple[Network, ...] | None
    limits: tuple[Limit, ...]
    not_before: Micros | None
    expires_at: Micros | None
    revoked_at: Micros | None
    deleted_at: Micros | None
    grace_ends_at: Micros | None
    metadata: Mapping[str, str]
    assurance: Assurance | None  # of an imported digest
