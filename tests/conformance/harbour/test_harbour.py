"""
A fifth product, whose configuration was written from docs/configuration.md alone.

It mixes what the four real ones do apart. Where the page left its author guessing, the page was mended.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from authsvc_client.v1.key_service_pb2 import RevokeKeyRequest, RotateKeyRequest
from google.protobuf.duration_pb2 import Duration

from tests.support.products import Product
from tests.support.stack import Answer

TRACK, SANDBOX = "/v1/parcels/p1", "/sandbox/v1/parcels/p1"
SHOP, EVIL = ("origin", "https://shop.example"), ("origin", "https://evil.example")


def widget(product: Product, **fields: Any) -> str:
    """Return a key for the shop's page."""
    return product.key(kind="widget", origins=product.origins(SHOP[1]), **fields)


def partner(product: Product, **fields: Any) -> str:
    """Return a haulier's key for a week."""
    return product.key(kind="partner", expires_at=datetime.now(UTC) + timedelta(days=7), **fields)


def code(answer: Answer) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status, answer.json()["error"]["code"]


def refused(product: Product, **fields: Any) -> str:
    """Return why a key cannot be made."""
    with pytest.raises(grpc.RpcError) as error:
        product.create_key(**fields)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details: str = error.value.details()
    return details


def test_a_key_comes_in_one_of_two_headers(product: Product) -> None:
    """Either will do and neither reaches the upstream; both at once are ambiguous, even with the same key."""
    key = product.key()
    bearer, scanner = ("authorization", f"Bearer {key}"), ("x-harbour-key", key)

    answers = [product.send("GET", TRACK, headers=[header]) for header in (bearer, scanner)]
    both = product.send("GET", TRACK, headers=[bearer, scanner])

    assert [answer.status for answer in answers] == [200, 200]
    assert not [answer for answer in answers if {"authorization", "x-harbour-key"} & set(answer.received)]
    assert both.body == b'{"ok": false, "error": {"code": "NO_KEY"}}'
    assert (both.status, both.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("fields", "looks"),
    [
        pytest.param({}, r"hb_[0-9A-Za-z]{38}", id="server"),
        pytest.param({"environment": "test"}, r"hb_test_[0-9A-Za-z]{38}", id="server-test"),
        pytest.param({"kind": "widget", "origins": {"origins": [SHOP[1]]}}, r"hbw_[0-9A-Z]{30}", id="widget"),
        pytest.param(
            {"kind": "partner", "expires_at": datetime(2099, 1, 1, tzinfo=UTC)}, r"hbp_[0-9a-f]{40}", id="partner"
        ),
    ],
)
def test_every_kind_has_keys_of_its_own_make(product: Product, fields: dict[str, Any], looks: str) -> None:
    """Prefix, alphabet and length; a typo is refused, with a checksum or without."""
    if fields.get("kind") == "partner":
        assert "at most 30 days" in refused(product, **fields)
        fields = {**fields, "expires_at": datetime.now(UTC) + timedelta(days=29)}
    key = product.key(**fields)
    path = SANDBOX if fields.get("environment") == "test" else TRACK
    page = [SHOP] if fields.get("kind") == "widget" else []

    assert re.fullmatch(looks, key)
    assert product.send("GET", path, key, headers=page).status == 200
    typo = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert code(product.send("GET", path, typo, headers=page)) == (401, "BAD_KEY")


def test_keys_from_before_the_prefixes_are_good(product: Product) -> None:
    """They are found under the text they have; what begins like a newer class is held to that one's form."""
    old, alike = f"2019/old~key/{product.database:->12}", f"hb_2019-{product.database:->20}"
    for text in (old, alike):
        product.store_text(product.create_key().key.id, text)

    assert product.send("GET", TRACK, old).received["x-authsvc-environment"] == "live"
    assert code(product.send("GET", TRACK, alike)) == (401, "BAD_KEY")


def test_the_path_says_which_environment_is_meant(product: Product) -> None:
    """Each key on its own side, told to the upstream; on the other the API's own error, and /status needs nothing."""
    keys = {environment: product.key(environment=environment) for environment in ("live", "test")}
    paths = {"live": TRACK, "test": SANDBOX}

    for environment, key in keys.items():
        for asked, path in paths.items():
            answer = product.send("GET", path, key, headers=[("x-authsvc-environment", asked)])
            if asked == environment:
                assert answer.received["x-authsvc-environment"] == environment
            else:
                assert code(answer) == (409, "WRONG_ENVIRONMENT")
    assert product.send("GET", "/status").received["x-authsvc-environment"] == ""


def test_where_the_path_says_nothing_the_host_does(product: Product) -> None:
    """Exactly, in any case and with any port; a host that stands for neither leads nowhere."""
    live, test = product.key(), product.key(environment="test")

    def ask(key: str, host: str) -> Answer:
        return product.send("GET", "/v1/quays", key, host=host)

    assert ask(live, "live.harbour.example").received["x-authsvc-environment"] == "live"
    assert ask(test, "TEST.harbour.example:8443").received["x-authsvc-environment"] == "test"
    assert code(ask(live, "test.harbour.example")) == (409, "WRONG_ENVIRONMENT")
    for nowhere in ("api.harbour.example", "live.harbour.example.evil.example", "xlive.harbour.example"):
        assert code(ask(live, nowhere)) == (404, "NOT_FOUND")
    # What the route says, no host can change.
    assert product.send("GET", TRACK, test, host="test.harbour.example").status == 409


def test_each_kind_comes_as_far_as_it_may(product: Product) -> None:
    """By its ceiling, by the routes that name it, and by where its requests come from."""
    server, page, haulier = product.key(preset="accounting"), widget(product), partner(product, preset="shipping")

    assert product.send("GET", "/v1/invoices/2026/1", server).status == 200
    assert product.send("GET", "/v1/me", haulier).status == 200
    assert product.send("POST", "/v1/parcels", haulier).status == 200
    assert code(product.send("GET", "/v1/invoices/2026/1", haulier)) == (403, "WRONG_KIND_OF_KEY")
    assert code(product.send("GET", "/v1/me", page, headers=[SHOP])) == (403, "WRONG_KIND_OF_KEY")
    assert code(product.send("POST", "/v1/parcels", page, headers=[SHOP])) == (403, "WRONG_KIND_OF_KEY")
    for headers in ([], [EVIL]):
        assert code(product.send("GET", TRACK, page, headers=headers)) == (403, "WRONG_PAGE")
    # A server's key in a browser has leaked.
    assert code(product.send("GET", "/v1/invoices/1", server, headers=[SHOP])) == (403, "WRONG_PAGE")


def test_what_a_kind_cannot_be(product: Product) -> None:
    """Each refusal names its field."""
    assert refused(product, kind="widget").startswith("origins: ")
    assert refused(product, kind="partner").startswith("expires_at: ")
    assert refused(product, origins=product.origins(SHOP[1])).startswith("origins: ")
    assert refused(product, kind="widget", environment="test", origins=product.origins(SHOP[1])).startswith("environ")


def test_presets_are_named_sets_of_scopes(product: Product) -> None:
    """Expanded when the key is made; beyond the kind they are refused whole."""
    week = {"kind": "partner", "expires_at": datetime.now(UTC) + timedelta(days=7)}

    assert list(product.create_key(preset="shipping").key.scopes) == ["parcels:book", "parcels:track"]
    assert list(product.create_key(preset="shipping", **week).key.scopes) == ["parcels:book", "parcels:track"]
    assert list(product.create_key().key.scopes) == ["parcels:track"]
    assert refused(product, preset="accounting", **week).startswith("preset: accounting is beyond")
    assert refused(product, preset="admin") == "preset: one of accounting, shipping"
    assert refused(product, preset="shipping", scopes=["invoices:read"]).startswith("preset: stands in place")


def test_the_plans_limit_is_the_keys_and_the_apis_is_the_organizations(product: Product) -> None:
    """Five a key, eight together; what one limit refuses is missing from no other."""
    organization = product.organization()
    one, two = (product.key(organization_id=organization) for _ in range(2))

    first = [product.send("GET", TRACK, one) for _ in range(7)]
    second = [product.send("GET", TRACK, two) for _ in range(4)]

    assert [answer.status for answer in first] == [200] * 5 + [429] * 2
    assert [answer.status for answer in second] == [200] * 3 + [429]
    assert first[-1].json() == {"ok": False, "error": {"code": "SLOW_DOWN", "seconds": int(_wait(first[-1]))}}
    assert 0 < int(_wait(first[-1])) <= 12
    assert 50 <= int(_wait(second[-1])) <= 60
    assert second[-1].headers["x-docs"] == "https://harbour.example/docs/limits"


def test_the_older_headers_tell_of_the_tightest_limit(product: Product) -> None:
    """Beside the standard ones, which tell of all."""
    answer = product.send("GET", TRACK, product.key())

    assert answer.headers["ratelimit-policy"] == '"plan-small-key";q=5;w=60, "organization";q=8;w=60'
    assert answer.headers["ratelimit"].startswith('"plan-small-key";r=4;')
    assert {name: answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining")} == {
        "limit": "5",
        "remaining": "4",
    }


def test_a_page_has_three_a_minute_whatever_the_plan(product: Product) -> None:
    """The kind's own window, in a plan without limits."""
    key = widget(product, organization_id=product.organization(plan="large"))

    answers = [product.send("GET", TRACK, key, headers=[SHOP]) for _ in range(4)]

    assert [answer.status for answer in answers] == [200] * 3 + [429]
    assert answers[-1].headers["access-control-allow-origin"] == SHOP[1]
    exposed = answers[-1].headers["access-control-expose-headers"].split(", ")
    assert {"retry-after", "ratelimit", "x-ratelimit-remaining", "x-docs"} <= set(exposed)


def test_refusals_are_worded_exactly(product: Product) -> None:
    """Order and blanks of the template, statuses of the product's own, and the first missing scope as declared."""
    key = product.key(scopes=["invoices:write"])
    missing = product.send("PUT", "/v1/invoices/7", key)
    unknown = product.send("GET", "/v2", key)
    other = product.send("GET", "/v1/a;b=%3b/%25", key)

    assert missing.body == (b'{"ok": false, "error": {"code": "MISSING_PERMISSION", "permission": "invoices:read"}}')
    assert (unknown.status, unknown.body) == (404, b'{"ok": false, "error": {"code": "NOT_FOUND"}}')
    decision = other.headers["x-authsvc-decision-id"]
    text = "The request is malformed or ambiguous."
    assert (
        other.body.decode() == f'{{"ok": false, "error": {{"code": "DENIED", "text": "{text}", "ref": "{decision}"}}}}'
    )
    assert {answer.headers["x-docs"] for answer in (missing, unknown, other)} == {"https://harbour.example/docs/errors"}


def test_a_rotated_key_works_for_its_grace(product: Product) -> None:
    """An hour unless said otherwise, at most twelve; revoking ends it at once."""
    long, short, ended = (product.create_key() for _ in range(3))

    def rotate(key_id: str, **fields: Any) -> Any:
        return product.call(product.stack.keys.RotateKey, RotateKeyRequest(id=key_id, **fields))

    rotated = rotate(long.key.id)
    rotate(short.key.id, grace=Duration(seconds=1))
    rotate(ended.key.id)
    with pytest.raises(grpc.RpcError) as too_long:
        rotate(product.create_key().key.id, grace=Duration(seconds=12 * 3600 + 1))
    product.call(product.stack.keys.RevokeKey, RevokeKeyRequest(id=ended.key.id))
    time.sleep(1.1)

    assert rotated.predecessor.grace_ends_at.seconds - rotated.key.created_at.seconds == 3600
    assert too_long.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert product.send("GET", TRACK, long.secret).status == 200
    for dead in (short, ended):
        assert code(product.send("GET", TRACK, dead.secret)) == (401, "BAD_KEY")


def _wait(answer: Answer) -> str:
    return answer.headers["retry-after"]
