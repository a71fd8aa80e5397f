"""
Method and path → route.

Segments are compared exactly, so a path is looked at only when every proxy and framework would read
it the same way; anything else is refused (`plain_path`). What is left to readers' tastes, whether `%3A`
is `:` and whether `;x` belongs to a segment, must not change the route (`RouteTable.find`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_PATH_LENGTH = 8192
MAX_SEGMENTS = 128

# Requests a table remembers the route of, and how long their targets may be: at most some 4 MB a table.
_KEPT = 8192
_KEPT_LENGTH = 256

_COMMON_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METHOD = re.compile(r"[A-Z]{1,20}")
# `/`-separated non-empty segments of pchar (RFC 3986), with an optional slash at the end. A percent
# escape must be needed: not of a slash, backslash, dot or unreserved character, not of a control, and
# not of the percent sign itself, which a second decoding would turn into any of these.
_ESCAPE = r"%(?:2[0-46-9A-Ca-c]|3[A-Fa-f]|40|5[BDEbde]|60|7[B-Db-d]|[89A-Fa-f][0-9A-Fa-f])"
# Possessive (`++`), because there is only one way to match and keeping others in mind is four times slower.
_SEGMENT = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]++|{_ESCAPE})++"
_PLAIN = re.compile(rf"(?=/)(?:/{_SEGMENT})*+/?")
# What nearly every path is: plain, and without a percent sign, dot or semicolon that would need a second look.
_SIMPLE = re.compile(r"(?:/[A-Za-z0-9_~-]++){1,128}+/?")
# `..;x` is `..` to servers that cut path parameters off.
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|;|%3[Bb]|$)")
_ANY_ESCAPE = re.compile(r"%..")
# What could as well stand unescaped in a segment.
_OPTIONAL_ESCAPES = {f"%{ord(character):02X}": character for character in "!$&'()*+,;=:@"}
_PATH_PARAMETERS = re.compile(r";[^/]*")
_TEMPLATE_SEGMENT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
REST = "**"


class Unroutable(Enum):
    """A request that must not be looked up: its method is none, or its path could be read in two ways."""

    UNROUTABLE = "unroutable"


UNROUTABLE: Final = Unroutable.UNROUTABLE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """What one method and path pattern asks of a key. There is one object for each: it hashes by identity."""

    method: str | None  # None: any
    path: str  # literal segments, `{parameter}` segments, `**` at the end for one or more further segments
    scopes: tuple[str, ...]  # all must hold
    kinds: frozenset[str] | None  # None: any kind whose ceiling covers the scopes
    environment: str | None
    public: bool
    preflight: bool
    name: str = field(init=False)  # as people write it, for explanations and usage

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.method or 'ANY'} {self.path}")


def plain_path(target: str) -> str | None:
    """Return the path of a request target, before the first `?`; None when it could be read in two ways."""
    path, _, query = target.partition("?")
    return path if len(target) <= MAX_PATH_LENGTH and "#" not in query and _is_plain(path) else None


def _is_plain(path: str) -> bool:
    if _PLAIN.fullmatch(path) is None:
        return False
    if ("/." in path and _DOT_SEGMENT.search(path) is not None) or ("%" in path and not _is_utf8(path)):
        return False
    # Every segment but an empty last one has a character, so a short path has few.
    return len(path) < MAX_SEGMENTS or path.count("/") <= MAX_SEGMENTS


def valid_method(method: str) -> bool:
    """Whether text can be an HTTP method here."""
    return method in _COMMON_METHODS or _METHOD.fullmatch(method) is not None


def template_error(path: str) -> str | None:
    """Say what is wrong with a route's path, or None."""
    if not path.startswith("/"):
        return "a path starts with /"
    *body, last = path[1:].split("/")
    if REST in body:
        return f"{REST} may only be the last segment"
    for segment in [*body, *([] if last == REST else [last])]:
        if ("{" in segment or "}" in segment) and _TEMPLATE_SEGMENT.fullmatch(segment) is None:
            return f"segment {segment!r} must be literal text or one {{parameter}}"
    literal = _TEMPLATE_SEGMENT.sub("x", path.removesuffix(REST))
    if plain_path(literal) != literal or any(reading != literal for reading in _readings(literal)):
        return "the path would never match: write it as a client sends it"
    return None


def _is_utf8(path: str) -> bool:
    # Some readers take `%C0%AF`, an overlong form, for a slash, and others refuse it.
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _readings(path: str) -> tuple[str, str, str]:
    """Return a plain path as others read it: unescaped, without path parameters, or both."""
    unescaped = _ANY_ESCAPE.sub(lambda match: _OPTIONAL_ESCAPES.get(match[0].upper(), match[0].upper()), path)
    return unescaped, _PATH_PARAMETERS.sub("", path), _PATH_PARAMETERS.sub("", unescaped)


class _Node:
    """One position in the tree of segments."""

    __slots__ = ("children", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str | None, Route] = {}
        self.rest: dict[str | None, Route] = {}


class RouteTable:
    """All routes of an API. Literal segments win over parameters, both over `**`, a named method over any."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._literal: dict[tuple[str, str], Route] = {}
        self._root = _Node()
        for route in self.routes:
            self._add(route)
        # What was judged a moment ago is not judged again; bounded, because callers choose what they ask for.
        self._resolved = lru_cache(maxsize=_KEPT)(self._resolve)

    def resolve(self, method: str, target: str) -> Route | Unroutable | None:
        """Return the route for a request as it was sent: what `plain_path`, `valid_method` and `find` say together."""
        return self._resolved(method, target) if len(target) <= _KEPT_LENGTH else self._resolve(method, target)

    def _resolve(self, method: str, target: str) -> Route | Unroutable | None:
        path, _, query = target.partition("?")
        if len(target) > MAX_PATH_LENGTH or "#" in query:
            return UNROUTABLE
        # Most requests of most APIs hit a literal route: its path is plain, and its method one.
        route = self._literal.get((method, path))
        if route is not None:
            return route
        if method not in _COMMON_METHODS and not valid_method(method):
            return UNROUTABLE
        if _SIMPLE.fullmatch(path) is not None:
            return _walk(self._root, path[1:].split("/"), 0, method)
        return self.find(method, path) if _is_plain(path) else UNROUTABLE

    def find(self, method: str, path: str) -> Route | None:
        """Return the route for a plain path; None where there is none, or where it depends on who reads the path."""
        route = _walk(self._root, path[1:].split("/"), 0, method)
        # Beside `/keys:rotate` and `/{id}`, `/keys%3Arotate` would be checked as one and served as the other.
        if ("%" in path or ";" in path) and any(
            _walk(self._root, other[1:].split("/"), 0, method) is not route for other in _readings(path)
        ):
            return None
        return route

    def _add(self, route: Route) -> None:
        node = self._root
        segments = route.path[1:].split("/")
        rest = segments[-1] == REST
        for segment in segments[:-1] if rest else segments:
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        leaf = node.rest if rest else node.routes
        if route.method in leaf:
            message = f"two routes for {route.name}"
            raise ValueError(message)
        leaf[route.method] = route
        if route.method is not None and not rest and "{" not in route.path and template_error(route.path) is None:
            self._literal[route.method, route.path] = route


def _walk(node: _Node, segments: list[str], depth: int, method: str) -> Route | None:
    while depth < len(segments):
        segment = segments[depth]
        depth += 1
        literal = node.children.get(segment)
        # An empty last segment (a trailing slash) is no value for a parameter.
        parameter = node.parameter if segment else None
        if segment and (node.rest or (literal is not None and parameter is not None)):
            return _fork(node, literal, segments, depth, method)
        if literal is None:
            literal = parameter
        if literal is None:
            return None
        node = literal
    return node.routes.get(method) or node.routes.get(None)


def _fork(node: _Node, literal: _Node | None, segments: list[str], depth: int, method: str) -> Route | None:
    """Go on where several ways lead: the literal one first, `**` last."""
    found = None if literal is None else _walk(literal, segments, depth, method)
    if found is None and node.parameter is not None:
        found = _walk(node.parameter, segments, depth, method)
    return found or node.rest.get(method) or node.rest.get(None)
