"""Keys of organizations: made, shown once, several side by side, rotated and deleted."""

from __future__ import annotations

import re

import grpc
import pytest
from authsvc_client.v1.key_service_pb2 import DeleteKeyRequest, GetKeyRequest, ListKeysRequest, RotateKeyRequest

from tests.conformance.lines import line
from tests.support.products import Product

ANY_KEY = "/v1/organization"


def status(product: Product, key: str, target: str = ANY_KEY) -> int:
    """Return what a GET with this key is answered."""
    return product.send("GET", target, key).status


@line("op", 1)
def test_every_request_needs_a_bearer_token(product: Product) -> None:
    """`Authorization: Bearer op_live_…`, the scheme in any case, and nothing else."""
    key = product.key()

    def sent(*headers: tuple[str, str], target: str = ANY_KEY) -> int:
        return product.send("GET", target, headers=headers).status

    assert re.fullmatch(r"op_live_[0-9A-Za-z]{38}", key)
    assert [sent(("Authorization", f"{scheme} {key}")) for scheme in ("Bearer", "bearer", "BEARER")] == [200] * 3
    others = [("x-api-key", key), ("authorization", key), ("authorization", f"Token {key}"), ("cookie", f"key={key}")]
    assert [sent(header) for header in others] == [401] * 4
    assert [sent(target=target) for target in ("/", "/health", "/v1/jobs", f"{ANY_KEY}?api_key={key}")] == [401] * 4


@line("op", 5)
def test_the_key_is_shown_once(product: Product) -> None:
    """No later answer holds it, nor does the database."""
    organization = product.organization()
    made = product.create_key(organization_id=organization)
    text = made.secret

    read = product.call(product.stack.keys.GetKey, GetKeyRequest(id=made.key.id))
    filtered = ListKeysRequest(filter={"organization_id": organization})
    listed = product.call(product.stack.keys.ListKeys, filtered)
    rows = product.sql("SELECT * FROM keys")

    assert [key.id for key in listed.keys] == [made.key.id]
    assert read.key.hint == text[: len("op_live_") + 4]
    for shown in (read, listed, rows):
        assert text not in str(shown)
        assert text.removeprefix("op_live_") not in str(shown)


@line("op", 6)
def test_an_organization_holds_keys_with_different_permissions(product: Product) -> None:
    """Each does what it was made for."""
    organization = product.organization()
    jobs, credits_ = (product.key(organization_id=organization, scopes=[s]) for s in ("jobs:read", "credits:read"))

    assert [status(product, jobs, target) for target in ("/v1/jobs", "/v1/credits")] == [200, 403]
    assert [status(product, credits_, target) for target in ("/v1/jobs", "/v1/credits")] == [403, 200]


@line("op", 7)
def test_a_key_belongs_to_exactly_one_organization(product: Product) -> None:
    """The upstream is told which, and the client cannot say otherwise."""
    first, second = product.organization(), product.organization()
    forged = [("x-authsvc-organization", second), ("x-organization-id", second)]

    keys = {owner: product.key(organization_id=owner) for owner in (first, second)}

    for owner, key in keys.items():
        received = product.send("GET", ANY_KEY, key, headers=forged).received
        assert received["x-authsvc-organization"] == owner


@line("op", 19)
def test_more_access_later_is_another_key(product: Product) -> None:
    """The first one stays as it was."""
    organization = product.organization()
    narrow = product.key(organization_id=organization, scopes=["jobs:read"])
    assert status(product, narrow, "/v1/credits") == 403

    wide = product.key(organization_id=organization, scopes=["jobs:read", "credits:read"])

    assert [status(product, key, "/v1/credits") for key in (narrow, wide)] == [403, 200]


@line("op", 20)
def test_an_exposed_key_is_rotated_at_once(product: Product) -> None:
    """Without a grace the old text is dead in the next request, and the new one can do the same."""
    exposed = product.create_key(scopes=["jobs:read"])
    assert status(product, exposed.secret, "/v1/jobs") == 200

    rotated = product.call(product.stack.keys.RotateKey, RotateKeyRequest(id=exposed.key.id, grace={"seconds": 0}))

    assert status(product, exposed.secret, "/v1/jobs") == 401
    assert status(product, rotated.secret, "/v1/jobs") == 200
    assert (list(rotated.key.scopes), rotated.key.organization_id) == (["jobs:read"], exposed.key.organization_id)


@line("op", 21)
def test_a_key_can_be_deleted_at_any_time(product: Product) -> None:
    """It stops working with the next request, and is listed no more."""
    organization = product.organization()
    made = product.create_key(organization_id=organization)
    assert status(product, made.secret) == 200

    product.call(product.stack.keys.DeleteKey, DeleteKeyRequest(id=made.key.id))

    refused = product.send("GET", ANY_KEY, made.secret)
    assert (refused.status, refused.json()["error"]) == (401, "INVALID_API_KEY")
    filtered = ListKeysRequest(filter={"organization_id": organization})
    assert list(product.call(product.stack.keys.ListKeys, filtered).keys) == []


@line("op", 22)
def test_a_key_for_each_environment_is_revoked_on_its_own(product: Product) -> None:
    """The product knows no environments: they are the customer's, told apart by the keys' names."""
    organization = product.organization()
    staging, production = (product.create_key(organization_id=organization, name=n) for n in ("staging", "production"))

    product.revoke(staging.key.id)

    assert [status(product, key.secret) for key in (staging, production)] == [401, 200]
    with pytest.raises(grpc.RpcError, match="environment"):
        product.create_key(environment="staging")
