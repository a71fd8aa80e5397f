"""
Who may pass, worked out from scratch: tables and exact comparisons instead of the service's own parsing.

It reads a CheckRequest's fields only, knows keys by their text, and shares no code with the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from tests.fuzz.whole_maps import OF_EXTENSIONS, OF_HEADERS, whole


@dataclass(frozen=True)
class Facts:
    """What is true of one key."""

    id: str
    api: str = "shop"
    environment: str = "live"
    scopes: frozenset[str] = frozenset({"things:read"})
    everything: bool = False
    dead: bool = False  # revoked, expired, not yet valid, deleted, or of a suspended organization
    browser: bool = False  # publishable: at most `things:create`, and only from its origins
    origins: frozenset[str] | None = None
    network: str | None = None  # the first three numbers of the addresses it may be used from


@dataclass(frozen=True)
class Place:
    """What is true of one method and path."""

    scopes: frozenset[str] = frozenset({"things:read"})
    public: bool = False
    preflight: bool = False
    environment: str | None = None


PLACES = {
    ("GET", "/v1/things"): Place(),
    ("POST", "/v1/things"): Place(frozenset({"things:create"}), preflight=True),
    ("DELETE", "/v1/things"): Place(frozenset({"things:write"})),
    ("GET", "/health"): Place(frozenset(), public=True),
    ("GET", "/test/things"): Place(environment="test"),
    ("GET", "/admin"): Place(frozenset({"things:read", "things:write"})),
}
ITEM = Place()  # GET /v1/things/{id}
CATALOGUE = {"things:read", "things:write", "things:create"}
HOSTS = {"api.shop.example": "live", "api.test.shop.example": "test"}
CREDENTIALS = {"shop": ("authorization",), "both": ("authorization", "x-api-key")}
EXTENSIONS = {"api", "environment", "public", "required_scopes"}


@dataclass
class Verdict:
    """Whether a request may pass, and as whom; nobody where no key is needed."""

    passes: bool
    key_id: str = ""
    why: str = field(default="", compare=False)


def refused(why: str) -> Verdict:
    """Say no."""
    return Verdict(passes=False, why=why)


def read_headers(request: CheckRequest) -> dict[str, list[str]] | None:
    """Return every header's values; None when one is no text."""
    http = request.attributes.request.http
    if read := whole(http, OF_HEADERS, http.headers):
        return {name: [value] for name, value in read.items()}
    found: dict[str, list[str]] = {}
    for header in http.header_map.headers:
        try:
            text = header.raw_value.decode("utf-8", "strict") if header.raw_value else header.value
        except UnicodeDecodeError:
            return None
        found.setdefault(header.key.lower(), []).append(text)
    return found


def place_of(method: str, path: str) -> Place | None:
    """Return the place a method and a path name."""
    known = PLACES.get((method, path))
    if known is None and method == "GET" and re.fullmatch(r"/v1/things/[^/\\?#\x00-\x20]+", path):
        return ITEM
    return known


def verdict(payload: bytes, keys: dict[str, Facts]) -> Verdict:  # noqa: PLR0911 - one reason after the other
    """Return who may pass with these bytes."""
    try:
        request = CheckRequest()
        request.ParseFromString(payload)
        headers = read_headers(request)
        said = whole(request.attributes, OF_EXTENSIONS, request.attributes.context_extensions)
    except Exception:  # noqa: BLE001 - whatever the parser raises
        return refused("unreadable")
    if headers is None:
        return refused("not text")
    http = request.attributes.request.http
    host = re.sub(r":[0-9]+\Z", "", http.host).lower() if http.host.isascii() else http.host
    api = said.get("api", "shop" if host in HOSTS else "")
    if api not in CREDENTIALS:
        return refused("no API")
    exempt = CREDENTIALS[api]
    if any(set(value) & set("\r\n\0") for name, values in headers.items() if name not in exempt for value in values):
        return refused("breaks lines")
    path = http.path.split("?", 1)[0]
    if not re.fullmatch(r"/[!-~]*", path) or re.search(r"#|\\|//|/\.\.?(/|;|\Z)|%2[eEfF]|%5[cC]|%00", path):
        return refused("path")
    if "#" in http.path or len(http.path) > 8192 or not re.fullmatch(r"[A-Z]+", http.method):
        return refused("target")
    if is_public(said, headers, http.method, path, api):
        return Verdict(passes=True)
    return of_key(request, headers, said, api, host, place_of(http.method, path), keys)


def sensible(said: dict[str, str], api: str) -> bool:
    """Whether the operator's words are known and do not contradict the API, which alone `both` has no environments."""
    known = set(said) <= EXTENSIONS and said.get("public", "false") in ("true", "false")
    return known and not ("environment" in said and api == "both")


def is_public(said: dict[str, str], headers: dict[str, list[str]], method: str, path: str, api: str) -> bool:
    """Whether nobody needs a key here."""
    place = place_of(method, path)
    open_to_all = said.get("public") == "true" or (place is not None and place.public)
    if open_to_all and sensible(said, api) and "required_scopes" not in said:
        return True
    if method != "OPTIONS" or "origin" not in headers:
        return False
    asked = ",".join(headers.get("access-control-request-method", []))
    target = place_of(asked, path)
    return target is not None and target.preflight


def of_key(  # noqa: C901, PLR0911 - one reason after the other
    request: CheckRequest,
    headers: dict[str, list[str]],
    said: dict[str, str],
    api: str,
    host: str,
    place: Place | None,
    keys: dict[str, Facts],
) -> Verdict:
    """Return whether the bearer of the presented key may pass."""
    presented = [(name, value) for name in CREDENTIALS[api] for value in headers.get(name, [])]
    if len(presented) != 1:
        return refused("no credential, or several")
    name, value = presented[0]
    text = value if name == "x-api-key" else value[7:] if re.match(r"[Bb][Ee][Aa][Rr][Ee][Rr] ", value) else ""
    facts = keys.get(text)
    if facts is None or facts.api != api or facts.dead:
        return refused("no such key")
    if place is None or not sensible(said, api):
        return refused("no such place")
    needed = set(place.scopes)
    if "required_scopes" in said:
        more = set(re.split(r"[,\s]+", said["required_scopes"])) - {""}
        if not more or not more <= CATALOGUE:
            return refused("scopes that do not exist")
        needed |= more
    if api == "shop" and said.get("environment", place.environment or HOSTS.get(host)) != facts.environment:
        return refused("environment")
    if facts.browser and (not needed or not needed <= {"things:create"}):
        return refused("kind")
    origin = ",".join(headers.get("origin", ["\0"])).lower()
    if facts.origins is not None and origin not in facts.origins:
        return refused("origin")
    peer = request.attributes.source.address.socket_address.address
    if facts.network is not None and not re.fullmatch(re.escape(facts.network) + r"\.\d{1,3}", peer):
        return refused("address")
    if not facts.everything and not needed <= facts.scopes:
        return refused("scopes")
    return Verdict(passes=True, key_id=facts.id)
