"""
No key makes a stronger one: the subset rule, one function a dimension.

It is applied to the resulting key, whichever operation leads to it. Each function says whether the
terms stay within what the granting key has itself. Where containment would take more than comparing
entry with entry, the answer is no.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authsvc.domain.administrator import holds
from authsvc.domain.api import Api, OriginPolicy
from authsvc.domain.keys import KeyRecord, Micros
from authsvc.domain.lifecycle import last_instant
from authsvc.domain.network import Network
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import Algorithm, Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a key can do, or is to be able to do. None is unrestricted, as in `KeyRecord`."""

    kind: str
    environment: str | None
    scopes: tuple[str, ...]
    full_access: bool
    origins: tuple[OriginPattern, ...] | None
    networks: tuple[Network, ...] | None
    limits: tuple[Limit, ...]
    not_before: Micros | None
    expires_at: Micros | None


def terms_of(record: KeyRecord) -> Terms:
    """Return what a key can do now."""
    return Terms(
        kind=record.kind,
        environment=record.environment,
        scopes=record.scopes,
        full_access=record.full_access,
        origins=record.origins,
        networks=record.networks,
        limits=record.limits,
        not_before=record.not_before,
        expires_at=record.expires_at,
    )


def exceeded(granting: KeyRecord, api: Api, terms: Terms) -> str | None:
    """Return the first dimension in which the terms go beyond the granting key of the same API, or None."""
    return next((name for name, within in DIMENSIONS if not within(granting, api, terms)), None)


def within_environment(granting: KeyRecord, _: Api, terms: Terms) -> bool:
    """It is for the same environment."""
    return terms.environment == granting.environment


def within_kind(granting: KeyRecord, api: Api, terms: Terms) -> bool:
    """It is of the same kind, or of one that can do no more, at no route that names it and not the own."""
    own, asked = api.kinds.get(granting.kind), api.kinds.get(terms.kind)
    if own is None or asked is None:
        return False
    if own.ceiling is not None and (asked.ceiling is None or not asked.ceiling <= own.ceiling):
        return False
    named = (route.kinds for route in api.routes.routes if route.kinds is not None)
    return all(own.name in kinds or asked.name not in kinds for kinds in named)


def within_full_access(granting: KeyRecord, _: Api, terms: Terms) -> bool:
    """Only full access gives full access: it covers the scopes of tomorrow too."""
    return granting.full_access or not terms.full_access


def within_scopes(granting: KeyRecord, api: Api, terms: Terms) -> bool:
    """Every named scope is held."""
    return all(holds(granting, api, scope) for scope in terms.scopes)


def within_expiry(granting: KeyRecord, _: Api, terms: Terms) -> bool:
    """It does not outlive the granting key, whose life a rotation may have cut short."""
    end = last_instant(granting)
    return end is None or (terms.expires_at is not None and terms.expires_at <= end)


def within_networks(granting: KeyRecord, _: Api, terms: Terms) -> bool:
    """Every network lies in one of the granting key's. The organization's hold for both alike."""
    if granting.networks is None:
        return True
    if terms.networks is None:
        return False
    return all(any(_contains(own, asked) for own in granting.networks) for asked in terms.networks)


def within_origins(granting: KeyRecord, api: Api, terms: Terms) -> bool:
    """Every origin is matched by one of the granting key's; no browser may use it where none may use that."""
    if _forbids_browsers(api, granting.kind) and not _forbids_browsers(api, terms.kind):
        return False
    if granting.origins is None:
        return True
    if terms.origins is None:
        return False
    return all(any(_covers(own, asked) for own in granting.origins) for asked in terms.origins)


def within_limits(granting: KeyRecord, api: Api, terms: Terms) -> bool:
    """For every limit of the granting key and its kind there is one as strict; the API's and the plan's are shared."""
    own = (*_limits_of_kind(api, granting.kind), *granting.limits)
    asked = (*_limits_of_kind(api, terms.kind), *terms.limits)
    return all(any(as_strict(limit, bound) for limit in asked) for bound in own)


DIMENSIONS: tuple[tuple[str, Callable[[KeyRecord, Api, Terms], bool]], ...] = (
    ("environment", within_environment),
    ("kind", within_kind),
    ("full_access", within_full_access),
    ("scopes", within_scopes),
    ("expires_at", within_expiry),
    ("networks", within_networks),
    ("origins", within_origins),
    ("rate_limits", within_limits),
)


def as_strict(limit: Limit, bound: Limit) -> bool:
    """Whether whatever passes `limit` passes `bound` too."""
    if limit.subject is not bound.subject:
        return False
    if bound.algorithm is Algorithm.GCRA:
        # A sliding window may be used up at once, again and again.
        at_once = limit.burst if limit.algorithm is Algorithm.GCRA else limit.count
        return at_once <= bound.burst and _interval(limit) >= _interval(bound)
    return _most_within(limit, bound.period_ns) <= bound.count


def _most_within(limit: Limit, period_ns: int) -> int:
    """Return how many requests a limit can let through in any half-open window of this length."""
    if limit.algorithm is Algorithm.SLIDING_WINDOW:
        return limit.count * -(-period_ns // limit.period_ns)
    return limit.burst + (period_ns - 1) // _interval(limit)


def _interval(limit: Limit) -> int:
    """Return the steady pace of a limit, in nanoseconds a request, rounded as counting rounds it."""
    if limit.algorithm is Algorithm.GCRA:
        return -(-limit.period_ns // limit.count)
    return limit.period_ns // limit.count


def _limits_of_kind(api: Api, name: str) -> Sequence[Limit]:
    kind = api.kinds.get(name)
    return () if kind is None else kind.limits


def _forbids_browsers(api: Api, name: str) -> bool:
    kind = api.kinds.get(name)
    return kind is not None and kind.origins is OriginPolicy.FORBIDDEN


def _contains(own: Network, asked: Network) -> bool:
    return own.version == asked.version and own.prefixlen <= asked.prefixlen and asked.network_address in own


def _covers(own: OriginPattern, asked: OriginPattern) -> bool:
    if (own.scheme, own.port) != (asked.scheme, asked.port):
        return False
    if own.wildcard:
        return asked.host.endswith("." + own.host) or (asked.wildcard and asked.host == own.host)
    return not asked.wildcard and asked.host == own.host
