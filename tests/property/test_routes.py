"""Plain paths are read alike by every reader we know of, and routes are found as a naive matcher finds them."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, unquote_to_bytes

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.routes import UNROUTABLE, Route, RouteTable, plain_path, template_error, valid_method
from tests.support.builders import route

UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# Pieces that proxies and frameworks are known to disagree about, and harmless ones between them.
GOOD = [
    "a",
    "B",
    "0",
    "...",
    "a.b",
    "~",
    "*",
    ":",
    "@",
    "%40",
    "%20",
    "%3a",
    "%C3%A9",
    "%F0%9F%94%91",
    ";x=1",
    "%3B",
    "'",
]
BAD = [
    "..",
    ".",
    "//",
    "\\",
    "%",
    "%2",
    "%25",
    "%2e",
    "%2E",
    "%2f",
    "%5C",
    "%61",
    "%c0%ae",
    "%E9",
    "%C3",
    "%00",
    "%0a",
    "#",
]
BAD += ["\u00e9", "\uff0e", "\u212a", "\n", "\t", " ", "|", "{x}", "[", "..;", "..%3B", "?", "?x"]
PIECES = st.sampled_from([*GOOD * 8, *BAD, *["/"] * 4 * len(GOOD)])
TARGETS = st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)) | st.text().map(lambda t: "/" + t)


def unescaped_where_not_needed(path: str) -> str:
    """RFC 3986, 6.2.2.2: an escape of an unreserved character is the character."""
    return re.sub("%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)) if chr(int(m[1], 16)) in UNRESERVED else m[0], path)


def without_dots_as_in_posix(path: str) -> str:
    """`posixpath.normpath`, with the trailing slash kept."""
    normal = posixpath.normpath(path)
    return normal + "/" if path.endswith("/") and normal != "/" else normal


def without_dots_as_in_browsers(path: str) -> str:
    """The path state of the WHATWG URL parser, for special schemes."""
    output: list[str] = []
    segments = path.replace("\\", "/").split("/")[1:]
    for number, segment in enumerate(segments):
        dots, last = segment.lower().replace("%2e", "."), number == len(segments) - 1
        if dots == "..":
            del output[-1:]
            output += [""] if last else []
        elif dots == ".":
            output += [""] if last else []
        else:
            output.append(segment)
    return "/" + "/".join(output)


@given(TARGETS)
def test_a_plain_path_is_what_every_normaliser_makes_of_it(target: str) -> None:
    """Four ways of normalising leave it alone."""
    path = plain_path(target)
    event(f"plain: {path is not None}")
    if path is None:
        return

    assert path == without_dots_as_in_posix(path)
    assert path == unescaped_where_not_needed(path)
    assert path == re.sub("/+", "/", path)
    assert path == without_dots_as_in_browsers(path)


@given(TARGETS)
def test_a_plain_path_is_the_beginning_of_the_target(target: str) -> None:
    """It ends at the first question mark; a fragment is nowhere."""
    path = plain_path(target)

    assert path is None or target == path or target.startswith(path + "?")
    assert path is None or "#" not in target


@given(TARGETS)
def test_unescaping_a_plain_path_moves_no_boundary(target: str) -> None:
    """Unescaped, once or twice, it has the same segments, and none of them is dots."""
    path = plain_path(target)
    if path is None:
        return
    text = unquote_to_bytes(path).decode()

    assert text == unquote(text)
    assert path.count("/") == text.count("/")
    assert not {segment.partition(";")[0] for segment in text.split("/")} & {".", ".."}
    assert not set(text) & {"\\", "\0", "\r", "\n"}


LITERALS = st.sampled_from(["a", "b", "ab", "a:b", "@", "c%C3%A9"])
TEMPLATE_SEGMENTS = LITERALS | st.sampled_from(["{x}", "{y}"])
METHODS = st.sampled_from(["GET", "POST", None])


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Draw a route's path."""
    segments = draw(st.lists(TEMPLATE_SEGMENTS, min_size=1, max_size=4))
    return "/" + "/".join(segments) + draw(st.sampled_from(["", "", "/", "/**"]))


@st.composite
def tables(draw: st.DrawFn) -> list[Route]:
    """Draw routes that differ in more than the names of their parameters."""
    pairs = draw(
        st.lists(
            st.tuples(METHODS, templates() | st.sampled_from(["/", "/**"])),
            max_size=12,
            unique_by=lambda pair: (pair[0], pair[1].replace("{y}", "{x}")),
        )
    )
    return [route(method=method, path=path) for method, path in pairs]


PATHS = st.lists(
    LITERALS | st.sampled_from(["z", "a%3Ab", "a%3ab", "%40", "c%c3%a9", "a;v", "a%3Bv", ";v", "a%20b"]),
    min_size=0,
    max_size=5,
).map(lambda segments: "/" + "/".join(segments)) | templates().map(lambda path: re.sub(r"\{.\}|\*\*", "a", path))


def rank(written: Route, method: str, segments: list[str]) -> tuple[list[int], bool] | None:
    """Say how specifically a route fits, segment by segment; None where it does not."""
    template = written.path[1:].split("/")
    rest = template[-1] == "**"
    head = template[:-1] if rest else template
    ranks = []
    for pattern, segment in zip(head, segments, strict=False):
        if not (pattern == segment or (pattern.startswith("{") and segment)):
            return None
        ranks.append(int(pattern.startswith("{")))
    fits = len(segments) > len(head) and segments[len(head)] if rest else len(segments) == len(head)
    if not fits or written.method not in (method, None):
        return None
    return ranks + [2] * rest, written.method is None


def naive(routes: list[Route], method: str, path: str) -> Route | None:
    """Try every route and take the most specific."""
    segments = path[1:].split("/")
    ranked = [(fit, written) for written in routes if (fit := rank(written, method, segments)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def readings(path: str) -> set[str]:
    """Return a path as readers see it who unescape, who cut path parameters off, and who do both."""
    whole = re.sub("%[0-9a-f]{2}", lambda m: m[0].upper(), path, flags=re.IGNORECASE)
    for character in "!$&'()*+,;=:@":
        whole = whole.replace(f"%{ord(character):02X}", character)
    return {path, whole, *("/".join(part.split(";")[0] for part in read.split("/")) for read in (path, whole))}


@given(tables(), st.sampled_from(["GET", "POST", "DELETE"]), PATHS)
def test_finding_equals_trying_every_route(written: list[Route], method: str, path: str) -> None:
    """The most specific route, where all who may read the path agree on it."""
    found = {naive(written, method, reading) for reading in readings(path)}
    expected = found.pop() if len(found) == 1 else None
    actual = RouteTable(written).find(method, path)
    event(f"found: {actual is not None}, readers differ: {bool(found)}")

    assert expected is actual


@given(tables(), st.sampled_from(["GET", "POST"]), PATHS, st.data())
def test_the_order_of_the_routes_does_not_matter(
    written: list[Route], method: str, path: str, data: st.DataObject
) -> None:
    """A file can be sorted by its readers' taste."""
    shuffled = data.draw(st.permutations(written))

    assert RouteTable(written).find(method, path) is RouteTable(shuffled).find(method, path)


@given(templates() | TARGETS)
def test_every_template_that_is_accepted_can_match(path: str) -> None:
    """Filled with a value, it is plain, and finds its route."""
    event(f"accepted: {template_error(path) is None}")
    if template_error(path) is not None:
        return
    written = route(path=path)
    filled = re.sub(r"\{[^}]*\}|(?<=/)\*\*$", "value", path)

    assert filled == plain_path(filled)
    assert written is RouteTable([written]).find("GET", filled)


@given(
    tables(),
    st.sampled_from(["GET", "POST", "get", "OPTIONS", ""]),
    PATHS | TARGETS,
    st.sampled_from(["", "?", "?a=/b", "?#"]),
)
def test_resolving_is_judging_and_finding(written: list[Route], method: str, path: str, query: str) -> None:
    """The short cuts of `resolve` change nothing, asked once or again."""
    table, target = RouteTable(written), path + query
    plain = plain_path(target)
    expected = UNROUTABLE if plain is None or not valid_method(method) else table.find(method, plain)

    assert [expected, expected] == [table.resolve(method, target) for _ in range(2)]
