"""
Who administers, and how far they reach.

An operator holds a key of the API `authsvc` and reaches everything its scopes name. A product's key
reaches the keys of its own organization and API, and only by a named `keys:read` or `keys:write`:
full access to the product is not permission to hand out keys, unless the API's configuration says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsvc.domain.administration import ADMIN_API, Actor
from authsvc.domain.api import Api
from authsvc.domain.decision import effective_scopes
from authsvc.domain.errors import PermissionDeniedError
from authsvc.domain.keys import Assurance, KeyRecord, Revision
from authsvc.domain.network import Network, contains, parse_address

KEYS_READ = "keys:read"
KEYS_WRITE = "keys:write"
MANAGEMENT = frozenset({KEYS_READ, KEYS_WRITE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one administrative operation asks of its caller; `action` is its name in the audit trail."""

    action: str
    scope: str
    operators_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """An authenticated caller: a live key, with the API it belongs to, and where the call came from."""

    api: Api
    record: KeyRecord
    address: str  # empty: not known
    as_of: Revision | None  # of the record; None where it is not from the store: no change is held to it then

    @property
    def is_operator(self) -> bool:
        """Whether this is a key of the service itself, not of a product."""
        return self.api.name == ADMIN_API

    def holds(self, scope: str) -> bool:
        """Whether the caller may use a scope here."""
        return holds(self.record, self.api, scope)

    def reaches(self, record: KeyRecord) -> bool:
        """Whether a key is within the caller's reach; others do not exist for it."""
        own = (record.organization_id, record.api) == (self.record.organization_id, self.record.api)
        return own or self.is_operator

    def is_within(self, networks: Sequence[Network] | None) -> bool:
        """Whether the call came from one of the networks: a key that is bound to them can be used from here."""
        address = parse_address(self.address)
        return networks is None or (address is not None and contains(networks, address))

    def actor(self, request_id: str = "", body: bytes = b"") -> Actor:
        """Return the caller as the audit trail names it; `body` is the digest of what is asked under the id."""
        return Actor(
            key_id=self.record.id,
            organization_id=self.record.organization_id,
            address=self.address,
            request_id=request_id,
            as_of=None if self.as_of is None else self.as_of.seq,
            body=body,
        )


def holds(record: KeyRecord, api: Api, scope: str) -> bool:
    """Whether a key holds a scope within its kind's ceiling; a scope that manages keys has to be named."""
    # Neither a configuration of later nor what older code wrote gives such a key what its import could not.
    if scope == KEYS_WRITE and record.assurance is Assurance.UNKNOWN:
        return False
    effective = effective_scopes(record, api)
    if effective is not None and scope not in effective:
        return False
    if api.name == ADMIN_API or scope not in MANAGEMENT or scope in record.scopes:
        return True
    return record.full_access and api.full_access_manages_keys


def permit(administrator: Administrator, access: Access | None) -> None:
    """Raise `PermissionDeniedError` unless the caller may do this at all; None is what nobody may."""
    if access is None:
        raise PermissionDeniedError("nobody may do this")
    if access.operators_only and not administrator.is_operator:
        raise PermissionDeniedError("this is for operators: a product's key administers its organization's keys only")
    if not administrator.holds(access.scope):
        raise PermissionDeniedError(f"the key lacks the scope {access.scope}")
