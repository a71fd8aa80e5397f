"""Checked sections → the domain's frozen values."""

from __future__ import annotations

from authsvc.config import wording
from authsvc.config.checks import methods
from authsvc.config.key_checks import key_class
from authsvc.config.models import (
    ApiSection,
    CredentialSection,
    ForwardedSection,
    KindSection,
    LimitSection,
    LimitsSection,
    RouteSection,
)
from authsvc.config.values import ANY_METHOD
from authsvc.domain.api import Api, EmptyScopes, EnvironmentSource, Kind, OriginPolicy, Plan, RateHeaders, Scope
from authsvc.domain.credentials import AUTHORIZATION, CredentialSource
from authsvc.domain.key_text import KeyTable
from authsvc.domain.quotas import Algorithm, Limit, Subject, parse_rate
from authsvc.domain.routes import Route, RouteTable

# Never read: without a trusted hop the peer's own address counts.
_NO_FORWARDING = ForwardedSection(header="x-forwarded-for", trusted_hops=1)


def api(name: str, section: ApiSection) -> Api:
    """Return one API; the section must have passed every check."""
    declared = section.environments if isinstance(section.environments, dict) else {}
    forwarded = section.client_address if isinstance(section.client_address, ForwardedSection) else None
    credentials = _credentials(section)
    return Api(
        name=name,
        hosts=frozenset(section.hosts),
        credentials=credentials,
        challenge=section.challenge or _challenge(credentials),
        keys=KeyTable([key_class(row) for row in section.keys.classes]),
        kinds={kind: _kind(kind, section) for kind in section.kinds},
        default_kind=next(kind for kind, body in section.kinds.items() if body.default),
        environment_source=_environment_source(section),
        environments=frozenset(declared) or frozenset(c.environment for c in section.keys.classes if c.environment),
        environment_by_host={host: env for env, body in declared.items() for host in body.hosts},
        scopes={scope: Scope(name=scope, description=body.description) for scope, body in section.scopes.items()},
        presets={preset: tuple(scopes) for preset, scopes in section.presets.items()},
        empty_scopes=EmptyScopes(section.empty_scopes),
        full_access_manages_keys=section.full_access_manages_keys,
        routes=RouteTable([route for row in section.routes for route in _routes(row)]),
        limits=_limits(section.limits, ""),
        plans={plan: Plan(name=plan, limits=_limits(body, f"plan-{plan}-")) for plan, body in section.plans.items()},
        default_plan=section.default_plan,
        rate_headers=RateHeaders(
            standard=section.rate_limit_headers.standard, legacy=section.rate_limit_headers.legacy
        ),
        client_address_header=(forwarded or _NO_FORWARDING).header,
        trusted_hops=forwarded.trusted_hops if forwarded is not None else 0,
        hide_credential=section.hide_credential,
        grace=section.keys.rotation.grace,
        max_grace=section.keys.rotation.max_grace,
        errors=wording.templates(section.errors),
    )


def _credentials(section: ApiSection) -> tuple[CredentialSource, ...]:
    written = section.credential if isinstance(section.credential, list) else [section.credential]
    return tuple(_credential(source) for source in written)


def _credential(source: CredentialSection) -> CredentialSource:
    if source.header is None:
        return CredentialSource(header=AUTHORIZATION, scheme="bearer")
    return CredentialSource(header=source.header, scheme=source.scheme)


def _challenge(credentials: tuple[CredentialSource, ...]) -> str:
    # RFC 9110 asks every 401 for a challenge; a bare header has no registered scheme to name.
    scheme = next((source.scheme for source in credentials if source.scheme is not None), None)
    return scheme.capitalize() if scheme is not None else "ApiKey"


def _environment_source(section: ApiSection) -> EnvironmentSource:
    if section.environments is None:
        return EnvironmentSource.NONE
    return EnvironmentSource.KEY if section.environments == "from_key" else EnvironmentSource.REQUEST


def _kind(name: str, section: ApiSection) -> Kind:
    kind = section.kinds[name]
    return Kind(
        name=name,
        ceiling=None if isinstance(kind.scopes, str) else frozenset(kind.scopes),
        default_scopes=_default_scopes(kind, section),
        origins=OriginPolicy(kind.origins),
        limits=_limits(kind.limits, f"kind-{name}-"),
        cors=kind.cors,
        max_lifetime=kind.max_lifetime,
        expiry_required=kind.expiry_required,
    )


def _default_scopes(kind: KindSection, section: ApiSection) -> tuple[str, ...]:
    if kind.default_scopes is not None:
        return tuple(kind.default_scopes)
    defaults = (name for name, scope in section.scopes.items() if scope.default)
    return tuple(name for name in defaults if isinstance(kind.scopes, str) or name in kind.scopes)


def _routes(row: RouteSection) -> list[Route]:
    return [
        Route(
            method=None if method == ANY_METHOD else method,
            path=row.path,
            scopes=tuple(row.scopes or ()),
            kinds=None if row.kinds is None else frozenset(row.kinds),
            environment=row.environment,
            public=row.public,
            preflight=row.preflight == "allow",
        )
        for method in methods(row)
    ]


def _limits(section: LimitsSection, prefix: str) -> tuple[Limit, ...]:
    limits: list[Limit] = []
    for subject, written in ((Subject.KEY, section.per_key), (Subject.ORGANIZATION, section.per_organization)):
        values = written if isinstance(written, list) else [] if written is None else [written]
        for position, value in enumerate(values, start=1):
            # The name is part of the bucket's: it must differ between everything that may limit one key.
            name = f"{prefix}{subject}" + (f"-{position}" if position > 1 else "")
            limits.append(_limit(name, subject, LimitSection(rate=value) if isinstance(value, str) else value))
    return tuple(limits)


def _limit(name: str, subject: Subject, section: LimitSection) -> Limit:
    parsed = parse_rate(section.rate)
    if parsed is None:
        raise ValueError(section.rate)  # the model has refused it
    count, period = parsed
    return Limit(
        name=name,
        subject=subject,
        algorithm=Algorithm(section.algorithm),
        count=count,
        period_ns=period,
        burst=section.burst or count,
    )
