"""
What a door has read → one `Question`: parse, API, route, environment, credential, in that order.

Nothing here needs the key's record, so a request that is malformed or public is answered at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authsvc.domain import routes
from authsvc.domain.api import Api, Apis, EnvironmentSource, bare_host
from authsvc.domain.credentials import find_text
from authsvc.domain.decision import ALLOW, Attempt, Decision, Deny, Purpose
from authsvc.domain.keys import Revision
from authsvc.domain.network import client_address
from authsvc.domain.reasons import Reason
from authsvc.domain.routes import UNROUTABLE, Route
from authsvc.domain.scopes import valid_name

_AUTHORIZE = Purpose.AUTHORIZE
_BY_REQUEST = EnvironmentSource.REQUEST

# What the operator's Envoy configuration may say about a request.
EXTENSIONS = frozenset({"api", "environment", "public", "required_scopes"})


@dataclass(slots=True)
class HttpRequest:
    """An HTTP request as a proxy describes it. Header names are lower case, repeated ones joined with commas."""

    method: str
    target: str  # path and query, raw
    host: str
    headers: Mapping[str, str] = field(repr=False)  # the credential is among them
    extensions: Mapping[str, str]  # from the operator, never from the client

    def peer(self) -> str | None:
        """Return the address of the proxy's direct peer; None when it has none."""
        raise NotImplementedError

    def address(self, api: Api) -> str | None:
        """Return the client's address, from where the API's operator says it stands (see `decision.Sender`)."""
        hops = api.trusted_hops
        peer = None if hops else self.peer()
        return client_address(peer, self.headers.get(api.client_address_header), hops)

    def agent(self) -> str | None:
        """Return the User-Agent header."""
        return self.headers.get("user-agent")


@dataclass(slots=True)
class ToldRequest(HttpRequest):
    """A request whose peer the caller has told."""

    told: str | None

    def peer(self) -> str | None:
        """Return the peer."""
        return self.told


@dataclass(slots=True)
class Question(Attempt):
    """An attempt whose key is still a text: what the rules will look at, and how to find the key."""

    key: str | None = field(repr=False)  # None: missing or ambiguous; else whatever stood in its place
    spends: bool
    at_least: Revision | None  # the caller has seen this change; an older record will not do


@dataclass(slots=True, kw_only=True)
class Settled:
    """A request that is answered without a key; `api` words the answer, None where there is none."""

    api: Api | None
    decision: Decision
    route: Route | None = None


NO_API = Settled(api=None, decision=Deny(reason=Reason.ROUTE_NOT_CONFIGURED, detail="no API for this request"))
MALFORMED = Deny(reason=Reason.BAD_REQUEST, detail="method or path is malformed or ambiguous")
PUBLIC = ALLOW
_NO_ROUTES = routes.RouteTable(())


def api_of(apis: Apis, request: HttpRequest) -> Api | None:
    """Return the API a request is for: the operator's word, else the host's."""
    name = request.extensions.get("api")
    return apis.by_name.get(name) if name is not None else apis.by_host.get(bare_host(request.host))


def from_http(apis: Apis, request: HttpRequest) -> Question | Settled:
    """Resolve an HTTP request. Only a malformed one is told anything before its credential is looked at."""
    extensions, headers = request.extensions, request.headers
    name = extensions.get("api")
    api = apis.by_name.get(name) if name is not None else api_of(apis, request)
    route = (_NO_ROUTES if api is None else api.routes).resolve(request.method, request.target)
    if route is UNROUTABLE:
        return Settled(api=api, decision=MALFORMED)
    if api is None:
        return NO_API
    required, public = (None, False) if route is None else (route.scopes, route.public)
    named = extensions.get("environment")
    by_request = api.environment_source is _BY_REQUEST
    # Nearly always the operator's configuration names the API, and the environment where there are some, and no more.
    if len(extensions) != (name is not None) + (named is not None and by_request):
        required, public = _told(extensions, api, required, public=public)
    if public or (request.method == "OPTIONS" and _preflight(api, request)):
        return Settled(api=api, decision=PUBLIC, route=route)
    return Question(
        api,
        _AUTHORIZE,
        route,
        required,
        environment_of(api, named, route, request.host) if by_request else None,
        headers.get("origin"),
        request,
        None,  # the resource's organization: nobody names one
        find_text(api.credentials, headers),
        True,  # spends
        None,  # at no revision in particular
    )


def environment_of(api: Api, named: str | None, route: Route | None, host: str) -> str | None:
    """Return the environment a request is for: the caller's word, else the route's, else the host's."""
    if api.environment_source is not _BY_REQUEST:
        return None
    if named is not None:
        return named if named in api.environments else None
    if route is not None and route.environment is not None:
        return route.environment
    # Most clients write a host as it is configured.
    return api.environment_by_host.get(host) or api.environment_by_host.get(bare_host(host))


def _preflight(api: Api, request: HttpRequest) -> bool:
    # A preflight carries no credential and asks on behalf of the request that will follow it.
    wanted = request.headers.get("access-control-request-method")
    if wanted is None or "origin" not in request.headers:
        return False
    target = api.routes.resolve(wanted, request.target)
    return isinstance(target, Route) and target.preflight


def _told(
    extensions: Mapping[str, str], api: Api, required: tuple[str, ...] | None, *, public: bool
) -> tuple[tuple[str, ...] | None, bool]:
    """Unite the route's scopes with the operator's, and say whether the request is public. What is no sense denies."""
    declared = extensions.get("public", "false")
    known = EXTENSIONS.issuperset(extensions) and declared in {"true", "false"}
    if not known or ("environment" in extensions and api.environment_source is not _BY_REQUEST):
        return None, False
    named = extensions.get("required_scopes")
    if named is None:
        return required, public or declared == "true"
    scopes = named.replace(",", " ").split()
    if required is None or not scopes or not all(valid_name(scope) and scope in api.scopes for scope in scopes):
        return None, False
    return tuple(dict.fromkeys((*required, *scopes))), False
