"""Which paths are looked at, and which route they find."""

from __future__ import annotations

import itertools
import string

import pytest

from authsvc.domain import routes
from authsvc.domain.routes import (
    MAX_PATH_LENGTH,
    MAX_SEGMENTS,
    Route,
    RouteTable,
    plain_path,
    template_error,
    valid_method,
)
from tests.support.builders import route


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param("/v1/things", "/v1/things", id="plain"),
        pytest.param("/v1/things/", "/v1/things/", id="trailing-slash"),
        pytest.param("/x?y=/public/../%2e%2e//", "/x", id="only-before-the-question-mark"),
        pytest.param("/x?", "/x", id="empty-query"),
        pytest.param("/x??a", "/x", id="two-question-marks"),
        pytest.param("/a~b-c_d.e!$&'()*+,;=:@", "/a~b-c_d.e!$&'()*+,;=:@", id="pchar"),
        pytest.param("/a%20b", "/a%20b", id="blank-escaped"),
        pytest.param("/caf%C3%A9", "/caf%C3%A9", id="utf-8"),
        pytest.param("/caf%c3%a9", "/caf%c3%a9", id="utf-8-lower-case"),
        pytest.param("/%F0%9F%94%91", "/%F0%9F%94%91", id="four-byte-utf-8"),
        pytest.param("/user%40example.com", "/user%40example.com", id="at-escaped"),
        pytest.param("/...", "/...", id="three-dots"),
        pytest.param("/.well-known/x", "/.well-known/x", id="dot-file"),
        pytest.param("/a..", "/a..", id="dots-behind"),
        pytest.param("/..a", "/..a", id="dots-before"),
        pytest.param("/a" * MAX_SEGMENTS, "/a" * MAX_SEGMENTS, id="most-segments"),
        pytest.param("/" + "a" * (MAX_PATH_LENGTH - 1), "/" + "a" * (MAX_PATH_LENGTH - 1), id="longest"),
    ],
)
def test_plain_paths(target: str, path: str) -> None:
    """What every proxy and framework reads the same way."""
    assert path == plain_path(target)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("", id="empty"),
        pytest.param("*", id="asterisk-form"),
        pytest.param("example.com:443", id="authority-form"),
        pytest.param("http://evil/admin", id="absolute-form"),
        pytest.param("https:/admin", id="absolute-form-one-slash"),
        pytest.param("admin", id="relative"),
        pytest.param("?x", id="query-only"),
        pytest.param("//admin/users", id="two-slashes"),
        pytest.param("/a//b", id="two-slashes-inside"),
        pytest.param("/a//", id="two-slashes-at-the-end"),
        pytest.param("/public/../admin", id="dot-dot"),
        pytest.param("/./admin", id="dot"),
        pytest.param("/admin/.", id="dot-at-the-end"),
        pytest.param("/admin/..", id="dot-dot-at-the-end"),
        pytest.param("/..;/admin", id="dot-dot-parameter"),
        pytest.param("/public/..;x=1/admin", id="dot-dot-named-parameter"),
        pytest.param("/public/.;/admin", id="dot-parameter"),
        pytest.param("/public/..%3b/admin", id="dot-dot-escaped-parameter"),
        pytest.param("/public/..%3Bx/admin", id="dot-dot-escaped-parameter-upper-case"),
        pytest.param("/public/%2e%2e/admin", id="escaped-dots"),
        pytest.param("/public/%2E./admin", id="half-escaped-dots"),
        pytest.param("/public/%252e%252e/admin", id="twice-escaped-dots"),
        pytest.param("/admin%2fusers", id="escaped-slash"),
        pytest.param("/admin%2Fusers", id="escaped-slash-upper-case"),
        pytest.param("/admin%5cusers", id="escaped-backslash"),
        pytest.param("/admin%5Cusers", id="escaped-backslash-upper-case"),
        pytest.param("\\admin", id="backslash"),
        pytest.param("/a\\b", id="backslash-inside"),
        pytest.param("/%61dmin", id="escaped-letter"),
        pytest.param("/%41dmin", id="escaped-upper-letter"),
        pytest.param("/%30", id="escaped-digit"),
        pytest.param("/a%2Db", id="escaped-hyphen"),
        pytest.param("/a%5Fb", id="escaped-underscore"),
        pytest.param("/a%7Eb", id="escaped-tilde"),
        pytest.param("/a%25b", id="escaped-percent"),
        pytest.param("/a%00b", id="escaped-nul"),
        pytest.param("/a%0d%0ab", id="escaped-newline"),
        pytest.param("/a%7Fb", id="escaped-delete"),
        pytest.param("/a%", id="bare-percent"),
        pytest.param("/a%4", id="short-escape"),
        pytest.param("/a%zz", id="no-hex"),
        pytest.param("/a%u002e", id="iis-escape"),
        pytest.param("/a%\uff12\uff10", id="full-width-hex"),
        pytest.param("/%c0%ae%c0%ae/admin", id="overlong-dots"),
        pytest.param("/a%c0%afb", id="overlong-slash"),
        pytest.param("/a%e0%80%afb", id="overlong-slash-of-three"),
        pytest.param("/a%ed%a0%80", id="escaped-surrogate"),
        pytest.param("/caf%E9", id="latin-1"),
        pytest.param("/a%C3", id="cut-utf-8"),
        pytest.param("/public#/../admin", id="fragment"),
        pytest.param("/public?x#/../admin", id="fragment-behind-the-query"),
        pytest.param("/a b", id="blank"),
        pytest.param("/a\tb", id="tab"),
        pytest.param("/a\n", id="trailing-newline"),
        pytest.param("/a\r\nX: y", id="header-injection"),
        pytest.param("/a\0b", id="nul"),
        pytest.param('/a"b', id="quote"),
        pytest.param("/a<b>", id="angle-brackets"),
        pytest.param("/a|b^c`", id="bar-caret-backtick"),
        pytest.param("/{id}", id="braces"),
        pytest.param("/[a]", id="brackets"),
        pytest.param("/caf\u00e9", id="not-ascii"),
        pytest.param("/\uff0e\uff0e/admin", id="full-width-dots"),
        pytest.param("/a\u2215b", id="division-slash"),
        pytest.param("/\ud800", id="lone-surrogate"),
        pytest.param("/a" * (MAX_SEGMENTS + 1), id="too-many-segments"),
        pytest.param("/a" * 10_000, id="ten-thousand-segments"),
        pytest.param("/" + "a" * MAX_PATH_LENGTH, id="too-long"),
        pytest.param("/a?" + "b" * MAX_PATH_LENGTH, id="too-long-with-its-query"),
        pytest.param("/" + "a" * 65_535, id="64-kb"),
        pytest.param("/" + "%20" * 33_000, id="100-kb-escapes"),
    ],
)
def test_paths_that_could_be_read_in_two_ways(target: str) -> None:
    """Refused before anything is matched."""
    assert plain_path(target) is None


def test_single_escapes() -> None:
    """Of all the escapes, only those of characters that need one, or may well have one, are plain."""
    accepted = {code for code in range(128) if plain_path(f"/a%{code:02X}b") is not None}
    needed = {ord(character) for character in ' "#<>?[]^`{|}'}
    optional = {ord(character) for character in "!$&'()*+,;=:@"}

    assert needed | optional == accepted


def test_long_input_is_not_matched_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The length is looked at before the pattern is."""
    monkeypatch.setattr(routes, "_PLAIN", None)

    assert plain_path("/" + "%" * 100_000) is None


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/" + "a" * 100_000 + "!\\", id="one-segment"),
        pytest.param("/a" * 50_000 + "\\", id="segments"),
        pytest.param("/%20" * 25_000 + "%", id="escapes"),
        pytest.param("/" + "a%20" * 25_000 + "%2e", id="mixed"),
        pytest.param("/" * 100_000, id="slashes"),
    ],
)
def test_the_pattern_never_backtracks(path: str) -> None:
    """Behind the bound on the length too: exponential matching of 100 kB would never end."""
    assert routes._PLAIN.fullmatch(path) is None


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PROPFIND", "A" * 20])
def test_methods(method: str) -> None:
    """Upper-case letters."""
    assert valid_method(method)


@pytest.mark.parametrize(
    "method", ["", "get", "Get", "M-SEARCH", "GET ", "GET\n", "GET,POST", "A" * 21, "\uff27ET", "\u0130", "A" * 100_000]
)
def test_no_methods(method: str) -> None:
    """A method in another spelling might be another method to somebody."""
    assert not valid_method(method)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/things",
        "/v1/things/",
        "/v1/{id}",
        "/{a}/{b_2}/c",
        "/**",
        "/v1/**",
        "/{org}/**",
        "/v1/keys:rotate",
        "/@me",
        "/caf%C3%A9",
        "/a%20b",
    ],
)
def test_templates(path: str) -> None:
    """Literal segments, parameters, and a rest at the end."""
    assert template_error(path) is None


@pytest.mark.parametrize(
    ("path", "error"),
    [
        pytest.param("", "starts with /", id="empty"),
        pytest.param("v1", "starts with /", id="relative"),
        pytest.param("**", "starts with /", id="rest-alone"),
        pytest.param("/**/a", "last segment", id="rest-in-the-middle"),
        pytest.param("/**/**", "last segment", id="two-rests"),
        pytest.param("/**/", "last segment", id="rest-and-slash"),
        pytest.param("/{", "one {parameter}", id="open-brace"),
        pytest.param("/}", "one {parameter}", id="closing-brace"),
        pytest.param("/{}", "one {parameter}", id="no-name"),
        pytest.param("/{1a}", "one {parameter}", id="name-with-a-digit-first"),
        pytest.param("/{a-b}", "one {parameter}", id="name-with-a-hyphen"),
        pytest.param("/{\u00e9}", "one {parameter}", id="name-not-ascii"),
        pytest.param("/x{a}", "one {parameter}", id="literal-before"),
        pytest.param("/{a}.json", "one {parameter}", id="literal-behind"),
        pytest.param("/{a}{b}", "one {parameter}", id="two-in-one"),
        pytest.param("/{a}**", "one {parameter}", id="parameter-and-rest"),
        pytest.param("//", "never match", id="two-slashes"),
        pytest.param("/a//b", "never match", id="two-slashes-inside"),
        pytest.param("/a/../b", "never match", id="dot-dot"),
        pytest.param("/a?b", "never match", id="query"),
        pytest.param("/a#b", "never match", id="fragment"),
        pytest.param("/a b", "never match", id="blank"),
        pytest.param("/caf\u00e9", "never match", id="not-ascii"),
        pytest.param("/caf%c3%a9", "never match", id="lower-case-escape"),
        pytest.param("/%40me", "never match", id="optional-escape"),
        pytest.param("/a;v=1", "never match", id="path-parameter"),
        pytest.param("/a" * (MAX_SEGMENTS + 1), "never match", id="too-many-segments"),
    ],
)
def test_no_templates(path: str, error: str) -> None:
    """A route that could never match is a mistake in the configuration."""
    assert error in (template_error(path) or "")


def table(*written: str) -> RouteTable:
    """Build a table from `METHOD /path` texts."""
    pairs = [text.split(" ") for text in written]
    return RouteTable([route(method=None if method == "ANY" else method, path=path) for method, path in pairs])


def name(found: Route | None) -> str | None:
    """Return what a route is called."""
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("written", "request_line", "expected"),
    [
        pytest.param(["GET /a"], "GET /a", "GET /a", id="literal"),
        pytest.param(["GET /a"], "POST /a", None, id="other-method"),
        pytest.param(["GET /a"], "HEAD /a", None, id="head-is-not-get"),
        pytest.param(["ANY /a"], "POST /a", "ANY /a", id="any-method"),
        pytest.param(["ANY /a", "GET /a"], "GET /a", "GET /a", id="named-method-over-any"),
        pytest.param(["GET /admin"], "GET /Admin", None, id="case"),
        pytest.param(["GET /admin"], "GET /admin/", None, id="trailing-slash"),
        pytest.param(["GET /admin/"], "GET /admin", None, id="no-trailing-slash"),
        pytest.param(["GET /admin/"], "GET /admin/", "GET /admin/", id="trailing-slash-asked-for"),
        pytest.param(["GET /"], "GET /", "GET /", id="root"),
        pytest.param(["GET /a"], "GET /", None, id="root-without-a-route"),
        pytest.param(["GET /a/{id}"], "GET /a/1", "GET /a/{id}", id="parameter"),
        pytest.param(["GET /a/{id}"], "GET /a/", None, id="empty-parameter"),
        pytest.param(["GET /a/{id}"], "GET /a/1/", None, id="parameter-and-slash"),
        pytest.param(["GET /a/{id}"], "GET /a/1/2", None, id="parameter-is-one-segment"),
        pytest.param(["GET /{id}", "GET /me"], "GET /me", "GET /me", id="literal-over-parameter"),
        pytest.param(["GET /{a}/x", "GET /me/y"], "GET /me/x", "GET /{a}/x", id="back-to-the-parameter"),
        pytest.param(["GET /{a}", "POST /me"], "GET /me", "GET /{a}", id="back-for-the-method"),
        pytest.param(["GET /**"], "GET /a/b/c", "GET /**", id="rest"),
        pytest.param(["GET /**"], "GET /a/b/", "GET /**", id="rest-with-slash"),
        pytest.param(["GET /**"], "GET /", None, id="rest-is-not-empty"),
        pytest.param(["GET /a/**"], "GET /a", None, id="rest-needs-a-segment"),
        pytest.param(["GET /a/**"], "GET /a/", None, id="rest-needs-more-than-a-slash"),
        pytest.param(["GET /**", "GET /{id}"], "GET /a", "GET /{id}", id="parameter-over-rest"),
        pytest.param(["GET /**", "GET /a/**"], "GET /a/b", "GET /a/**", id="longer-rest-first"),
        pytest.param(["ANY /**", "GET /a/**"], "POST /a/b", "ANY /**", id="rest-of-another-method"),
        pytest.param(["ANY /a/**", "GET /a/**"], "GET /a/b", "GET /a/**", id="rest-named-method"),
        pytest.param([], "GET /", None, id="no-routes"),
    ],
)
def test_find(written: list[str], request_line: str, expected: str | None) -> None:
    """Literal over parameter over rest, segment by segment; then a named method over any."""
    method, path = request_line.split(" ")

    assert expected == name(table(*written).find(method, path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/keys:rotate", "GET /keys:rotate", id="as-written"),
        pytest.param("/keys%3Arotate", None, id="escaped"),
        pytest.param("/keys%3arotate", None, id="escaped-in-lower-case"),
        pytest.param("/keys:rotate;v=1", None, id="with-a-path-parameter"),
        pytest.param("/keys%3Arotate%3Bv=1", None, id="escaped-with-a-path-parameter"),
        pytest.param("/caf%C3%A9", "GET /caf%C3%A9", id="escape-as-written"),
        pytest.param("/caf%c3%a9", None, id="escape-in-lower-case"),
        pytest.param("/;x", None, id="empty-without-its-parameter"),
        pytest.param("/a%40b", "GET /{id}", id="same-route-escaped"),
        pytest.param("/a%20b", "GET /{id}", id="same-route-with-a-blank"),
        pytest.param("/a;v=1", "GET /{id}", id="same-route-with-a-path-parameter"),
    ],
)
def test_a_route_does_not_depend_on_who_reads_the_path(path: str, expected: str | None) -> None:
    """Beside a parameter, another spelling of a literal would be checked as one and served as the other."""
    ours = table("GET /{id}", "GET /keys:rotate", "GET /caf%C3%A9")

    assert expected == name(ours.find("GET", path))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("GET /a", "GET /a", id="literal"),
        pytest.param("GET /{a}", "GET /{b}", id="parameters-of-other-names"),
        pytest.param("ANY /**", "ANY /**", id="rest"),
    ],
)
def test_two_equal_routes_are_refused(first: str, second: str) -> None:
    """Which of them would hold is nobody's guess."""
    with pytest.raises(ValueError, match="two routes for"):
        table(first, second)


def test_finding_visits_each_position_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back from literals to parameters is bounded by the table, not by two to the depth of a path."""
    visits, walk = 0, routes._walk

    def counting(*args: object) -> Route | None:
        nonlocal visits
        visits += 1
        return walk(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(routes, "_walk", counting)
    shapes = itertools.product(("a", "{x}"), repeat=6)
    crowded = table(*("GET /" + "/".join(shape) + "/end" for shape in shapes))
    # A tree with two branches at each of six levels, and one end each.
    positions = sum(2**level for level in range(7)) + 2**6

    assert crowded.find("GET", "/" + "a/" * 6 + "no") is None
    assert visits <= positions

    visits = 0
    assert crowded.find("GET", "/a" * MAX_SEGMENTS) is None
    assert visits <= positions


def test_a_path_as_deep_as_allowed_does_not_exhaust_the_stack() -> None:
    """The walk is recursive, and the number of segments bounds it."""
    deep = table("GET " + "/{x}" * MAX_SEGMENTS)

    assert deep.find("GET", "/a" * MAX_SEGMENTS) is not None


def test_a_route_is_named_as_people_write_it() -> None:
    """The name goes into explanations and usage."""
    assert route(method=None, path="/v1/{id}").name == "ANY /v1/{id}"


def test_the_optional_escapes_cover_what_a_segment_may_hold() -> None:
    """Everything that may stand raw and is not unreserved has two spellings."""
    raw = {character for character in string.printable if plain_path(f"/a{character}b") == f"/a{character}b"}
    unreserved = set(string.ascii_letters + string.digits + "-._~")

    assert raw - unreserved - {"/"} == set(routes._OPTIONAL_ESCAPES.values())
