"""What scopes open, which a new key has, and that none implies another."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.lines import LINES, line
from tests.support.products import Product
from tests.support.stack import Answer
from tests.support.tables import table

DEFAULTS = ["identities:read", "sessions:create", "sessions:read", "sessions:write", "verifications:read"]
ROUTES = table("verifa").routes
MANAGEMENT = sorted(set(ROUTES) - set(DEFAULTS))


def ask(product: Product, request: str, key: str) -> Answer:
    """Send `METHOD target`."""
    return product.send(*request.split(" "), key)


def opens(product: Product, key: str) -> set[str]:
    """Return the requests that a key may make, of all there are."""
    return {request for requests in ROUTES.values() for request in requests if ask(product, request, key).status == 200}


@line("verifa", 4)
def test_a_secret_key_does_what_its_scopes_say_with_every_method(product: Product) -> None:
    """Exactly the requests of its scopes, of all requests there are."""
    scopes = ["webhooks:read", "webhooks:write", "screening:write", "keys:write"]

    opened = opens(product, product.key(scopes=scopes))

    assert opened == {request for scope in scopes for request in ROUTES[scope]}
    assert {request.split(" ")[0] for request in opened} == {"GET", "POST", "PUT", "PATCH", "DELETE"}


@line("verifa", 7)
def test_results_need_a_secret_key(product: Product) -> None:
    """A secret key with the scope reads them, a publishable one never does."""
    secret, page = product.key(scopes=["verifications:read"]), product.key(kind="publishable")

    for request in ROUTES["verifications:read"]:
        assert (ask(product, request, secret).status, ask(product, request, page).status) == (200, 403)


@line("verifa", 11)
@pytest.mark.parametrize("scope", ["sessions", "sessions:", ":read", "Sessions:read", "sessions:read:own", "*"])
def test_a_scope_is_resource_and_action(product: Product, scope: str) -> None:
    """Nothing else can be granted."""
    with pytest.raises(grpc.RpcError, match="a scope is written resource:action"):
        product.create_key(scopes=[scope])


@line("verifa", 11)
def test_a_scope_that_does_not_exist_cannot_be_granted(product: Product) -> None:
    """A typing mistake is told."""
    with pytest.raises(grpc.RpcError, match="verifa has no scope sessions:reed"):
        product.create_key(scopes=["sessions:reed"])


@line("verifa", 12)
def test_a_new_key_has_exactly_the_five_defaults(product: Product) -> None:
    """In its record, and in what the upstream is told."""
    made = product.create_key()

    assert list(made.key.scopes) == DEFAULTS
    received = product.send("GET", "/api/v1/sessions", made.secret).received
    assert received["x-authsvc-scopes"] == " ".join(DEFAULTS)


@line("verifa", 13)
def test_management_scopes_are_granted_only_when_named(product: Product) -> None:
    """None of the seventeen opens anything for a new key, and each can be named."""
    plain, named = product.key(), product.create_key(scopes=MANAGEMENT)

    assert len(MANAGEMENT) == 17
    assert opens(product, plain) == {request for scope in DEFAULTS for request in ROUTES[scope]}
    assert list(named.key.scopes) == MANAGEMENT


@line("verifa", 14)
def test_creating_and_writing_sessions_do_not_imply_each_other(product: Product) -> None:
    """Nor does either imply reading."""
    assert opens(product, product.key(scopes=["sessions:create"])) == set(ROUTES["sessions:create"])
    assert opens(product, product.key(scopes=["sessions:write"])) == set(ROUTES["sessions:write"])


@line("verifa", 15)
@pytest.mark.parametrize("scope", ["sessions:read", "verifications:read", "identities:read"])
def test_a_read_scope_opens_its_own_resources(product: Product, scope: str) -> None:
    """Lists, single ones, and the documents of a verification."""
    assert opens(product, product.key(scopes=[scope])) == set(ROUTES[scope])


@line("verifa", 16)
def test_keys_are_listed_with_one_scope_and_made_and_revoked_with_the_other(product: Product) -> None:
    """There is no update, with either."""
    both = product.key(scopes=["keys:read", "keys:write"])

    assert opens(product, product.key(scopes=["keys:read"])) == {"GET /api/v1/keys"}
    assert opens(product, product.key(scopes=["keys:write"])) == {"POST /api/v1/keys", "DELETE /api/v1/keys/k1"}
    assert [ask(product, f"{method} /api/v1/keys/k1", both).status for method in ("PATCH", "PUT")] == [403, 403]


@line("verifa", 17)
@pytest.mark.parametrize("scope", sorted(set(MANAGEMENT) - {"keys:read", "keys:write"}))
def test_a_management_scope_opens_its_own_endpoints(product: Product, scope: str) -> None:
    """And nothing of its twin or of anything else."""
    assert opens(product, product.key(scopes=[scope])) == set(ROUTES[scope])


def test_the_lines_name_every_scope() -> None:
    """The table has the catalogue's 22 scopes."""
    assert len(ROUTES) == len(DEFAULTS) + 17
    assert LINES["verifa"][12] == "A new key has exactly the five default scopes"
