"""Publishable keys and the pages they may be used from."""

from __future__ import annotations

import grpc
import pytest
from authsvc_client.v1.key_pb2 import Key
from authsvc_client.v1.key_service_pb2 import UpdateKeyRequest
from authsvc_client.v1.restrictions_pb2 import OriginList
from google.protobuf.field_mask_pb2 import FieldMask

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.stack import Answer

APP, STAGING, LOCAL = "https://yourapp.com", "https://staging.yourapp.com", "http://localhost:3000"


def publishable(product: Product, *origins: str) -> str:
    """Return a publishable key that is used from these origins."""
    return product.key(kind="publishable", origins={"origins": origins})


def visit(product: Product, key: str, origin: str | None) -> Answer:
    """Start a verification from a page."""
    return product.send("POST", "/v1/verify", key, headers=[] if origin is None else [("origin", origin)])


def outcomes(product: Product, key: str, *origins: str) -> dict[str, int]:
    """Return the status for each page."""
    return {origin: visit(product, key, origin).status for origin in origins}


@line("veridia", 19)
def test_a_publishable_key_has_one_tenant_and_a_list(product: Product) -> None:
    """It cannot be made without origins; the upstream is told its tenant, whatever the page says."""
    refused = []
    for origins in (None, {"origins": []}):
        with pytest.raises(grpc.RpcError) as error:
            product.create_key(kind="publishable", origins=origins)
        refused.append(error.value.code())
    made = product.create_key(kind="publishable", origins={"origins": [APP, STAGING]})
    page = [("origin", APP), ("x-authsvc-organization", product.organization())]
    answer = product.send("POST", "/v1/verify", made.secret, headers=page)

    assert set(refused) == {grpc.StatusCode.INVALID_ARGUMENT}
    assert list(made.key.origins.origins) == [APP, STAGING]
    assert answer.received["x-authsvc-organization"] == made.key.organization_id


@line("veridia", 20)
def test_an_unlisted_origin_is_origin_not_allowed(product: Product) -> None:
    """403 with the documented code, and the page can read it."""
    answer = visit(product, publishable(product, APP), "https://evil.example")

    assert (answer.status, answer.json()["error"]) == (403, "origin_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "https://evil.example"
    assert answer.headers["vary"] == "origin"
    assert not [one for one in product.reached("/v1/verify") if one.headers.get("origin") == "https://evil.example"]


@line("veridia", 21)
def test_origins_are_scheme_host_and_port(product: Product) -> None:
    """Each of the three counts, and a default port is the same with and without its number."""
    key = publishable(product, APP, STAGING, LOCAL, "https://ports.example:8443")
    good = (APP, "https://yourapp.com:443", "https://YourApp.com", STAGING, LOCAL, "https://ports.example:8443")
    bad = (
        "http://yourapp.com",
        "https://yourapp.com:444",
        "https://www.yourapp.com",
        "https://yourapp.com.evil.example",
        "https://ports.example",
        "http://ports.example:8443",
        "https://localhost:3000",
    )

    assert outcomes(product, key, *good) == dict.fromkeys(good, 200)
    assert outcomes(product, key, *bad) == dict.fromkeys(bad, 403)


@line("veridia", 22)
def test_wildcards_match_subdomains(product: Product) -> None:
    """At any depth and in whole labels; never the apex, a name that ends alike, another scheme or port."""
    key = publishable(product, "*.yourapp.com")
    good = ("https://a.yourapp.com", "https://a.b.c.yourapp.com", "https://A.YourApp.com", "https://a.yourapp.com:443")
    bad = (
        "https://yourapp.com",
        "https://evilyourapp.com",
        "https://a.evilyourapp.com",
        "https://yourapp.com.evil.example",
        "https://a.yourapp.com.evil.example",
        "https://.yourapp.com",
        "https://*.yourapp.com",
        "http://a.yourapp.com",
        "https://a.yourapp.com:8443",
    )

    assert outcomes(product, key, *good) == dict.fromkeys(good, 200)
    assert outcomes(product, key, *bad) == dict.fromkeys(bad, 403)


@line("veridia", 23)
def test_localhost_only_with_its_port(product: Product) -> None:
    """Refused unless it is listed, and then with that port only."""
    listed, unlisted = publishable(product, APP, LOCAL), publishable(product, APP, "*.yourapp.com")
    others = ("http://localhost:3001", "http://localhost", "http://127.0.0.1:3000", "http://[::1]:3000")

    assert visit(product, listed, LOCAL).status == 200
    assert outcomes(product, listed, *others) == dict.fromkeys(others, 403)
    assert outcomes(product, unlisted, LOCAL, *others) == dict.fromkeys((LOCAL, *others), 403)


@line("veridia", 24)
def test_the_origin_list_can_be_edited(product: Product) -> None:
    """The key stays the same; the next request is judged by the new list."""
    made = product.create_key(kind="publishable", origins={"origins": [APP]})
    before = outcomes(product, made.secret, APP, STAGING)
    request = UpdateKeyRequest(
        id=made.key.id, key=Key(origins=OriginList(origins=[STAGING])), update_mask=FieldMask(paths=["origins"])
    )
    changed = product.call(product.stack.keys.UpdateKey, request).key
    after = outcomes(product, made.secret, APP, STAGING)

    assert list(changed.origins.origins) == [STAGING]
    assert (before, after) == ({APP: 200, STAGING: 403}, {APP: 403, STAGING: 200})


@line("veridia", 24)
def test_the_origin_list_cannot_be_edited_away(product: Product) -> None:
    """A publishable key never becomes one for every page: neither an empty list nor none is accepted."""
    made = product.create_key(kind="publishable", origins={"origins": [APP]})
    refused = []
    for changed in (Key(), Key(origins=OriginList())):
        request = UpdateKeyRequest(id=made.key.id, key=changed, update_mask=FieldMask(paths=["origins"]))
        with pytest.raises(grpc.RpcError) as error:
            product.call(product.stack.keys.UpdateKey, request)
        refused.append(error.value.code())

    assert set(refused) == {grpc.StatusCode.INVALID_ARGUMENT}
    assert visit(product, made.secret, "https://evil.example").status == 403


@line("veridia", 25)
def test_a_missing_origin_is_denied(product: Product) -> None:
    """What cannot be shown to come from a listed page does not come from one; a referer shows nothing."""
    key = publishable(product, APP)
    referer = product.send("POST", "/v1/verify", key, headers=[("referer", f"{APP}/page")])
    answers = [visit(product, key, None), visit(product, key, "null"), referer]

    assert {(answer.status, answer.json()["error"]) for answer in answers} == {(403, "origin_not_allowed")}
