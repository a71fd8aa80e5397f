"""Web origins and the patterns of an allow-list."""

from __future__ import annotations

import pytest

from authsvc.domain.origins import MAX_ORIGIN_LENGTH, Origin, OriginPattern, allowed, parse_origin, parse_pattern


def pattern(text: str) -> OriginPattern:
    """Return a pattern that is known to be valid."""
    parsed = parse_pattern(text)
    assert parsed is not None
    return parsed


def permits(listed: str, header: str) -> bool:
    """Whether a list with one entry lets a header in."""
    origin = parse_origin(header)
    return origin is not None and allowed([pattern(listed)], origin)


@pytest.mark.parametrize(
    ("header", "origin"),
    [
        pytest.param("https://yourapp.com", Origin(scheme="https", host="yourapp.com", port=443), id="https"),
        pytest.param("http://yourapp.com", Origin(scheme="http", host="yourapp.com", port=80), id="http"),
        pytest.param("https://YOURAPP.com", Origin(scheme="https", host="yourapp.com", port=443), id="case"),
        pytest.param("HTTPS://a.b:8443", Origin(scheme="https", host="a.b", port=8443), id="port"),
        pytest.param("http://localhost:3000", Origin(scheme="http", host="localhost", port=3000), id="localhost"),
        pytest.param("http://127.0.0.1", Origin(scheme="http", host="127.0.0.1", port=80), id="ipv4"),
        pytest.param("http://[::1]:80", Origin(scheme="http", host="[::1]", port=80), id="ipv6"),
        pytest.param(
            "https://xn--bcher-kva.example",
            Origin(scheme="https", host="xn--bcher-kva.example", port=443),
            id="punycode",
        ),
        pytest.param("https://a.b:65535", Origin(scheme="https", host="a.b", port=65535), id="last-port"),
    ],
)
def test_origins(header: str, origin: Origin) -> None:
    """An origin is read as a browser writes it, with its default port made explicit."""
    assert origin == parse_origin(header)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("*", id="star"),
        pytest.param("yourapp.com", id="no-scheme"),
        pytest.param("//yourapp.com", id="scheme-relative"),
        pytest.param("ftp://yourapp.com", id="other-scheme"),
        pytest.param("chrome-extension://abcdef", id="extension"),
        pytest.param("file://", id="file"),
        pytest.param("https:yourapp.com", id="no-slashes"),
        pytest.param("https:///yourapp.com", id="three-slashes"),
        pytest.param("https:\\\\yourapp.com", id="backslashes"),
        pytest.param("https://", id="no-host"),
        pytest.param("https://yourapp.com.", id="trailing-dot"),
        pytest.param("https://.yourapp.com", id="leading-dot"),
        pytest.param("https://your..app", id="two-dots"),
        pytest.param("https://yourapp.com/", id="slash"),
        pytest.param("https://yourapp.com/x", id="path"),
        pytest.param("https://yourapp.com?x", id="query"),
        pytest.param("https://yourapp.com#x", id="fragment"),
        pytest.param("https://user@yourapp.com", id="user-info"),
        pytest.param("https://yourapp.com@evil.com", id="user-info-trick"),
        pytest.param("https://yourapp.com:443@evil.com", id="user-and-password-trick"),
        pytest.param("https://a.com,https://b.com", id="joined-by-comma"),
        pytest.param("https://a.com, https://b.com", id="joined-by-comma-and-blank"),
        pytest.param("https://a.com https://b.com", id="joined-by-blank"),
        pytest.param(" https://a.com", id="leading-blank"),
        pytest.param("https://a.com\n", id="trailing-newline"),
        pytest.param("https://a.com\0.b.com", id="nul"),
        pytest.param("https://a.com%2e.b.com", id="percent"),
        pytest.param("https://*.yourapp.com", id="wildcard"),
        pytest.param("https://a_b.com", id="underscore"),
        pytest.param("https://-a.com", id="leading-hyphen"),
        pytest.param("https://a-.com", id="trailing-hyphen"),
        pytest.param("https://" + "a" * 64 + ".com", id="long-label"),
        pytest.param("https://a.com:", id="empty-port"),
        pytest.param("https://a.com:0", id="port-zero"),
        pytest.param("https://a.com:0443", id="padded-port"),
        pytest.param("https://a.com:65536", id="port-too-large"),
        pytest.param("https://a.com:100000", id="six-digit-port"),
        pytest.param("https://a.com:+443", id="signed-port"),
        pytest.param("https://a.com:\u0664\u0664\u0663", id="arabic-port"),
        pytest.param("https://a.com:\uff14\uff14\uff13", id="full-width-port"),
        pytest.param("https://\u212aey.com", id="kelvin-sign"),
        pytest.param("https://\u0130.com", id="dotted-capital-i"),
        pytest.param("https://\uff41.com", id="full-width-host"),
        pytest.param("https://a\u3002com", id="ideographic-full-stop"),
        pytest.param("https://b\u00fccher.example", id="unicode-host"),
        pytest.param("https://[::1%25eth0]", id="zone"),
        pytest.param("https://[::1", id="open-bracket"),
        pytest.param("https://::1", id="bare-ipv6"),
        pytest.param("https://" + "a." * 124 + "com", id="too-long"),
        pytest.param("https://" + "a" * 100_000, id="100-kb-label"),
        pytest.param("https://" + "a-" * 50_000, id="100-kb-hyphens"),
        pytest.param("https://" + "a." * 50_000 + "!", id="100-kb-labels"),
        pytest.param("https://[" + ":" * 100_000, id="100-kb-colons"),
    ],
)
def test_no_origins(header: str) -> None:
    """What a browser would not send is no origin, and so on nobody's list."""
    assert parse_origin(header) is None


@pytest.mark.parametrize(
    ("listed", "header"),
    [
        pytest.param("https://yourapp.com", "https://YOURAPP.com", id="case"),
        pytest.param("https://YOURAPP.com", "https://yourapp.com", id="listed-case"),
        pytest.param("https://yourapp.com:443", "https://yourapp.com", id="default-port-listed"),
        pytest.param("http://localhost:3000", "http://localhost:3000", id="localhost"),
        pytest.param("*.yourapp.com", "https://a.yourapp.com", id="subdomain"),
        pytest.param("*.yourapp.com", "https://a.b.c.yourapp.com", id="any-depth"),
        pytest.param("https://*.yourapp.com", "https://a.yourapp.com", id="wildcard-with-scheme"),
        pytest.param("http://*.yourapp.com:8080", "http://a.yourapp.com:8080", id="wildcard-with-port"),
        pytest.param("*.yourapp.com:8443", "https://a.yourapp.com:8443", id="bare-wildcard-with-port"),
    ],
)
def test_permitted(listed: str, header: str) -> None:
    """An entry lets in the origin it names, and a wildcard whole labels in front of it."""
    assert permits(listed, header)


@pytest.mark.parametrize(
    ("listed", "header"),
    [
        pytest.param("https://yourapp.com", "null", id="null"),
        pytest.param("https://yourapp.com", "https://yourapp.com.evil.com", id="prefix-trick"),
        pytest.param("https://yourapp.com", "https://evilyourapp.com", id="suffix-trick"),
        pytest.param("https://yourapp.com", "https://a.yourapp.com", id="subdomain-without-wildcard"),
        pytest.param("https://yourapp.com", "http://yourapp.com", id="http-for-https"),
        pytest.param("http://yourapp.com", "https://yourapp.com", id="https-for-http"),
        pytest.param("https://yourapp.com", "https://yourapp.com:8443", id="other-port"),
        pytest.param("https://yourapp.com", "https://yourapp.com:80", id="other-scheme's-port"),
        pytest.param("http://localhost:3000", "http://localhost:3001", id="localhost-port"),
        pytest.param("http://localhost:3000", "http://localhost", id="localhost-without-port"),
        pytest.param("http://localhost:3000", "http://127.0.0.1:3000", id="localhost-by-address"),
        pytest.param("https://yourapp.com", "https://yourapp.com.", id="trailing-dot"),
        pytest.param("*.yourapp.com", "https://yourapp.com", id="apex"),
        pytest.param("*.yourapp.com", "https://evilyourapp.com", id="wildcard-suffix-trick"),
        pytest.param("*.yourapp.com", "https://a.yourapp.com.evil.com", id="wildcard-prefix-trick"),
        pytest.param("*.yourapp.com", "http://a.yourapp.com", id="bare-wildcard-means-https"),
        pytest.param("*.yourapp.com", "https://a.yourapp.com:8443", id="wildcard-other-port"),
        pytest.param("*.yourapp.com", "https://.yourapp.com", id="empty-label"),
        pytest.param("https://key.com", "https://\u212aey.com", id="kelvin-sign"),
    ],
)
def test_not_permitted(listed: str, header: str) -> None:
    """Scheme, port and every label count."""
    assert not permits(listed, header)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("*", id="star"),
        pytest.param("https://*", id="any-host"),
        pytest.param("*://yourapp.com", id="any-scheme"),
        pytest.param("*.com", id="top-level-domain"),
        pytest.param("https://*.com", id="top-level-domain-with-scheme"),
        pytest.param("https://*.*.x", id="two-wildcards"),
        pytest.param("https://*.*.yourapp.com", id="two-wildcards-and-two-labels"),
        pytest.param("https://a.*.com", id="inner-wildcard"),
        pytest.param("https://yourapp.*", id="trailing-wildcard"),
        pytest.param("https://a*.yourapp.com", id="partial-label"),
        pytest.param("https://*yourapp.com", id="no-dot"),
        pytest.param("https://yourapp.com:*", id="any-port"),
        pytest.param("https://*.localhost", id="one-label"),
        pytest.param("https://*.0.0.1", id="wildcard-over-ipv4"),
        pytest.param("*.0.0.1", id="bare-wildcard-over-ipv4"),
        pytest.param("https://*.[::1]", id="wildcard-over-ipv6"),
        pytest.param("yourapp.com", id="no-scheme"),
        pytest.param("null", id="null"),
        pytest.param("https://yourapp.com/", id="slash"),
        pytest.param("https://yourapp.com:0", id="port-zero"),
        pytest.param("https://yourapp.com:65536", id="port-too-large"),
        pytest.param("*.yourapp.com:99999", id="bare-wildcard-port-too-large"),
        pytest.param("https://\u212aey.com", id="kelvin-sign"),
        pytest.param("*.\u212aey.com", id="bare-wildcard-kelvin-sign"),
        pytest.param("https://a.com\n", id="newline"),
        pytest.param("https://" + "a." * 124 + "com", id="too-long"),
        pytest.param("*." * 50_000 + "com", id="100-kb-wildcards"),
        pytest.param("*." + "a" * 100_000, id="100-kb-label"),
    ],
)
def test_no_patterns(text: str) -> None:
    """Nobody can list a whole top-level domain, or what would never match."""
    assert parse_pattern(text) is None


def test_an_origin_at_the_bound_is_read() -> None:
    """The bound is on characters, inclusive."""
    label = "a" * 61
    text = "https://" + ".".join([label] * 3) + "." + "b" * (MAX_ORIGIN_LENGTH - len("https://") - 3 * 62)

    assert len(text) == MAX_ORIGIN_LENGTH
    assert parse_origin(text) is not None
    assert parse_origin(text + "b") is None


def test_a_pattern_keeps_the_text_it_was_read_from() -> None:
    """Administrators see what they wrote, lower-cased."""
    assert pattern("*.YourApp.com").text == "*.yourapp.com"


def test_an_empty_list_matches_nobody() -> None:
    """Empty is not unrestricted."""
    assert not allowed([], Origin(scheme="https", host="yourapp.com", port=443))
