"""
YAML text → plain data, with the line of every entry.

A small part of YAML: mappings with text as keys, lists, text, whole numbers, true and false, as JSON
and YAML 1.2 read them (`on`, `no` and `10:30` are text). No aliases, no tags, no empty values and no
key twice, so what a reviewer reads is what is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from authsvc.config.problems import Location, Problem, dotted

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 24

_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
_MAX_DIGITS = 18


@dataclass(slots=True)
class Document:
    """Plain data, the line of every location in it, and what was wrong with the text."""

    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, location: Location) -> int:
        """Return the line of a location, or of the closest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def problem(self, location: Location, message: str) -> Problem:
        """Return a problem at a location."""
        return Problem(self.line_of(location), dotted(location), message)


class _RefusedError(Exception):
    """Legal YAML that is not read here, at a line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes with the scalar types of YAML 1.2, without aliases, to a bounded depth."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose one node."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            raise _RefusedError(_line(event.start_mark), "aliases (*) are not supported; write the value out")
        if self.depth >= MAX_DEPTH:
            raise _RefusedError(_line(event.start_mark), f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            node: Node | None = super().compose_node(parent, index)
        finally:
            self.depth -= 1
        return node


for _tag, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", ["", "~", "n", "N"]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def parse(raw: bytes) -> Document:
    """Read a document; what is wrong with the text is in its `problems`, and never quotes a value."""
    document = Document()
    if len(raw) > MAX_BYTES:
        document.problems.append(Problem(1, "", f"larger than {MAX_BYTES} bytes"))
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        document.problems.append(Problem(raw[: error.start].count(b"\n") + 1, "", "not UTF-8 text"))
        return document
    try:
        node = _compose(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        document.problems.append(Problem(line, "", "a control character is not allowed here"))
    except _RefusedError as error:
        document.problems.append(Problem(error.line, "", str(error)))
    except yaml.MarkedYAMLError as error:
        document.problems.append(Problem(_line(error.problem_mark), "", _syntax(error)))
    else:
        if node is None:
            document.problems.append(Problem(1, "", "the file is empty"))
        else:
            document.data = _value(node, (), document)
    return document


def _line(mark: Any) -> int:  # noqa: ANN401 - one of PyYAML's two kinds of mark
    return int(mark.line) + 1 if mark is not None else 1


def _compose(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _syntax(error: yaml.MarkedYAMLError) -> str:
    # PyYAML names tokens, characters and anchors, never the text of a scalar.
    return f"not valid YAML: {error.problem or error.context}"


def _value(node: Node, at: Location, document: Document) -> Any:  # noqa: ANN401 - plain data
    document.lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return {key: _value(child, (*at, key), document) for key, child in _entries(node, at, document)}
    if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_value(child, (*at, position), document) for position, child in enumerate(node.value)]
    if isinstance(node, ScalarNode):
        return _scalar(node, at, document)
    document.problems.append(document.problem(at, f"the tag {node.tag[:80]} is not supported"))
    return None


def _entries(node: MappingNode, at: Location, document: Document) -> Iterator[tuple[str, Node]]:
    seen: dict[str, int] = {}
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            document.problems.append(Problem(line, dotted(at), "keys must be text; quote this one"))
            continue
        key = key_node.value
        if key in seen:
            message = f"the key is here twice, first in line {seen[key]}"
            document.problems.append(Problem(line, dotted((*at, key)), message))
            continue
        seen[key] = document.lines[(*at, key)] = line
        yield key, child


def _scalar(node: ScalarNode, at: Location, document: Document) -> str | int | bool | None:
    text: str = node.value
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "bool" if text in _TRUE | _FALSE:
            return text in _TRUE
        case "int" if len(text) <= _MAX_DIGITS:
            return int(text)
        case "null":
            message = "has no value; give one, or remove the key (an empty mapping is {}, an empty list [])"
        case "int" | "float":
            message = "must be a whole number of at most 18 characters; quote it if it is text"
        case _:
            message = f"the tag {node.tag[:80]} is not supported"
    document.problems.append(document.problem(at, message))
    return None
