"""Paths, extensions and other parts of a request that try to be read in two ways: through a real gRPC server."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import CheckRequest
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.integration.listeners.products import products
from tests.support.doors import (
    ALLOWED,
    BAD_REQUEST,
    KEY,
    NO_ROUTE,
    UNAUTHORIZED,
    check_request,
    serving,
)

pytestmark = pytest.mark.usefixtures("listener")

PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "PUT"}
INSUFFICIENT = (7, 403, "insufficient_scope")
EMPTY = dict.fromkeys(IDENTITY_HEADERS, "")


def path(target: str, **more: Any) -> dict[str, Any]:
    """Ask for one request target with a key that may read."""
    return {"path": target, "key": KEY, **more}


def extensions(**named: str) -> dict[str, Any]:
    """Ask for `GET /v1/things` with these context extensions beside the API's name."""
    return {"key": KEY, "extensions": {"api": "shop"} | named}


ROWS: dict[str, tuple[dict[str, Any], tuple[int, int, str]]] = {
    "C1": (path("//admin/users"), BAD_REQUEST),
    "C1-inside": (path("/admin//users"), BAD_REQUEST),
    "C1-at-the-end": (path("/admin//"), BAD_REQUEST),
    "C2-parent": (path("/public/../admin"), BAD_REQUEST),
    "C2-self": (path("/./admin"), BAD_REQUEST),
    "C2-at-the-end": (path("/public/.."), BAD_REQUEST),
    "C2-with-parameter": (path("/public/..;/admin"), BAD_REQUEST),
    "C3-lower": (path("/public/%2e%2e/admin"), BAD_REQUEST),
    "C3-upper": (path("/public/%2E%2E/admin"), BAD_REQUEST),
    "C3-half": (path("/public/.%2e/admin"), BAD_REQUEST),
    "C3-twice": (path("/public/%252e%252e/admin"), BAD_REQUEST),
    "C5-slash": (path("/admin%2fusers"), BAD_REQUEST),
    "C5-slash-upper": (path("/admin%2Fusers"), BAD_REQUEST),
    "C5-backslash-encoded": (path("/admin%5cusers"), BAD_REQUEST),
    "C5-backslash": (path("\\admin"), BAD_REQUEST),
    "C5-backslash-inside": (path("/public\\..\\admin"), BAD_REQUEST),
    "C5-overlong-utf8": (path("/public/%c0%af/admin"), BAD_REQUEST),
    "C5-unreserved": (path("/%61dmin"), BAD_REQUEST),
    "C7": (path("/public#/../admin"), BAD_REQUEST),
    "C7-in-query": (path("/public?x#/../admin"), BAD_REQUEST),
    "C7-encoded": (path("/public%23/admin"), NO_ROUTE),
    "C8": (path("/x?y=/public/"), ALLOWED),
    "C8-no-key": ({"path": "/x?y=/public/"}, UNAUTHORIZED),
    "C8-dots-in-query": (path("/x?y=/../admin"), ALLOWED),
    "C8-second-question-mark": ({"path": "/x?/public?/public"}, UNAUTHORIZED),
    "C9": (path("http://evil/admin"), BAD_REQUEST),
    "C9-same-host": (path("https://api.shop.example/v1/things"), BAD_REQUEST),
    "C11": (path("/Admin"), NO_ROUTE),
    "C12-slash": (path("/admin/"), NO_ROUTE),
    "C12-no-slash": (path("/admin"), ALLOWED),
    "C12-no-slash-for-rest": (path("/files"), NO_ROUTE),
    "C12-slash-for-rest": (path("/files/"), NO_ROUTE),
    "C12-rest": (path("/files/a/b"), ALLOWED),
    "C13-connect": ({"method": "CONNECT", "path": "", "key": KEY}, BAD_REQUEST),
    "C13-connect-authority": ({"method": "CONNECT", "path": "evil:443", "key": KEY}, BAD_REQUEST),
    "C13-options": ({"method": "OPTIONS", "path": "*", "key": KEY}, BAD_REQUEST),
    "C14-64-kib": (path("/" + "a" * 65_536), BAD_REQUEST),
    "C14-segments": (path("/a" * 10_000), BAD_REQUEST),
    "C14-escapes": (path("/" + "%20" * 20_000), BAD_REQUEST),
    "C14-almost-plain": (path("/" + "a" * 8_000 + "\\"), BAD_REQUEST),
    "C15-path": (path("/nowhere"), NO_ROUTE),
    "C15-path-no-key": ({"path": "/nowhere"}, UNAUTHORIZED),
    "C15-method": (path("/v1/things", method="PATCH"), NO_ROUTE),
    "C15-typo": (extensions(requird_scopes="things:read"), NO_ROUTE),
    "C15-typo-no-key": ({"extensions": {"api": "shop", "requird_scopes": "things:read"}}, UNAUTHORIZED),
    "C15-typo-on-a-public-one": ({"extensions": {"api": "shop", "public": "true", "x": ""}}, UNAUTHORIZED),
    "C15-upper-case": (extensions(Public="true"), NO_ROUTE),
    "C17-denied": ({"method": "OPTIONS", "headers": PREFLIGHT}, UNAUTHORIZED),
    "C17-allowed": ({"method": "OPTIONS", "path": "/embed", "headers": PREFLIGHT}, ALLOWED),
    "C17-not-a-preflight": ({"method": "PUT", "path": "/embed", "headers": PREFLIGHT}, UNAUTHORIZED),
    # What no note lists.
    "path-parameter": (path("/admin;x/users"), NO_ROUTE),
    "path-control": (path("/admin\x00"), BAD_REQUEST),
    "path-line-break": (path("/admin\n"), BAD_REQUEST),
    "path-blank": (path("/admin users"), BAD_REQUEST),
    "path-not-ascii": (path("/\u0430dmin"), BAD_REQUEST),
    "path-full-width-slash": (path("/public\uff0fadmin"), BAD_REQUEST),
    "path-empty": (path(""), BAD_REQUEST),
    "path-relative": (path("admin"), BAD_REQUEST),
    "path-with-authority": (path("/\\evil.example/admin"), BAD_REQUEST),
    "method-lower": (path("/v1/things", method="get"), BAD_REQUEST),
    "method-mixed": (path("/v1/things", method="Get"), BAD_REQUEST),
    "method-empty": (path("/v1/things", method=""), BAD_REQUEST),
    "method-blank": (path("/v1/things", method="GET "), BAD_REQUEST),
    "method-line-break": (path("/v1/things", method="GET\n"), BAD_REQUEST),
    "method-long": (path("/v1/things", method="A" * 21), BAD_REQUEST),
    "method-unknown": (path("/v1/things", method="BREW"), NO_ROUTE),
    "head-is-not-get": (path("/v1/things", method="HEAD"), NO_ROUTE),
    "public-true": ({"extensions": {"api": "shop", "public": "true"}}, ALLOWED),
    "public-upper": ({"extensions": {"api": "shop", "public": "TRUE"}}, UNAUTHORIZED),
    "public-upper-with-key": (extensions(public="TRUE"), NO_ROUTE),
    "public-number": (extensions(public="1"), NO_ROUTE),
    "public-empty": (extensions(public=""), NO_ROUTE),
    "public-blank": (extensions(public=" true"), NO_ROUTE),
    "public-false": (extensions(public="false"), ALLOWED),
    "public-on-a-bad-path": ({"path": "//x", "extensions": {"api": "shop", "public": "true"}}, BAD_REQUEST),
    "public-without-api": ({"host": "?", "extensions": {"public": "true"}}, NO_ROUTE),
    "public-of-no-api": ({"extensions": {"api": "none", "public": "true"}}, NO_ROUTE),
    "public-and-scopes": ({"extensions": {"api": "shop", "public": "true", "required_scopes": "x:y"}}, UNAUTHORIZED),
    "public-and-scopes-with-key": (extensions(public="true", required_scopes="things:write"), INSUFFICIENT),
    "public-and-a-typo": (extensions(public="true", requird_scopes="things:read"), NO_ROUTE),
    "environment-without-environments": (extensions(environment="live"), NO_ROUTE),
    "api-empty": (extensions(api=""), NO_ROUTE),
    "api-upper": (extensions(api="SHOP"), NO_ROUTE),
    "api-blank": (extensions(api="shop "), NO_ROUTE),
    "api-unknown-on-a-known-host": (extensions(api="none"), NO_ROUTE),
    "api-by-host": ({"key": KEY, "extensions": {}}, ALLOWED),
    "api-by-host-upper": ({"key": KEY, "extensions": {}, "host": "API.SHOP.EXAMPLE"}, ALLOWED),
    "api-by-host-with-port": ({"key": KEY, "extensions": {}, "host": "api.shop.example:443"}, ALLOWED),
    "api-by-host-and-dot": ({"key": KEY, "extensions": {}, "host": "api.shop.example."}, NO_ROUTE),
    "api-by-host-and-user": ({"key": KEY, "extensions": {}, "host": "x@api.shop.example"}, NO_ROUTE),
    "api-by-two-hosts": ({"key": KEY, "extensions": {}, "host": "api.shop.example,x"}, NO_ROUTE),
    "api-by-host-and-nul": ({"key": KEY, "extensions": {}, "host": "api.shop.example\0"}, BAD_REQUEST),
    "api-by-no-host": ({"key": KEY, "extensions": {}, "host": ""}, NO_ROUTE),
    "scopes-held": (extensions(required_scopes="things:read"), ALLOWED),
    "scopes-lacking": (extensions(required_scopes="things:read things:write"), INSUFFICIENT),
    "scopes-with-comma": (extensions(required_scopes="things:read,things:write"), INSUFFICIENT),
    "scopes-empty": (extensions(required_scopes=""), NO_ROUTE),
    "scopes-blank": (extensions(required_scopes=" , "), NO_ROUTE),
    "scopes-unknown": (extensions(required_scopes="things:fly"), NO_ROUTE),
    "scopes-star": (extensions(required_scopes="*"), NO_ROUTE),
    "scopes-upper": (extensions(required_scopes="THINGS:READ"), NO_ROUTE),
    "scopes-on-no-route": (path("/nowhere", extensions={"api": "shop", "required_scopes": "things:read"}), NO_ROUTE),
    "host-huge": (path("/v1/things", host="a" * 100_000), ALLOWED),
    "headers-60-kib": (path("/v1/things", headers={f"x-{n}": "v" * 1000 for n in range(60)}), ALLOWED),
    "forwarded-5000": (path("/v1/things", headers={"x-forwarded-for": "10.0.0.1, " * 5000}), ALLOWED),
    "name-in-upper-case": ({"headers": {"Authorization": f"Bearer {KEY}"}}, UNAUTHORIZED),
    "nul-in-a-header": (path("/v1/things", headers={"cookie": "a=\0"}), BAD_REQUEST),
    "nul-in-an-extension": (extensions(environment="live\0"), NO_ROUTE),
    "nul-in-the-apis-name": (extensions(api="shop\0"), NO_ROUTE),
    "nul-in-a-peer": (path("/v1/things", peer="192.0.2.1\0"), ALLOWED),
    "no-peer": (path("/v1/things", peer=None), ALLOWED),
    "pseudo-headers": (path("/v1/things", headers={":path": "//", ":method": "get", ":scheme": "x"}), ALLOWED),
}


@pytest.mark.parametrize(("request_", "expected"), [pytest.param(*case, id=row) for row, case in ROWS.items()])
async def test_row(request_: dict[str, Any], expected: tuple[int, int, str]) -> None:
    """One odd request, one outcome; what passes without a key passes without an identity."""
    async with serving(products()) as served:
        answer = await served.ask(**request_)

    assert answer.outcome == expected
    if answer.allowed:
        assert (answer.headers == EMPTY) is ("key" not in request_)


MALFORMED: dict[str, bytes] = {
    "K2-garbage": b"\xde\xad\xbe\xef" * 100,
    "K2-a-byte": b"\xff",
    "K2-zeros": bytes(1000),
    "K2-text": b'{"attributes": {}}',
    "no-attributes": b"",
    "no-http": CheckRequest(attributes={"context_extensions": {"api": "shop"}}).SerializeToString(),
    "network-filter": CheckRequest(
        attributes={"source": {"address": {"socket_address": {"address": "192.0.2.1"}}}}
    ).SerializeToString(),
    "public-without-http": CheckRequest(
        attributes={"context_extensions": {"api": "shop", "public": "true"}}
    ).SerializeToString(),
    "cut-off": check_request(key=KEY).SerializeToString()[:-1],
    "nested": b"\x0a\x80\x01" * 1000,
    "groups": b"\x0b" * 60_000,
}


@pytest.mark.parametrize("payload", [pytest.param(payload, id=name) for name, payload in MALFORMED.items()])
async def test_what_is_no_request(payload: bytes) -> None:
    """The RPC succeeds, so that Envoy cannot be told to let the request pass, and the answer is a refusal."""
    async with serving(products()) as served:
        answer = await served.check(payload)

    assert answer.outcome == BAD_REQUEST


async def test_the_last_of_two_equal_map_entries_counts() -> None:
    """Envoy sends maps; should a name come twice all the same, protobuf keeps one, and no two keys ever mix."""
    request = check_request(key=KEY)
    second = CheckRequest()
    second.attributes.request.http.headers["authorization"] = "Bearer nonsense"
    async with serving(products()) as served:
        answer = await served.check(request.SerializeToString() + second.SerializeToString())

    assert not answer.allowed
