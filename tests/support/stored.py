"""Organizations and keys to store; a test states only what matters to it."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

from authsvc.domain.administration import Actor
from authsvc.domain.grants import Terms
from authsvc.domain.hashing import Digest
from authsvc.domain.quotas import Algorithm, Limit, Subject
from authsvc.domain.updating import Update
from authsvc.ports import NewKey, NewOrganization, OrganizationUpdate

ACTOR = Actor(key_id="key_" + "9" * 26, organization_id="org_" + "9" * 26, address="192.0.2.1", request_id="request-1")
# The same, safe to be repeated.
ASKED = replace(ACTOR, body=hashlib.sha256(b"asked").digest())
LIMITS = (
    Limit(
        name="per-key",
        subject=Subject.KEY,
        algorithm=Algorithm.SLIDING_WINDOW,
        count=10,
        period_ns=60_000_000_000,
        burst=10,
    ),
    Limit(
        name="shared",
        subject=Subject.ORGANIZATION,
        algorithm=Algorithm.GCRA,
        count=1000,
        period_ns=1_000_000_000,
        burst=50,
    ),
)


def organization_id(number: int) -> str:
    """Return the id of an organization; ids sort by number."""
    return f"org_{number:026}"


def key_id(number: int) -> str:
    """Return the id of a key; ids sort by number."""
    return f"key_{number:026}"


def digest(number: int) -> Digest:
    """Return the digest of a key."""
    return Digest(hashlib.sha256(str(number).encode()).digest())


def new_organization(number: int = 1, **changes: Any) -> NewOrganization:
    """Give an organization without anything optional."""
    plain = NewOrganization(
        id=organization_id(number), name=f"organization {number}", plan=None, networks=None, metadata={}
    )
    return replace(plain, **changes)


def new_key(number: int = 1, **changes: Any) -> NewKey:
    """Give a key of the first organization without anything optional."""
    plain = NewKey(
        id=key_id(number),
        digest=digest(number),
        pepper_id="p1",
        algorithm="hmac",
        api="verifa",
        organization_id=organization_id(1),
        kind="secret",
        environment=None,
        scopes=(),
        full_access=False,
        origins=None,
        networks=None,
        limits=(),
        not_before=None,
        expires_at=None,
        name=f"key {number}",
        hint="vk_live_abcd",
        metadata={},
    )
    return replace(plain, **changes)


def update(**changes: Any) -> Update:
    """Give the first key as it is; what `Update` does not know is of its terms."""
    plain = new_key()
    terms = Terms(**{field.name: getattr(plain, field.name) for field in fields(Terms)})
    own = {name: changes.pop(name) for name in ("name", "metadata") if name in changes}
    return replace(Update(name=plain.name, metadata=plain.metadata, terms=replace(terms, **changes)), **own)


def organization_update(**changes: Any) -> OrganizationUpdate:
    """Give the first organization as it is."""
    plain = new_organization()
    return replace(OrganizationUpdate(name=plain.name, plan=None, networks=None, metadata={}), **changes)
