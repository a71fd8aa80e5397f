"""What is asked for a new key → its terms, within what its API and kind permit anybody to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from authsvc.domain import inputs
from authsvc.domain.api import Api, EmptyScopes, Kind, OriginPolicy
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.grants import Terms
from authsvc.domain.key_text import KeyClass
from authsvc.domain.keys import Micros
from authsvc.domain.origins import OriginPattern
from authsvc.domain.quotas import Algorithm, Limit, Subject, parse_rate
from authsvc.domain.scopes import MAX_SCOPES, valid_name

MAX_RATE_LIMITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a caller asks for. Empty text and empty `scopes` leave the choice to the configuration."""

    name: str
    metadata: Mapping[str, str]
    kind: str
    environment: str
    scopes: tuple[str, ...]
    full_access: bool
    origins: tuple[str, ...] | None
    networks: inputs.WantedNetworks | None
    rate_limits: tuple[str, ...]
    not_before: Micros | None
    expires_at: Micros | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A key that may be made: all but its text, its id and its owner."""

    name: str
    metadata: Mapping[str, str]
    terms: Terms
    key_class: KeyClass


def issue_of(wanted: Wanted, api: Api, now: Micros) -> Issue:
    """Return the key that is asked for. Raises `InvalidInputError`."""
    kind = _kind(wanted.kind, api)
    key_class = _class(wanted.environment, kind, api)
    named, full_access = _scopes(wanted, kind, api)
    terms = Terms(
        kind=kind.name,
        environment=key_class.environment,
        scopes=named,
        full_access=full_access,
        origins=origins(wanted.origins, kind),
        networks=inputs.networks(wanted.networks),
        limits=rate_limits(wanted.rate_limits),
        not_before=wanted.not_before,
        expires_at=expiry(wanted.expires_at, wanted.not_before, kind, now=now, born=now),
    )
    return Issue(
        name=inputs.name(wanted.name), metadata=inputs.labels(wanted.metadata), terms=terms, key_class=key_class
    )


def with_preset(name: str, wanted: Wanted, api: Api) -> Wanted:
    """
    Return what is asked for with the scopes of a preset; no name changes nothing.

    What is stored is the scopes: a later change of the preset must not widen existing keys.
    """
    if not name:
        return wanted
    if wanted.scopes or wanted.full_access:
        raise InvalidInputError("preset: stands in place of scopes and full_access; name one of them")
    if name not in api.presets:
        allowed = f"one of {', '.join(sorted(api.presets))}" if api.presets else f"{api.name} has none"
        raise InvalidInputError(f"preset: {allowed}")
    kind, scopes = _kind(wanted.kind, api), api.presets[name]
    if kind.ceiling is not None and not kind.ceiling.issuperset(scopes):
        raise InvalidInputError(f"preset: {name} is beyond what keys of kind {kind.name} can hold")
    return replace(wanted, scopes=scopes)


def rate_limits(texts: Sequence[str]) -> tuple[Limit, ...]:
    """Read limits such as `10/minute`; their names tell them apart in answers."""
    if len(texts) > MAX_RATE_LIMITS:
        raise InvalidInputError(f"rate_limits: at most {MAX_RATE_LIMITS}")
    limits: list[Limit] = []
    for index, text in enumerate(texts):
        rate = parse_rate(text)
        if rate is None:
            raise InvalidInputError(f"rate_limits[{index}]: a count, and /second, /minute, /hour or /day")
        count, period_ns = rate
        if any(limit.period_ns == period_ns for limit in limits):
            raise InvalidInputError(f"rate_limits[{index}]: there is another limit for the same period")
        limits.append(
            Limit(
                name="key" if index == 0 else f"key-{index + 1}",
                subject=Subject.KEY,
                algorithm=Algorithm.GCRA,
                count=count,
                period_ns=period_ns,
                burst=count,
            )
        )
    return tuple(limits)


def permit_full_access(kind: Kind, api: Api) -> None:
    """Refuse full access where the API or the kind has none."""
    if api.empty_scopes is not EmptyScopes.FULL_ACCESS or kind.ceiling is not None:
        raise InvalidInputError(f"full_access: the API does not permit it for keys of kind {kind.name}")


def scopes(wanted: Sequence[str], kind: Kind, api: Api) -> tuple[str, ...]:
    """Return named scopes, sorted, each once."""
    if len(wanted) > MAX_SCOPES:
        raise InvalidInputError(f"scopes: at most {MAX_SCOPES}")
    for index, scope in enumerate(wanted):
        _check_scope(scope, index, kind, api)
    return tuple(sorted(set(wanted)))


def origins(wanted: Sequence[str] | None, kind: Kind) -> tuple[OriginPattern, ...] | None:
    """Return origins as the kind has or has not to name them."""
    if wanted is None and kind.origins is OriginPolicy.REQUIRED:
        raise InvalidInputError(f"origins: keys of kind {kind.name} need the origins they are used from")
    if wanted is not None and kind.origins is OriginPolicy.FORBIDDEN:
        raise InvalidInputError(f"origins: keys of kind {kind.name} are not for browsers")
    return inputs.origins(wanted)


def expiry(ends: Micros | None, begins: Micros | None, kind: Kind, *, now: Micros, born: Micros) -> Micros | None:
    """Return the end of a key that was made at the instant `born`: later changes do not lengthen its longest life."""
    if ends is None:
        if kind.expiry_required or kind.max_lifetime is not None:
            raise InvalidInputError(f"expires_at: keys of kind {kind.name} need an end")
        return None
    if ends <= now:
        raise InvalidInputError("expires_at: must lie ahead")
    if begins is not None and ends <= begins:
        raise InvalidInputError("expires_at: must lie after not_before")
    if kind.max_lifetime is not None and ends - born > kind.max_lifetime:
        days = kind.max_lifetime / 86_400_000_000
        raise InvalidInputError(f"expires_at: keys of kind {kind.name} live at most {days:g} days")
    return ends


def _kind(name: str, api: Api) -> Kind:
    kind = api.kinds.get(name or api.default_kind)
    if kind is None:
        raise InvalidInputError(f"kind: one of {', '.join(sorted(api.kinds))}")
    return kind


def _class(environment: str, kind: Kind, api: Api) -> KeyClass:
    """Find the class that makes keys of this kind and environment; without a name there must be one choice."""
    choices = {c.environment for c in api.keys.classes if c.creates and c.kind == kind.name}
    chosen = environment or None
    if chosen not in choices and not environment and len(choices) == 1:
        chosen = next(iter(choices))
    key_class = api.keys.creating(kind.name, chosen)
    if key_class is None:
        names = sorted(choice for choice in choices if choice is not None)
        if names:
            raise InvalidInputError(f"environment: one of {', '.join(names)}")
        if choices:
            raise InvalidInputError(f"environment: keys of kind {kind.name} have none")
        raise InvalidInputError(f"kind: keys of kind {kind.name} are not made here")
    return key_class


def _scopes(wanted: Wanted, kind: Kind, api: Api) -> tuple[tuple[str, ...], bool]:
    if wanted.full_access:
        permit_full_access(kind, api)
    named = scopes(wanted.scopes, kind, api)
    if named or wanted.full_access:
        return named, wanted.full_access
    if kind.default_scopes:
        return tuple(sorted(set(kind.default_scopes))), False
    # Decided now and stored as a flag: a later change of the configuration must not open existing keys.
    return (), api.empty_scopes is EmptyScopes.FULL_ACCESS and kind.ceiling is None


def _check_scope(scope: str, index: int, kind: Kind, api: Api) -> None:
    if not valid_name(scope):
        raise InvalidInputError(f"scopes[{index}]: a scope is written resource:action")
    if scope not in api.scopes:
        raise InvalidInputError(f"scopes[{index}]: {api.name} has no scope {scope}")
    if kind.ceiling is not None and scope not in kind.ceiling:
        raise InvalidInputError(f"scopes[{index}]: {scope} is beyond what keys of kind {kind.name} can hold")
