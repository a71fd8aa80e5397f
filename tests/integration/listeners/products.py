"""Three products that differ in where they expect a key, and a key of each."""

from __future__ import annotations

from dataclasses import replace

from authsvc.domain.api import Api
from authsvc.domain.credentials import CredentialSource
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.domain.routes import RouteTable
from tests.support.builders import API_KEY, BEARER, key_class, record, route
from tests.support.doors import KEY, SHOP, Door, door, new_key

ROUTES = RouteTable(
    [
        route(),
        route(method="POST", scopes=("things:create",)),
        route(path="/x"),
        route(path="/admin"),
        route(path="/admin/users"),
        route(path="/users"),
        route(path="/files/**"),
        route(path="/public", public=True, scopes=()),
        route(path="/public/**", public=True, scopes=()),
        route(method="PUT", path="/embed", preflight=True),
        route(path="/sandbox", environment="test"),
    ]
)
LIVE = key_class()
TEST = key_class(prefix="sk_test_", environment="test")
PUBLISHABLE = key_class(prefix="pk_", kind="publishable", checksum=Checksum.NONE, min_length=20, max_length=20)
UPPER = key_class(prefix="up_", alphabet=Alphabet.UPPER, checksum=Checksum.NONE, min_length=30, max_length=30)
CLASSES = KeyTable([LIVE, TEST, PUBLISHABLE, UPPER])

BY_BEARER: Api = replace(SHOP, routes=ROUTES, keys=CLASSES)
BY_HEADER: Api = replace(BY_BEARER, name="header", hosts=frozenset(), credentials=(API_KEY,))
BY_BOTH: Api = replace(BY_BEARER, name="both", hosts=frozenset(), credentials=(BEARER, API_KEY))
BY_TOKEN: Api = replace(
    BY_BEARER,
    name="token",
    hosts=frozenset(),
    credentials=(CredentialSource(header="authorization", scheme="token"),),
)
HEADER_KEY, BOTH_KEY, OTHER_BOTH_KEY, TOKEN_KEY = (new_key(seed=seed) for seed in (11, 12, 13, 14))
UNKNOWN_KEY = new_key(seed=15)
# `things:read` and nothing more, whatever the product.
KEYS = {
    KEY: record(),
    HEADER_KEY: record(id="key_header", api="header"),
    BOTH_KEY: record(id="key_both", api="both"),
    OTHER_BOTH_KEY: record(id="key_both_2", api="both"),
    TOKEN_KEY: record(id="key_token", api="token"),
}


def products() -> Door:
    """Build a data plane with all of them."""
    return door(KEYS, BY_BEARER, BY_HEADER, BY_BOTH, BY_TOKEN)
