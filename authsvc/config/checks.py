"""
What one API's section says that does not fit together.

Every check looks at a section whose shape is right and yields (place below the API, what is wrong).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from authsvc.config import key_checks, wording
from authsvc.config.models import ApiSection, ForwardedSection, LimitSection, LimitsSection, RouteSection
from authsvc.config.problems import Location, unknown
from authsvc.config.values import ANY_METHOD
from authsvc.domain.quotas import MAX_WINDOW_COUNT, parse_rate

Finding = tuple[Location, str]
Findings = Iterator[Finding]

_PARAMETER = re.compile(r"\{[^/]*\}")


def check(api: ApiSection) -> Findings:
    """Say everything that does not fit together."""
    for one in _CHECKS:
        yield from one(api)


def _scopes(api: ApiSection) -> Findings:
    places: list[tuple[Location, list[str]]] = []
    for name, kind in api.kinds.items():
        if isinstance(kind.scopes, list):
            places.append((("kinds", name, "scopes"), kind.scopes))
        places.append((("kinds", name, "default_scopes"), kind.default_scopes or []))
    places += [(("presets", name), scopes) for name, scopes in api.presets.items()]
    places += [(("routes", index, "scopes"), route.scopes or []) for index, route in enumerate(api.routes)]
    for place, scopes in places:
        for index, scope in enumerate(scopes):
            if scope not in api.scopes:
                yield (*place, index), unknown("scope", scope, api.scopes)
            elif scope in scopes[:index]:
                yield (*place, index), f"the scope {scope!r} is here twice"


def _kinds(api: ApiSection) -> Findings:
    defaults = [name for name, kind in api.kinds.items() if kind.default]
    if len(defaults) != 1:
        told = f"{' and '.join(defaults)} have it" if defaults else "none has it"
        yield ("kinds",), f"exactly one kind needs default: true; {told}"
    for name, kind in api.kinds.items():
        if isinstance(kind.scopes, list):
            for index, scope in enumerate(kind.default_scopes or []):
                if scope not in kind.scopes:
                    yield ("kinds", name, "default_scopes", index), f"the kind cannot hold {scope!r}: not in its scopes"
        if kind.max_lifetime is not None and not kind.expiry_required:
            yield ("kinds", name, "max_lifetime"), "needs expiry_required: true, else a key without expiry outlives it"
        if not any(row.kind == name for row in api.keys.classes):
            yield ("kinds", name), "no key class is of this kind"


def _presets(api: ApiSection) -> Findings:
    for name, scopes in api.presets.items():
        if not any(kind.scopes == "all" or set(scopes) <= set(kind.scopes) for kind in api.kinds.values()):
            yield ("presets", name), "no kind of key can hold all of these scopes"


def _empty_scopes(api: ApiSection) -> Findings:
    defaults = any(scope.default for scope in api.scopes.values()) or any(k.default_scopes for k in api.kinds.values())
    if api.empty_scopes == "full_access" and defaults:
        yield ("empty_scopes",), "full_access contradicts default scopes: a new key without scopes would get those"


def _environments(api: ApiSection) -> Findings:
    declared = api.environments if isinstance(api.environments, dict) else {}
    owners: dict[str, str] = {}
    for name, environment in declared.items():
        for index, host in enumerate(environment.hosts):
            if host in owners:
                yield ("environments", name, "hosts", index), f"the host {host!r} already stands for {owners[host]!r}"
            owners.setdefault(host, name)
    places: list[tuple[Location, str | None]] = []
    for index, row in enumerate(api.keys.classes):
        places.append((("keys", "classes", index, "environment"), row.environment))
    for (*place, field), named in places:
        if named is None and api.environments is not None:
            yield tuple(place), "needs an environment: the API has environments"
        elif named is not None and api.environments is None:
            yield (*place, field), "the API has no environments; declare them, or write environments: from_key"
        elif named is not None and declared and named not in declared:
            yield (*place, field), unknown("environment", named, declared)


def _routes(api: ApiSection) -> Findings:
    seen: dict[tuple[str, str], int] = {}
    for index, route in enumerate(api.routes):
        yield from _check_route(api, route, ("routes", index))
        shape = _PARAMETER.sub("{}", route.path)
        for method in methods(route):
            if (method, shape) in seen:
                yield ("routes", index), f"{method} {route.path} is already routes[{seen[method, shape]}]"
            seen.setdefault((method, shape), index)


def _check_route(api: ApiSection, route: RouteSection, at: Location) -> Findings:
    if ANY_METHOD in methods(route) and len(methods(route)) > 1:
        yield (*at, "method"), f"{ANY_METHOD} stands alone"
    if route.public:
        for field in ("scopes", "kinds", "environment"):
            if getattr(route, field) is not None:
                yield (*at, field), "contradicts public: true"
    elif route.scopes is None:
        yield at, "needs scopes ([] for any valid key) or public: true"
    if route.environment is not None:
        if not isinstance(api.environments, dict):
            yield (*at, "environment"), "the API declares no environments for requests"
        elif route.environment not in api.environments:
            yield (*at, "environment"), unknown("environment", route.environment, api.environments)
    yield from _check_route_kinds(api, route, (*at, "kinds"))


def _check_route_kinds(api: ApiSection, route: RouteSection, at: Location) -> Findings:
    for index, name in enumerate(route.kinds or []):
        kind = api.kinds.get(name)
        if kind is None:
            yield (*at, index), unknown("kind", name, api.kinds)
        elif isinstance(kind.scopes, list) and not set(route.scopes or ()) <= set(kind.scopes):
            yield (*at, index), f"the kind {name!r} cannot hold the scopes of this route"


def methods(route: RouteSection) -> list[str]:
    """Return a route's methods, however they were written."""
    return [route.method] if isinstance(route.method, str) else route.method


def _limits(api: ApiSection) -> Findings:
    yield from _check_limits(api.limits, ("limits",))
    for name, kind in api.kinds.items():
        yield from _check_limits(kind.limits, ("kinds", name, "limits"))
    for name, plan in api.plans.items():
        yield from _check_limits(plan, ("plans", name))
    if api.plans and api.default_plan is None:
        yield ("plans",), "needs default_plan: an organization without a plan would have no limits"
    elif api.default_plan is not None and api.default_plan not in api.plans:
        yield ("default_plan",), unknown("plan", api.default_plan, api.plans)


def _check_limits(limits: LimitsSection, at: Location) -> Findings:
    for subject in ("per_key", "per_organization"):
        value: str | LimitSection | list[str | LimitSection] | None = getattr(limits, subject)
        for index, limit in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(limit, LimitSection):
                here = (*at, subject, index) if isinstance(value, list) else (*at, subject)
                yield from _check_limit(limit, here)


def _check_limit(limit: LimitSection, at: Location) -> Findings:
    if limit.algorithm != "sliding_window":
        return
    if limit.burst is not None:
        yield (*at, "burst"), "a sliding window has no burst; allowed with algorithm: gcra"
    parsed = parse_rate(limit.rate)
    if parsed is not None and parsed[0] > MAX_WINDOW_COUNT:
        yield (*at, "rate"), f"a sliding window counts at most {MAX_WINDOW_COUNT} requests; use gcra"


def _credentials(api: ApiSection) -> Findings:
    single = not isinstance(api.credential, list)
    seen: set[str] = set()
    for index, source in enumerate(api.credential if isinstance(api.credential, list) else [api.credential]):
        at: Location = ("credential",) if single else ("credential", index)
        if (source.header is None) == (source.bearer is None):
            yield at, "needs header: NAME or bearer: true, one of them"
            continue
        if source.bearer is not None and source.scheme is not None:
            yield (*at, "scheme"), "bearer: true has its scheme"
        header = source.header or "authorization"
        if header in _NO_CREDENTIAL:
            yield (*at, "header"), f"a key cannot travel in {header!r}"
        if header in seen:
            yield at, f"the header {header!r} is already a source"
        seen.add(header)
    if isinstance(api.client_address, ForwardedSection) and api.client_address.header in seen:
        yield ("client_address", "header"), "is the header of the credential"


# Headers that mean something else to this service or to every proxy.
_NO_CREDENTIAL = frozenset(
    {"cookie", "origin", "access-control-request-method", "access-control-request-headers", "forwarded"}
    | {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"}
)


_CORS = frozenset({"access-control-allow-origin", "access-control-expose-headers"})


def _hosts(api: ApiSection) -> Findings:
    for index, host in enumerate(api.hosts):
        if host in api.hosts[:index]:
            yield ("hosts", index), f"the host {host!r} is here twice"


def _errors(api: ApiSection) -> Findings:
    if any(kind.cors for kind in api.kinds.values()):
        for name, section in api.errors.items():
            for header in _CORS.intersection(section.headers):
                message = "is written by the service where a kind has cors: true; no browser accepts two"
                yield ("errors", name, "headers", header), message
    for place, message in wording.check(api.errors):
        yield ("errors", *place), message


_CHECKS: tuple[Callable[[ApiSection], Findings], ...] = (
    _scopes,
    _kinds,
    _presets,
    _empty_scopes,
    _environments,
    key_checks.check,
    _routes,
    _limits,
    _credentials,
    _hosts,
    _errors,
)
