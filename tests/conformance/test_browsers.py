"""A page in a browser: the preflight, the request, and refusals that the page can read and act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.support.products import Product
from tests.support.stack import Answer

PAGE = "https://yourapp.com"
# What a page may always send and read (Fetch standard), as far as it matters here.
ALWAYS_READ = frozenset({"cache-control", "content-length", "content-type"})
CREATE = {"veridia": "/v1/verify", "verifa": "/api/v1/sessions"}
CLOSED = {"veridia": "/v1/webhooks/decrypt", "verifa": "/api/v1/webhooks"}


@dataclass(frozen=True)
class Seen:
    """What a page learns of an answer; None stands for a network error."""

    status: int
    headers: Mapping[str, str]
    error: str


def shown(answer: Answer, origin: str) -> Seen | None:
    """Return what the browser shows a page of an answer."""
    if answer.headers.get("access-control-allow-origin") not in (origin, "*"):
        return None
    exposed = {name.strip() for name in answer.headers.get("access-control-expose-headers", "").split(",")}
    readable = {name: text for name, text in answer.headers.items() if name in exposed | ALWAYS_READ}
    return Seen(answer.status, readable, str(answer.json().get("error", "")))


def fetch(product: Product, path: str, key: str, origin: str) -> Seen | None:
    """Do what a browser does when a page calls `fetch` with a key: ask first, then send."""
    name, value = product.credential(key)
    page = ("origin", origin)
    asked = [page, ("access-control-request-method", "POST"), ("access-control-request-headers", name)]
    preflight = product.send("OPTIONS", path, headers=asked)
    allowed = {text.strip() for text in preflight.headers.get("access-control-allow-headers", "").split(",")}
    if preflight.status not in (200, 204) or name not in allowed or shown_origin(preflight) != origin:
        return None
    return shown(product.send("POST", path, headers=[page, (name, value)]), origin)


def shown_origin(answer: Answer) -> str | None:
    """Return whose page an answer is for."""
    return answer.headers.get("access-control-allow-origin")


def answers_pages(product: Product, path: str) -> None:
    """Have the upstream speak CORS, as a product with publishable keys does."""
    cors = {"access-control-allow-origin": PAGE, "vary": "origin"}
    credential = product.credential("")[0]
    product.reply("OPTIONS", path, 204, {**cors, "access-control-allow-headers": credential}, b"")
    product.reply("POST", path, 201, {**cors, "content-type": "application/json"}, b"{}")


@pytest.mark.products("veridia", "verifa")
def test_a_page_is_served_and_learns_why_it_is_refused(product: Product) -> None:
    """Allowed, refused for its key, and refused at the limit: status, code, how long to wait and what is left."""
    path = f"{CREATE[product.name]}?page={product.database}"
    answers_pages(product, path)
    key = product.key(kind="publishable", origins=product.origins(PAGE), rate_limits=["2/minute"])

    served = [fetch(product, path, key, PAGE) for _ in range(2)]
    unknown = fetch(product, path, f"{key[:-4]}0000", PAGE)
    limited = fetch(product, path, key, PAGE)

    assert [seen.status for seen in served if seen] == [201, 201]
    assert unknown is not None
    assert (unknown.status, unknown.error) == (401, {"veridia": "invalid_key", "verifa": "unauthorized"}[product.name])
    assert limited is not None
    assert (limited.status, limited.error) == (429, "rate_limited")
    assert 0 < int(limited.headers["retry-after"]) <= 60
    assert '"key";r=0;' in limited.headers["ratelimit"]
    assert '"key";q=2;w=60' in limited.headers["ratelimit-policy"]
    assert limited.headers["x-authsvc-decision-id"]


@pytest.mark.products("veridia", "verifa")
def test_a_page_elsewhere_is_stopped_twice(product: Product) -> None:
    """By the product's answer to the preflight; and where that is too generous, by the key's own list."""
    path = f"{CREATE[product.name]}?elsewhere={product.database}"
    answers_pages(product, path)
    key, evil = product.key(kind="publishable", origins=product.origins(PAGE)), "https://evil.example"

    stopped = fetch(product, path, key, evil)
    product.reply("OPTIONS", path, 204, {"access-control-allow-origin": evil, **_any_header(product)}, b"")
    refused = fetch(product, path, key, evil)

    assert stopped is None
    assert refused is not None
    assert (refused.status, refused.error) == (403, "origin_not_allowed")
    assert [one for one in product.reached(path) if one.method == "POST"] == []


@pytest.mark.products("veridia", "verifa")
def test_no_preflight_passes_for_a_route_that_is_not_for_pages(product: Product) -> None:
    """A page cannot even send the request; the upstream is not asked."""
    path = f"{CLOSED[product.name]}?preflight={product.database}"
    key = product.key(kind="publishable", origins=product.origins(PAGE))

    assert fetch(product, path, key, PAGE) is None
    assert product.reached(path) == []


def _any_header(product: Product) -> dict[str, str]:
    return {"access-control-allow-headers": product.credential("")[0]}
