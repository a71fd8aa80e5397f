"""
Ready-made domain objects: everything in its place, so that a test states only what it breaks.

`record()` may do what `attempt()` asks of `api()`. Every factory takes changes by field name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from authsvc.domain.api import Api, EmptyScopes, EnvironmentSource, Kind, OriginPolicy, RateHeaders, Scope
from authsvc.domain.credentials import CredentialSource
from authsvc.domain.decision import Attempt, Bearer, KnownSender, Purpose, bearer_of
from authsvc.domain.key_text import Alphabet, Checksum, KeyClass, KeyTable
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.domain.question import HttpRequest, ToldRequest
from authsvc.domain.quotas import Algorithm, Limit, Subject, Verdict
from authsvc.domain.routes import Route, RouteTable

NOW = 1_900_000_000_000_000  # in 2030
MINUTE = 60_000_000
REVISION = Revision(epoch="00000000-0000-0000-0000-000000000001", seq=1)

BEARER = CredentialSource(header="authorization", scheme="bearer")
API_KEY = CredentialSource(header="x-api-key", scheme=None)


def limit(**changes: Any) -> Limit:
    """Ten a minute, all at once if need be, counted for the key."""
    default = Limit(
        name="per-key",
        subject=Subject.KEY,
        algorithm=Algorithm.GCRA,
        count=10,
        period_ns=60_000_000_000,
        burst=10,
    )
    return replace(default, **changes)


def verdict(**changes: Any) -> Verdict:
    """One limit with room."""
    return replace(Verdict(allowed=True, limit=limit(), remaining=9, reset_ns=1, retry_ns=0), **changes)


def key_class(**changes: Any) -> KeyClass:
    """Secret live keys: 32 random base62 characters and six of checksum."""
    default = KeyClass(
        prefix="sk_live_",
        kind="secret",
        environment="live",
        alphabet=Alphabet.BASE62,
        min_length=38,
        max_length=38,
        checksum=Checksum.CRC32,
        imports=(),
    )
    return replace(default, **changes)


def kind(**changes: Any) -> Kind:
    """An unbounded kind."""
    default = Kind(
        name="secret",
        ceiling=None,
        default_scopes=(),
        origins=OriginPolicy.OPTIONAL,
        limits=(),
        cors=False,
        max_lifetime=None,
        expiry_required=False,
    )
    return replace(default, **changes)


SECRET = kind()
PUBLISHABLE = kind(name="publishable", ceiling=frozenset({"things:create"}), origins=OriginPolicy.REQUIRED, cors=True)


def route(**changes: Any) -> Route:
    """`GET /v1/things`, which asks for `things:read`."""
    default = Route(
        method="GET",
        path="/v1/things",
        scopes=("things:read",),
        kinds=None,
        environment=None,
        public=False,
        preflight=False,
    )
    return replace(default, **changes)


def api(**changes: Any) -> Api:
    """A product with secret and publishable keys and two environments named by the host."""
    names = ("things:create", "things:read", "things:write")
    default = Api(
        name="shop",
        hosts=frozenset({"api.shop.example", "api.test.shop.example"}),
        credentials=(BEARER,),
        challenge="Bearer",
        keys=KeyTable([key_class()]),
        kinds={"secret": SECRET, "publishable": PUBLISHABLE},
        default_kind="secret",
        environment_source=EnvironmentSource.REQUEST,
        environments=frozenset({"live", "test"}),
        environment_by_host={"api.shop.example": "live", "api.test.shop.example": "test"},
        scopes={name: Scope(name=name, description="") for name in names},
        presets={},
        empty_scopes=EmptyScopes.NONE,
        full_access_manages_keys=False,
        routes=RouteTable([route()]),
        limits=(),
        plans={},
        default_plan=None,
        rate_headers=RateHeaders(standard=True, legacy=False),
        client_address_header="x-forwarded-for",
        trusted_hops=0,
        hide_credential=True,
        grace=15 * MINUTE,
        max_grace=15 * MINUTE,
        errors={},
    )
    return replace(default, **changes)


def record(**changes: Any) -> KeyRecord:
    """A live secret key that holds `things:read`."""
    default = KeyRecord(
        id="key_01J00000000000000000000001",
        api="shop",
        organization_id="org_01J00000000000000000000001",
        organization_active=True,
        organization_networks=None,
        plan=None,
        kind="secret",
        environment="live",
        scopes=("things:read",),
        full_access=False,
        origins=None,
        networks=None,
        limits=(),
        not_before=None,
        expires_at=None,
        revoked_at=None,
        deleted_at=None,
        grace_ends_at=None,
        metadata={},
        assurance=None,
    )
    return replace(default, **changes)


def spend_nothing(_: Bearer) -> tuple[Verdict, ...]:
    """Stand in for a limiter without limits."""
    return ()


def attempt(**changes: Any) -> Attempt:
    """May the bearer `GET /v1/things`, live?"""
    default = Attempt(
        api=changes.pop("api", None) or api(),
        now=NOW,
        purpose=Purpose.AUTHORIZE,
        route=route(),
        required=("things:read",),
        environment="live",
        origin=None,
        sender=KnownSender(changes.pop("source_ip", "192.0.2.1")),
        organization_id=None,
        spend=spend_nothing,
    )
    return replace(default, **changes)


def bearer(of: KeyRecord | None = None, at: Api | None = None) -> Bearer:
    """Join a record with its API."""
    return bearer_of(of or record(), at or api(), REVISION)


def http_request(**changes: Any) -> HttpRequest:
    """`GET /v1/things` with a well-formed key, on the live host."""
    default = ToldRequest(
        method="GET",
        target="/v1/things",
        host="api.shop.example",
        headers={"authorization": "Bearer sk_live_0"},
        extensions={"api": "shop"},
        told=changes.pop("peer", "192.0.2.1"),
    )
    return replace(default, **changes)
