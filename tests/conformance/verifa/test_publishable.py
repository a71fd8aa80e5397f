"""Publishable keys: one endpoint, ten requests a minute, origins if wanted, and no way to more."""

from __future__ import annotations

import grpc
import pytest

from tests.conformance.lines import line
from tests.support.products import Product
from tests.support.tables import table

CREATE = "POST /api/v1/sessions"
ELSEWHERE = sorted({request for requests in table("verifa").routes.values() for request in requests} - {CREATE})
WIDER = ["sessions:create", "sessions:read", "verifications:read", "identities:read", "org:write"]
SHOP, EVIL = ("origin", "https://shop.example"), ("origin", "https://evil.example")


@line("verifa", 5)
def test_a_publishable_key_calls_one_endpoint_only(product: Product) -> None:
    """Any other method or path of the product is 403, and so is what does not exist."""
    key = product.key(kind="publishable")
    other = [*ELSEWHERE, "DELETE /api/v1/sessions", "PUT /api/v1/sessions", "POST /api/v1/sessions/", "POST /api/v2/x"]

    assert product.send(*CREATE.split(" "), key).status == 200
    assert {product.send(*request.split(" "), key).status for request in other} == {403}


@line("verifa", 6)
@pytest.mark.parametrize("scope", [scope for scope in table("verifa").routes if scope != "sessions:create"])
def test_a_publishable_key_cannot_be_given_more(product: Product, scope: str) -> None:
    """The grant is refused, alone and beside the one that is permitted."""
    for scopes in ([scope], ["sessions:create", scope]):
        with pytest.raises(grpc.RpcError, match="beyond what keys of kind publishable can hold"):
            product.create_key(kind="publishable", scopes=scopes)


@line("verifa", 6)
@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({"scopes": WIDER}, id="scopes"),
        pytest.param({"full_access": True}, id="full-access"),
        pytest.param({"scopes": WIDER, "full_access": True}, id="both"),
    ],
)
def test_a_wider_grant_in_the_database_opens_nothing(product: Product, stored: dict[str, object]) -> None:
    """However it got there: the ceiling holds when the decision is made."""
    made = product.create_key(kind="publishable")
    product.store(made.key.id, **stored)

    assert product.send(*CREATE.split(" "), made.secret).received["x-authsvc-scopes"] == "sessions:create"
    assert {product.send(*request.split(" "), made.secret).status for request in ELSEWHERE} == {403}


@line("verifa", 8)
def test_the_eleventh_request_in_a_minute_is_refused(product: Product) -> None:
    """Refusals for other reasons cost nothing; the answer says when to come back, and how much is left until then."""
    key = product.key(kind="publishable")
    for _ in range(3):
        assert product.send("GET", "/api/v1/sessions", key).status == 403

    answers = [product.send(*CREATE.split(" "), key) for _ in range(11)]

    assert [answer.status for answer in answers] == [200] * 10 + [429]
    left = [answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0] for answer in answers]
    assert left == [*(str(number) for number in range(9, -1, -1)), "0"]
    assert answers[-1].headers["ratelimit-policy"] == '"kind-publishable-key";q=10;w=60, "plan-free-key";q=60;w=60'
    assert 50 <= int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["error"] == "rate_limited"


@line("verifa", 8)
def test_the_window_slides(product: Product) -> None:
    """No token drips back while the minute lasts: the whole allowance returns a minute after it was spent."""
    key = product.key(kind="publishable")

    first = product.send(*CREATE.split(" "), key)

    assert first.headers["ratelimit"].startswith('"kind-publishable-key";r=9;t=60')


@line("verifa", 9)
def test_origins_restrict_only_where_they_are_listed(product: Product) -> None:
    """With a list only its origins, without one any origin and none."""
    listed = product.key(kind="publishable", origins=product.origins("https://shop.example", "*.shop.example"))
    free = product.key(kind="publishable")

    def statuses(key: str) -> list[int]:
        sent = [[SHOP], [("origin", "https://eu.shop.example")], [EVIL], []]
        return [product.send(*CREATE.split(" "), key, headers=headers).status for headers in sent]

    assert statuses(listed) == [200, 200, 403, 403]
    assert statuses(free) == [200, 200, 200, 200]


@line("verifa", 9)
def test_a_browser_can_read_the_refusal(product: Product) -> None:
    """The page is told why, by CORS headers on the refusal."""
    key = product.key(kind="publishable", origins=product.origins("https://shop.example"))

    answer = product.send(*CREATE.split(" "), key, headers=[EVIL])

    assert (answer.status, answer.json()["error"]) == (403, "origin_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "https://evil.example"
    assert answer.headers["vary"] == "origin"


@line("verifa", 9)
def test_the_upstream_answers_the_preflight(product: Product) -> None:
    """A preflight for the one endpoint passes without a key; for any other it does not."""
    headers = {"access-control-allow-origin": "https://shop.example", "access-control-allow-headers": "x-api-key"}
    product.reply("OPTIONS", "/api/v1/sessions?preflight", 204, headers, b"")
    asked = [SHOP, ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")]

    answer = product.send("OPTIONS", "/api/v1/sessions?preflight", headers=asked)

    assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, "x-api-key")
    assert product.send("OPTIONS", "/api/v1/webhooks", headers=asked).status == 401
    assert product.send("OPTIONS", "/api/v1/sessions", headers=[SHOP]).status == 401


@line("verifa", 25)
def test_a_new_publishable_key_does_not_get_the_five_defaults(product: Product) -> None:
    """It gets the one scope that it can hold."""
    assert list(product.create_key(kind="publishable").key.scopes) == ["sessions:create"]
