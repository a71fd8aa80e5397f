"""Section D: every form of `Origin`, for a key that has an allow-list, and every list that cannot be made."""

from __future__ import annotations

import grpc
import pytest
from authsvc_client.v1.restrictions_pb2 import OriginList

from tests.conformance.inputs.callers import BAD_REQUEST, ORIGIN, Caller
from tests.support.products import Product

pytestmark = pytest.mark.databases("sqlite")

LIST = (
    "https://yourapp.com",
    "*.yourapp.com",
    "http://localhost:3000",
    "https://xn--bcher-kva.example",
    "https://ports.example:8443",
    "http://plain.example",
    "https://192.0.2.7",
    "https://[2001:db8::1]:8443",
)
ALLOWED = [
    pytest.param("https://yourapp.com", id="listed"),
    pytest.param("https://YOURAPP.com", id="D7-upper-case"),
    pytest.param("HTTPS://yourapp.com", id="D7-scheme"),
    pytest.param("https://yourapp.com:443", id="default-port"),
    pytest.param("http://plain.example:80", id="default-port-of-http"),
    pytest.param("https://ports.example:8443", id="port"),
    pytest.param("http://localhost:3000", id="localhost"),
    pytest.param("https://a.yourapp.com", id="wildcard"),
    pytest.param("https://a.b-c.d.yourapp.com", id="wildcard-deep"),
    pytest.param("https://xn--bcher-kva.yourapp.com", id="wildcard-punycode"),
    pytest.param("https://xn--bcher-kva.example", id="punycode"),
    pytest.param("https://XN--BCHER-KVA.example", id="punycode-upper-case"),
    pytest.param("https://192.0.2.7", id="address"),
    pytest.param("https://[2001:db8::1]:8443", id="address-v6"),
    pytest.param("https://[2001:DB8::1]:8443", id="address-v6-upper-case"),
]
REFUSED = [
    pytest.param("", id="D1-empty"),
    pytest.param("null", id="D2-null"),
    pytest.param("NULL", id="D2-null-upper-case"),
    pytest.param("opaque", id="D2-opaque"),
    pytest.param("file://", id="D2-file"),
    pytest.param("data:", id="D2-data"),
    pytest.param("blob:https://yourapp.com/1", id="D2-blob"),
    pytest.param("chrome-extension://abcdefghijklmnop", id="D2-extension"),
    pytest.param("capacitor://localhost", id="D2-app"),
    pytest.param("about:blank", id="D2-about"),
    pytest.param("*", id="D2-asterisk"),
    pytest.param("https://yourapp.com.evil.com", id="D3-suffix"),
    pytest.param("https://a.yourapp.com.evil.com", id="D3-suffix-of-wildcard"),
    pytest.param("https://evilyourapp.com", id="D3-prefix"),
    pytest.param("https://a.evilyourapp.com", id="D3-prefix-below"),
    pytest.param("https://*.yourapp.com", id="D3-the-wildcard-itself"),
    pytest.param("https://.yourapp.com", id="D3-empty-label"),
    pytest.param("https://a..yourapp.com", id="D3-empty-label-inside"),
    pytest.param("https://-a.yourapp.com", id="D3-hyphen-first"),
    pytest.param("https://a_b.yourapp.com", id="D3-underscore"),
    pytest.param("http://yourapp.com", id="D6-scheme"),
    pytest.param("http://a.yourapp.com", id="D6-scheme-of-wildcard"),
    pytest.param("https://yourapp.com:8443", id="D6-port"),
    pytest.param("https://a.yourapp.com:8443", id="D6-port-of-wildcard"),
    pytest.param("https://ports.example", id="D6-no-port"),
    pytest.param("http://localhost:3001", id="D6-port-of-localhost"),
    pytest.param("http://localhost", id="D6-localhost-without-port"),
    pytest.param("https://localhost:3000", id="D6-scheme-of-localhost"),
    pytest.param("http://127.0.0.1:3000", id="D6-address-of-localhost"),
    pytest.param("wss://yourapp.com", id="D6-websocket"),
    pytest.param("https://yourapp.com.", id="D7-trailing-dot"),
    pytest.param("https://a.yourapp.com.", id="D7-trailing-dot-of-wildcard"),
    pytest.param("https://yourapp.com:0443", id="port-with-zero"),
    pytest.param("https://yourapp.com:", id="port-empty"),
    pytest.param("https://yourapp.com:0", id="port-zero"),
    pytest.param("https://yourapp.com:65979", id="port-too-high"),
    pytest.param("https://yourapp.com:443:443", id="port-twice"),
    pytest.param("https://user@yourapp.com", id="user-info"),
    pytest.param("https://yourapp.com@evil.com", id="user-info-of-another"),
    pytest.param("https://evil.com\\@yourapp.com", id="user-info-backslash"),
    pytest.param("https://yourapp.com/", id="slash"),
    pytest.param("https://yourapp.com/path", id="path"),
    pytest.param("https://evil.com/https://yourapp.com", id="path-with-origin"),
    pytest.param("https://yourapp.com?x", id="query"),
    pytest.param("https://yourapp.com#x", id="fragment"),
    pytest.param("https:yourapp.com", id="no-slashes"),
    pytest.param("//yourapp.com", id="no-scheme"),
    pytest.param("yourapp.com", id="host-only"),
    pytest.param("https://", id="no-host"),
    pytest.param("https://yourapp.com,https://evil.com", id="D9-comma"),
    pytest.param("https://yourapp.com, https://yourapp.com", id="D9-comma-and-blank"),
    pytest.param("https://yourapp.com https://evil.com", id="D9-blank"),
    pytest.param("https://b\u00fccher.example", id="unicode"),
    pytest.param("https://your\u0430pp.com", id="look-alike"),
    pytest.param("https://yourapp.com\u3002", id="ideographic-dot"),
    pytest.param("https://your%61pp.com", id="escaped"),
    pytest.param("https://3221225991", id="address-as-number"),
    pytest.param("https://192.0.2.07", id="address-with-zero"),
    pytest.param("https://[2001:db8:0::1]:8443", id="address-v6-spelled-otherwise"),
    pytest.param("https://[2001:db8::1%25eth0]:8443", id="address-v6-with-zone"),
    pytest.param("https://[::ffff:192.0.2.7]", id="address-v6-mapped"),
    pytest.param("https://" + "a." * 130 + "yourapp.com", id="overlong"),
]


@pytest.fixture(scope="session")
def key(product: Product) -> str:
    """A key that is used from the listed origins only, good for every route."""
    caller = Caller(product)
    return caller.key(origins=OriginList(origins=LIST))


@pytest.mark.parametrize("origin", ALLOWED)
def test_origins_on_the_list(caller: Caller, key: str, origin: str) -> None:
    """Host and scheme in any case, the default port with or without its number, subdomains of a wildcard."""
    assert caller.send([caller.presented(key), ("origin", origin)]).status == 200


@pytest.mark.parametrize("origin", REFUSED)
def test_origins_off_the_list(caller: Caller, key: str, origin: str) -> None:
    """Whatever is not exactly an origin that is listed."""
    # HTTP carries bytes: Envoy writes `!` for those that are no ASCII.
    answer = caller.send([caller.presented(key), ("origin", origin)])

    caller.refused(answer, ORIGIN)
    caller.refused(caller.check([caller.presented(key), ("origin", origin)]), ORIGIN)


def test_d1_no_origin(caller: Caller, key: str) -> None:
    """Absent is not allowed."""
    caller.refused(caller.send([caller.presented(key)]), ORIGIN)


def test_d4_the_apex_of_a_wildcard(caller: Caller) -> None:
    """It has to be listed on its own."""
    below = caller.presented(caller.key(origins=OriginList(origins=["*.yourapp.com"])))

    caller.refused(caller.send([below, ("origin", "https://yourapp.com")]), ORIGIN)
    assert caller.send([below, ("origin", "https://a.yourapp.com")]).status == 200


def test_d9_several_origins(caller: Caller, key: str) -> None:
    """Twice the same good one is not one."""
    good = ("origin", "https://yourapp.com")

    caller.refused(caller.send([caller.presented(key), good, good]), ORIGIN)
    caller.refused(caller.check([caller.presented(key), good, good], raw=True), ORIGIN)


def test_an_origin_with_a_line_break_is_malformed(caller: Caller, key: str) -> None:
    """That is no matter of the list any more."""
    for origin in ("https://yourapp.com\n", "https://yourapp.com\r\nhttps://evil.com", "https://yourapp.com\0"):
        caller.refused(caller.check([caller.presented(key), ("origin", origin)]), BAD_REQUEST)


@pytest.mark.parametrize(
    "name", ["referer", "x-origin", "x-forwarded-origin", "sec-fetch-site", "access-control-origin"]
)
def test_d11_other_headers_are_no_origin(caller: Caller, key: str, name: str) -> None:
    """Only `Origin` is looked at."""
    caller.refused(caller.send([caller.presented(key), (name, "https://yourapp.com")]), ORIGIN)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "https://*",
        "http://*",
        "*.com",
        "https://*.com",
        "https://*.*.x",
        "*.*.example.com",
        "https://a.*.example.com",
        "https://*a.example.com",
        "*.example.com.",
        "*.0.0.1",
        "*.[::1]",
        "null",
        "example.com",
        "ftp://example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://user@example.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:*",
        "https://b\u00fccher.example",
        "https://example.com,https://other.example",
        " https://example.com",
        "https://example.com\n",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 130 + "example",
        "/.*/",
    ],
)
def test_d12_entries_that_cannot_be_listed(caller: Caller, entry: str) -> None:
    """INVALID_ARGUMENT, for the whole list."""
    with pytest.raises(grpc.RpcError) as refused:
        caller.key(origins=OriginList(origins=["https://good.example", entry]))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("count", [0, 65, 5_000])
def test_d12_lists_that_are_empty_or_too_long(caller: Caller, count: int) -> None:
    """Present and empty is a mistake, and 64 is enough for everybody."""
    entries = [f"https://a{number}.example" for number in range(count)]
    with pytest.raises(grpc.RpcError) as refused:
        caller.key(origins=OriginList(origins=entries))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_d13_a_secret_key_from_a_browser(caller: Caller) -> None:
    """Without a list any page will do, and even none: what is secret is its owner's business."""
    key = caller.presented(caller.key())

    for origin in ("https://anything.example", "null", "https://a.example, https://b.example"):
        answer = caller.send([key, ("origin", origin)])
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_only_kinds_for_browsers_get_cors_on_refusals(caller: Caller, key: str) -> None:
    """A page may not read what a secret key of it was told."""
    page = ("origin", "https://evil.com")
    answer = caller.send([caller.presented(key), page])

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
