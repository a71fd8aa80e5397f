"""Where a key may sit in a request, and where not: through a real gRPC server, as Envoy calls it."""

from __future__ import annotations

import base64
import urllib.parse
from typing import Any

import pytest

from authsvc.domain.api import OriginPolicy
from tests.integration.listeners.products import (
    BOTH_KEY,
    HEADER_KEY,
    OTHER_BOTH_KEY,
    TOKEN_KEY,
    UNKNOWN_KEY,
    products,
)
from tests.support.doors import (
    ALLOWED,
    BAD_REQUEST,
    INVALID_KEY,
    KEY,
    NO_ROUTE,
    UNAUTHORIZED,
    check_request,
    serving,
)

pytestmark = pytest.mark.usefixtures("listener")

BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()
QUOTED = urllib.parse.quote(KEY.replace("_", "%5F"), safe="%")
HEADER, BOTH, TOKEN = {"api": "header"}, {"api": "both"}, {"api": "token"}


def auth(value: str, **more: Any) -> dict[str, Any]:
    """Send one Authorization header."""
    return {"headers": [("authorization", value)], **more}


def header(value: str, **more: Any) -> dict[str, Any]:
    """Send one X-API-Key header to the product that expects it."""
    return {"headers": [("x-api-key", value)], "extensions": HEADER, **more}


def both(bearer: str, api_key: str) -> dict[str, Any]:
    """Send a bearer token and an X-API-Key."""
    return {"headers": [("authorization", f"Bearer {bearer}"), ("x-api-key", api_key)]}


ROWS: dict[str, tuple[dict[str, Any], tuple[int, int, str]]] = {
    # Credentials.
    "A1": ({}, UNAUTHORIZED),
    "A2-empty": (auth(""), UNAUTHORIZED),
    "A2-blanks": (auth("   "), UNAUTHORIZED),
    "A3-scheme": (auth("Bearer"), UNAUTHORIZED),
    "A3-scheme-and-blank": (auth("Bearer "), UNAUTHORIZED),
    "A4-lower": (auth(f"bearer {KEY}"), ALLOWED),
    "A4-upper": (auth(f"BEARER {KEY}"), ALLOWED),
    "A4-mixed": (auth(f"bEaReR {KEY}"), ALLOWED),
    "A4-other-letters": (auth(f"Bea\u0280er {KEY}"), UNAUTHORIZED),
    "A5-two-blanks": (auth(f"Bearer  {KEY}"), UNAUTHORIZED),
    "A5-tab": (auth(f"Bearer\t{KEY}"), UNAUTHORIZED),
    "A5-leading-blank": (auth(f" Bearer {KEY}"), UNAUTHORIZED),
    "A5-no-break-space": (auth(f"Bearer\u00a0{KEY}"), UNAUTHORIZED),
    "A8-basic": (auth(f"Basic {BASIC}"), UNAUTHORIZED),
    "A8-token": (auth(f"Token {KEY}"), UNAUTHORIZED),
    "A8-apikey": (auth(f"ApiKey {KEY}"), UNAUTHORIZED),
    "A8-token-enabled": (auth(f"Token {TOKEN_KEY}", extensions=TOKEN), ALLOWED),
    "A8-bearer-not-enabled": (auth(f"Bearer {TOKEN_KEY}", extensions=TOKEN), UNAUTHORIZED),
    "A9": (auth(KEY), UNAUTHORIZED),
    "A10-extra": (auth(f"Bearer {KEY} extra"), UNAUTHORIZED),
    "A10-two": (auth(f"Bearer {KEY}, Bearer {UNKNOWN_KEY}"), UNAUTHORIZED),
    "A10-parameters": (auth(f'Bearer {KEY} realm="x"'), UNAUTHORIZED),
    "A11-query": ({"path": f"/v1/things?api_key={KEY}"}, UNAUTHORIZED),
    "A11-cookie": ({"headers": [("cookie", f"api_key={KEY}")]}, UNAUTHORIZED),
    "A11-host": ({"host": f"user:{KEY}@api.shop.example"}, UNAUTHORIZED),
    "A11-proxy": ({"headers": [("proxy-authorization", f"Bearer {KEY}")]}, UNAUTHORIZED),
    "A12-bearer": (auth(f"Bearer {KEY}\n"), UNAUTHORIZED),
    "A12-header": (header(f"{HEADER_KEY}\n"), UNAUTHORIZED),
    "A12-carriage-return": (auth(f"Bearer {KEY}\r\n"), UNAUTHORIZED),
    "A12-nul": (auth(f"Bearer {KEY}\0"), UNAUTHORIZED),
    "A14-quoted": (auth(f'Bearer "{KEY}"'), UNAUTHORIZED),
    "A14-single-quoted": (header(f"'{HEADER_KEY}'"), UNAUTHORIZED),
    "A14-percent-encoded": (auth(f"Bearer {QUOTED}"), UNAUTHORIZED),
    "A15-both-configured": ({**both(BOTH_KEY, OTHER_BOTH_KEY), "extensions": BOTH}, UNAUTHORIZED),
    "A15-both-configured-equal": ({**both(BOTH_KEY, BOTH_KEY), "extensions": BOTH}, UNAUTHORIZED),
    "A15-both-configured-one-empty": ({**both(BOTH_KEY, ""), "extensions": BOTH}, UNAUTHORIZED),
    "A15-both-configured-one-sent": (auth(f"Bearer {BOTH_KEY}", extensions=BOTH), ALLOWED),
    "A15-both-configured-other-sent": (header(BOTH_KEY, extensions=BOTH), ALLOWED),
    "A15-one-configured": (both(KEY, OTHER_BOTH_KEY), ALLOWED),
    "A15-other-configured": ({**both(KEY, HEADER_KEY), "extensions": HEADER}, ALLOWED),
    # Headers.
    "B1-good-bad": (header(f"{HEADER_KEY},{UNKNOWN_KEY}"), UNAUTHORIZED),
    "B1-good-good": (header(f"{HEADER_KEY},{HEADER_KEY}"), UNAUTHORIZED),
    "B1-good-blank-bad": (header(f"{HEADER_KEY}, {UNKNOWN_KEY}"), UNAUTHORIZED),
    "B1-comma-at-the-end": (header(f"{HEADER_KEY},"), UNAUTHORIZED),
    "B1-bearer": (auth(f"Bearer {KEY},Bearer {KEY}"), UNAUTHORIZED),
    "B4-underscores": ({"headers": [("x_api_key", HEADER_KEY)], "extensions": HEADER}, UNAUTHORIZED),
    "B4-dots": ({"headers": [("x.api.key", HEADER_KEY)], "extensions": HEADER}, UNAUTHORIZED),
    "B4-blank-behind": ({"headers": [("x-api-key ", HEADER_KEY)], "extensions": HEADER}, UNAUTHORIZED),
    "B4-blank-before": ({"headers": [(" x-api-key", HEADER_KEY)], "extensions": HEADER}, UNAUTHORIZED),
    "B11-line-break": ({"headers": [("x-note", "a\r\nb")], "key": KEY}, BAD_REQUEST),
    "B11-nul": ({"headers": [("x-note", "a\0b")], "key": KEY}, BAD_REQUEST),
    "B11-in-origin": ({"headers": [("origin", "https://a.example\r\nx: y")], "key": KEY}, BAD_REQUEST),
    "B12-raw": ({"headers": [("x-note", b"\xff\xfe")], "key": KEY, "raw": True}, BAD_REQUEST),
    "B14-kubelet": ({"headers": [("user-agent", "kube-probe/1.30")]}, UNAUTHORIZED),
    "B14-load-balancer": ({"headers": [("user-agent", "GoogleHC/1.0")]}, UNAUTHORIZED),
    "B14-elb": ({"headers": [("user-agent", "ELB-HealthChecker/2.0")], "path": "/healthz"}, UNAUTHORIZED),
    # Texts of keys.
    "F1": (auth(f"Bearer {KEY[:-1]}{'a' if KEY[-1] != 'a' else 'b'}"), INVALID_KEY),
    "F2": (auth(f"Bearer {UNKNOWN_KEY}"), INVALID_KEY),
    "F4-longer-prefix": (auth("Bearer pk_test_aaaaaaaaaaaaaaa"), INVALID_KEY),
    "F4-prefix-alone": (auth("Bearer pk_"), INVALID_KEY),
    "F6-10-kib": (auth("Bearer " + "a" * 10_240), UNAUTHORIZED),
    "F6-200-kib": (auth("Bearer " + "a" * 204_800), UNAUTHORIZED),
    "F6-129": (auth("Bearer " + "a" * 129), UNAUTHORIZED),
    "F6-128": (auth("Bearer " + "a" * 128), INVALID_KEY),
    "F9-sql": (auth("Bearer ' OR 1=1 --"), UNAUTHORIZED),
    "F9-sql-without-blanks": (auth("Bearer '/**/OR/**/1=1--"), UNAUTHORIZED),
    "F9-document": (auth("Bearer $where"), INVALID_KEY),
    "F9-percent": (auth("Bearer %s"), UNAUTHORIZED),
    "F9-braces": (auth("Bearer {0}"), INVALID_KEY),
    "F10-not-ascii": (auth("Bearer sk_live_\u00e9\u4e16"), UNAUTHORIZED),
    "F10-full-width": (auth(f"Bearer {KEY[:-1]}\uff21"), UNAUTHORIZED),
    "F12": (auth(f"Bearer {KEY.swapcase()}"), INVALID_KEY),
    "F12-prefix-in-upper-case": (auth(f"Bearer {KEY[:8].upper()}{KEY[8:]}"), INVALID_KEY),
    "F13": (auth("Bearer legacy-0123456789abcdef"), INVALID_KEY),
}
# Rows that a text alone refuses: nothing may be asked of the database.
LOADS = {"F2": 1}


@pytest.mark.parametrize(
    ("row", "request_", "expected"), [pytest.param(row, *case, id=row) for row, case in ROWS.items()]
)
async def test_row(row: str, request_: dict[str, Any], expected: tuple[int, int, str]) -> None:
    """One hostile request, one outcome; a refusal by the text alone costs no query."""
    built = products()
    async with serving(built) as served:
        answer = await served.ask(**request_)

    assert answer.outcome == expected
    assert (1 if expected == ALLOWED else LOADS.get(row, 0)) == built.store.loads
    assert answer.headers.get("www-authenticate") == ("Bearer" if answer.status == 401 else None)


@pytest.mark.parametrize("api", ["shop", "header", "both"])
@pytest.mark.parametrize("second", ["same", "unknown", "empty"])
async def test_b2_repeated_in_raw_form(api: str, second: str) -> None:
    """B2: with `encode_raw_headers` a repeated credential is none, whatever the second one is."""
    key = {"shop": KEY, "header": HEADER_KEY, "both": BOTH_KEY}[api]
    name, scheme = ("x-api-key", "") if api == "header" else ("authorization", "Bearer ")
    other = {"same": key, "unknown": UNKNOWN_KEY, "empty": ""}[second]
    async with serving(products()) as served:
        once = await served.ask(headers=[(name, scheme + key)], raw=True, extensions={"api": api})
        twice = [
            await served.ask(headers=[(name, scheme + each) for each in order], raw=True, extensions={"api": api})
            for order in ((key, other), (other, key))
        ]

    assert once.outcome == ALLOWED
    assert [each.outcome for each in twice] == [UNAUTHORIZED, UNAUTHORIZED]


@pytest.mark.parametrize("at", ["x-note", "authorization", "api.shop.example", "/v1/things", "192.0.2.1", "GET"])
async def test_b12_text_that_is_not_utf8(at: str) -> None:
    """B12: one byte that is no UTF-8, in any field."""
    payload = check_request(key=KEY, headers={"x-note": "x"}).SerializeToString()
    assert at.encode() in payload
    async with serving(products()) as served:
        answer = await served.check(payload.replace(at.encode(), at.encode()[:-1] + b"\xff"))

    assert answer.outcome == BAD_REQUEST


FORGED = ["x-authsvc-organization", "x-authsvc-kind", "x-authsvc-anything", "x_authsvc_organization", "x_authsvc-a"]


@pytest.mark.parametrize("name", FORGED)
async def test_b6_b7_forged_identity(name: str) -> None:
    """B6, B7: a client's identity headers are overwritten or removed on an allow, and never echoed on a denial."""
    async with serving(products()) as served:
        allowed = await served.ask(key=KEY, headers={name: "forged"})
        denied = await served.ask(headers={name: "forged"})

    assert (name in allowed.headers) != (name in allowed.removed)
    assert b"forged" not in allowed.message.SerializeToString()
    assert b"forged" not in denied.message.SerializeToString()


NEVER_READ = [
    ("x-envoy-original-path", "/public"),
    ("x-forwarded-uri", "/public"),
    ("x-original-url", "/public"),
    ("x-rewrite-url", "/public"),
    ("x-original-method", "OPTIONS"),
    ("x-http-method-override", "GET"),
    ("x-method-override", "GET"),
    ("x-forwarded-method", "GET"),
    ("x-forwarded-host", "other.example"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1;host=x"),
    ("x-envoy-auth-failure-mode-allowed", "true"),
    ("x-envoy-external-address", "10.0.0.1"),
    (":path", "/public"),
    (":method", "OPTIONS"),
    (":authority", "other.example"),
    ("host", "other.example"),
    ("user-agent", "kube-probe/1.30"),
    ("referer", "https://app.example/"),
]


@pytest.mark.parametrize(("name", "value"), NEVER_READ, ids=[name for name, _ in NEVER_READ])
async def test_b9_b10_headers_that_are_never_read(name: str, value: str) -> None:
    """B9, B10, B14: the answer is the same with and without them, whether the request may pass or not."""
    cases: list[dict[str, Any]] = [
        {"key": KEY},
        {},
        {"key": KEY, "method": "POST"},
        {"key": KEY, "path": "/nowhere"},
        {"path": "/admin"},
    ]
    async with serving(products()) as served:
        without = [(await served.ask(**case)).outcome for case in cases]
        with_it = [(await served.ask(**case, headers=[(name, value)])).outcome for case in cases]

    assert without == with_it
    assert without[0] == ALLOWED
    assert without[1:] == [UNAUTHORIZED, (7, 403, "insufficient_scope"), NO_ROUTE, UNAUTHORIZED]


async def test_b15_credential_headers_are_removed() -> None:
    """B15: the upstream does not see the key, and still sees what is no credential of this product."""
    async with serving(products()) as served:
        one = await served.ask(**both(KEY, OTHER_BOTH_KEY))
        other = await served.ask(**both(KEY, HEADER_KEY), extensions=HEADER)

    assert (one.removed, other.removed) == (["authorization"], ["x-api-key"])


async def test_f2_unknown_keys_are_asked_for_once() -> None:
    """F2: that a key does not exist is remembered for a while."""
    built = products()
    async with serving(built) as served:
        outcomes = [(await served.ask(key=UNKNOWN_KEY)).outcome for _ in range(10)]

    assert outcomes == [INVALID_KEY] * 10
    assert built.store.loads == 1


def test_the_usual_kinds_do_not_depend_on_browsers() -> None:
    """The rows above state no Origin because none of these keys needs one."""
    assert all(api.kinds["secret"].origins is OriginPolicy.OPTIONAL for api in products().apis.by_name.values())
