"""What a key becomes when some of its fields change. What is not named stays, whatever is asked of new keys today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from authsvc.domain import assurance, inputs, issuing
from authsvc.domain.administration import Key
from authsvc.domain.api import Api, Kind
from authsvc.domain.errors import FailedPreconditionError, InvalidInputError
from authsvc.domain.grants import Terms, terms_of
from authsvc.domain.issuing import Wanted
from authsvc.domain.keys import Assurance, Micros

# Names of fields on the wire. Whatever is not here never changes.
KEY_FIELDS = frozenset(
    {
        "name",
        "scopes",
        "full_access",
        "origins",
        "networks",
        "not_before",
        "expires_at",
        "metadata",
        "rate_limits",
    }
)
_ASSURED = frozenset({"scopes", "full_access", "expires_at"})
ORGANIZATION_FIELDS = frozenset({"name", "plan", "networks", "metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """All of a key that can change, as it is to stand afterwards."""

    name: str
    metadata: Mapping[str, str]
    terms: Terms


def update_of(key: Key, fields: frozenset[str], wanted: Wanted, api: Api, now: Micros) -> Update:
    """Return what the key is to be; of `wanted` only the named fields are read. Raises `InvalidInputError`."""
    kind = api.kinds.get(key.record.kind)
    if kind is None:
        raise FailedPreconditionError("keys of this kind are not configured any more")
    terms = _reach(fields, wanted, terms_of(key.record), kind, api)
    terms = _life(fields, wanted, terms, kind, now=now, born=key.created_at)
    if key.record.assurance is Assurance.UNKNOWN and fields & _ASSURED:
        assurance.hold(terms, api, key.created_at)
    return Update(
        name=inputs.name(wanted.name) if "name" in fields else key.name,
        metadata=inputs.labels(wanted.metadata) if "metadata" in fields else key.record.metadata,
        terms=terms,
    )


def _reach(fields: frozenset[str], wanted: Wanted, terms: Terms, kind: Kind, api: Api) -> Terms:
    if "full_access" in fields:
        if wanted.full_access:
            issuing.permit_full_access(kind, api)
        terms = replace(terms, full_access=wanted.full_access)
    if "scopes" in fields:
        # None named is none: what a new key would get instead is not for one that exists.
        terms = replace(terms, scopes=issuing.scopes(wanted.scopes, kind, api))
    if "origins" in fields:
        terms = replace(terms, origins=issuing.origins(wanted.origins, kind))
    if "networks" in fields:
        terms = replace(terms, networks=inputs.networks(wanted.networks))
    if "rate_limits" in fields:
        terms = replace(terms, limits=issuing.rate_limits(wanted.rate_limits))
    return terms


def _life(fields: frozenset[str], wanted: Wanted, terms: Terms, kind: Kind, *, now: Micros, born: Micros) -> Terms:
    if "not_before" in fields:
        terms = replace(terms, not_before=wanted.not_before)
    if "expires_at" in fields:
        ends = issuing.expiry(wanted.expires_at, terms.not_before, kind, now=now, born=born)
        return replace(terms, expires_at=ends)
    begins, ends = terms.not_before, terms.expires_at
    if "not_before" in fields and begins is not None and ends is not None and ends <= begins:
        raise InvalidInputError("not_before: must lie before expires_at")
    return terms
