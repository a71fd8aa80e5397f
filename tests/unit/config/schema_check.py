"""A JSON Schema validator for the keywords our schema uses; any other keyword is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
_SAYS_NOTHING = {"$schema", "$defs", "title", "description", "examples", "default"}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield what is wrong with a value."""
    for keyword, wanted in schema.items():
        if keyword not in _SAYS_NOTHING:
            yield from _KEYWORDS[keyword](value, wanted, schema, root, at)


def _ref(value: Any, wanted: str, _: Any, root: Any, at: str) -> Iterator[str]:
    yield from violations(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, at)


def _type(value: Any, wanted: str, _: Any, __: Any, at: str) -> Iterator[str]:
    if not isinstance(value, _TYPES[wanted]) or (wanted == "integer" and isinstance(value, bool)):
        yield f"{at}: not of type {wanted}"


def _one_of(value: Any, wanted: list[Any], _: Any, root: Any, at: str) -> Iterator[str]:
    if sum(not list(violations(value, choice, root, at)) for choice in wanted) != 1:
        yield f"{at}: not exactly one of the forms"


def _members(value: Any, wanted: dict[str, Any], _: Any, root: Any, at: str) -> Iterator[str]:
    for name in wanted.keys() & value.keys() if isinstance(value, dict) else ():
        yield from violations(value[name], wanted[name], root, f"{at}.{name}")


def _patterns(value: Any, wanted: dict[str, Any], _: Any, root: Any, at: str) -> Iterator[str]:
    for name, member in value.items() if isinstance(value, dict) else ():
        for pattern, schema in wanted.items():
            if re.search(pattern, name):
                yield from violations(member, schema, root, f"{at}.{name}")


def _additional(value: Any, wanted: Any, schema: Any, root: Any, at: str) -> Iterator[str]:
    for name, member in value.items() if isinstance(value, dict) else ():
        known = name in schema.get("properties", ()) or any(
            re.search(p, name) for p in schema.get("patternProperties", ())
        )
        if not known and wanted is False:
            yield f"{at}.{name}: not allowed"
        elif not known:
            yield from violations(member, wanted, root, f"{at}.{name}")


def _names(value: Any, wanted: Any, _: Any, root: Any, at: str) -> Iterator[str]:
    for name in value if isinstance(value, dict) else ():
        yield from violations(name, wanted, root, f"{at}.{name}")


def _items(value: Any, wanted: Any, _: Any, root: Any, at: str) -> Iterator[str]:
    for position, item in enumerate(value if isinstance(value, list) else ()):
        yield from violations(item, wanted, root, f"{at}[{position}]")


def _plain(kind: type | tuple[type, ...], says: Any, what: str) -> Any:
    def check(value: Any, wanted: Any, _: Any, __: Any, at: str) -> Iterator[str]:
        if isinstance(value, kind) and not says(value, wanted):
            yield f"{at}: {what} {wanted}"

    return check


_KEYWORDS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "oneOf": _one_of,
    "properties": _members,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
    "required": _plain(dict, lambda value, wanted: value.keys() >= set(wanted), "lacks one of"),
    "enum": _plain(object, lambda value, wanted: value in wanted, "none of"),
    "const": _plain(object, lambda value, wanted: value == wanted, "is not"),
    "pattern": _plain(str, lambda value, wanted: re.search(wanted, value), "does not match"),
    "minimum": _plain(int, lambda value, wanted: value >= wanted, "below"),
    "maximum": _plain(int, lambda value, wanted: value <= wanted, "above"),
    "minLength": _plain(str, lambda value, wanted: len(value) >= wanted, "shorter than"),
    "maxLength": _plain(str, lambda value, wanted: len(value) <= wanted, "longer than"),
    "minItems": _plain(list, lambda value, wanted: len(value) >= wanted, "fewer than"),
    "maxItems": _plain(list, lambda value, wanted: len(value) <= wanted, "more than"),
    "minProperties": _plain(dict, lambda value, wanted: len(value) >= wanted, "fewer than"),
    "maxProperties": _plain(dict, lambda value, wanted: len(value) <= wanted, "more than"),
}
