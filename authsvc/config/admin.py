"""The built-in API whose keys administer this service. It is code: no file can widen it."""

from __future__ import annotations

from authsvc.config.values import parse_duration
from authsvc.domain.administration import ADMIN_API
from authsvc.domain.api import Api, EmptyScopes, EnvironmentSource, Kind, OriginPolicy, RateHeaders, Scope
from authsvc.domain.credentials import AUTHORIZATION, CredentialSource
from authsvc.domain.key_text import Alphabet, Checksum, KeyClass, KeyTable
from authsvc.domain.routes import RouteTable

_KIND = "secret"
_SCOPES = {
    "keys:read": "Show and list keys",
    "keys:write": "Create, update, rotate, revoke and delete keys",
    "keys:import": "Import keys that were made elsewhere",
    "organizations:read": "Show and list organizations",
    "organizations:write": "Create, update, suspend, reinstate and delete organizations",
    "decisions:explain": "See every rule's verdict on a request",
    "audit:read": "Read the audit log",
    "usage:read": "Read usage",
}


def admin_api() -> Api:
    """Return the API `authsvc`: no hosts and no routes, so that nothing on the data plane leads to it."""
    return Api(
        name=ADMIN_API,
        hosts=frozenset(),
        credentials=(CredentialSource(header=AUTHORIZATION, scheme="bearer"),),
        challenge="Bearer",
        keys=KeyTable([_key_class()]),
        kinds={_KIND: _kind()},
        default_kind=_KIND,
        environment_source=EnvironmentSource.NONE,
        environments=frozenset(),
        environment_by_host={},
        scopes={name: Scope(name=name, description=description) for name, description in _SCOPES.items()},
        presets={},
        empty_scopes=EmptyScopes.NONE,
        full_access_manages_keys=False,
        routes=RouteTable([]),
        limits=(),
        plans={},
        default_plan=None,
        rate_headers=RateHeaders(standard=False, legacy=False),
        client_address_header="x-forwarded-for",
        trusted_hops=0,
        hide_credential=True,
        grace=parse_duration("15m"),
        max_grace=parse_duration("24h"),
        errors={},
    )


def _key_class() -> KeyClass:
    return KeyClass(
        prefix="authsvc_",
        kind=_KIND,
        environment=None,
        alphabet=Alphabet.BASE62,
        min_length=38,
        max_length=38,
        checksum=Checksum.CRC32,
        imports=(),
    )


def _kind() -> Kind:
    return Kind(
        name=_KIND,
        ceiling=None,
        default_scopes=(),
        origins=OriginPolicy.FORBIDDEN,
        limits=(),
        cors=False,
        max_lifetime=None,
        expiry_required=False,
    )
