"""Pydantic's errors → problems with the real line, in our words."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from authsvc.config.document import Document
from authsvc.config.problems import MAX_TOLD, Location, Problem, listed, unknown

M = TypeVar("M", bound=BaseModel)

_NOTHING = object()
_WORDING = {
    "missing": "is required",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text, in quotes where it looks like something else",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "literal_error": "is none of the allowed values",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "needs at least {min_length} entries, has {actual_length}",
    "too_long": "may have at most {max_length} entries, has {actual_length}",
}
_ABOUT_WORDS = frozenset({"missing", "literal_error"})


def validate(model: type[M], data: object, document: Document, at: Location) -> M | list[Problem]:
    """Read the data at a location as a model, or say everything that is wrong with it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # One more than is told, so that it is told that there are more.
        found = islice(error.errors(include_url=False, include_input=False), MAX_TOLD + 1)
        return [_problem(model, data, document, at, details) for details in found]


def _problem(model: type[BaseModel], data: object, document: Document, at: Location, error: ErrorDetails) -> Problem:
    kind, location = error["type"], error["loc"]
    inside = _existing(data, location)
    if kind == "missing":
        inside = (*inside, location[-1])
    return document.problem((*at, *inside), _message(model, inside, error))


def _existing(data: object, location: Sequence[str | int]) -> Location:
    """Return the parts of a location that are in the file; forms and key markers are not."""
    found: Location = ()
    for part in location:
        child = _child_of(data, part)
        if child is not _NOTHING:
            data = child
            found = (*found, part)
    return found


def _child_of(data: object, part: str | int) -> object:
    if isinstance(data, dict):
        return data.get(part, _NOTHING)
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else _NOTHING


def _message(model: type[BaseModel], location: Location, error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "authsvc":
        return error["msg"]
    if kind == "extra_forbidden":
        allowed = sorted({name for parent in _at(model, location[:-1]) for name in _fields(parent)})
        return unknown("key", str(location[-1]), allowed)
    # Of a mapping that is too long nobody has counted the rest.
    wording = _WORDING.get(kind, error["msg"]).format_map(context).removesuffix(", has None")
    words = _allowed(_at(model, location)) if kind in _ABOUT_WORDS else ()
    return f"{wording}; allowed: {listed(words)}" if words else wording


# -- what the models allow at a location


def _at(model: type[BaseModel], location: Location) -> list[Any]:
    """Return the types that may stand at a location."""
    candidates: list[Any] = [model]
    for part in location:
        candidates = [leaf for parent in candidates for child in _child(parent, part) for leaf in _leaves(child)]
    return candidates


def _child(parent: Any, part: str | int) -> Iterator[Any]:  # noqa: ANN401 - type expressions have no type
    if isinstance(part, str) and part in _fields(parent):
        yield parent.model_fields[part].annotation
    elif get_origin(parent) is (dict if isinstance(part, str) else list):
        yield get_args(parent)[-1]


def _leaves(annotation: Any) -> Iterator[Any]:  # noqa: ANN401
    """Look behind `Annotated` and unions."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        for member in get_args(annotation):
            yield from _leaves(member)
    else:
        yield annotation


def _fields(annotation: Any) -> Sequence[str]:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return ()


def _allowed(annotations: Sequence[Any]) -> list[str]:
    """Return the words that may stand somewhere, then the other forms; nothing where any text may."""
    words = [_word(word) for one in annotations if get_origin(one) is Literal for word in get_args(one)]
    if words and any(get_origin(one) is list for one in annotations):
        words.append("a list")
    if words and any(get_origin(one) is dict or _fields(one) for one in annotations):
        words.append("a mapping")
    return words


def _word(word: object) -> str:
    return "true" if word is True else str(word)
