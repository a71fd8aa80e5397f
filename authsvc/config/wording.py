"""The `errors` section → what the API answers to each reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from authsvc.config.models import ErrorSection
from authsvc.config.problems import Location
from authsvc.config.values import DEFAULT_ENTRY
from authsvc.domain.dialect import PLACEHOLDERS, ErrorTemplate, is_json, problem_details, render, unknown_placeholder
from authsvc.domain.reasons import WORDING, Reason

_EMPTY = ErrorSection()
# What the service writes itself: `challenge` words the first, the limits the next ones. A refusal that is kept and
# given to somebody else is wrong, and whatever is given to a gRPC client must not read as success.
_WRITTEN = frozenset(
    {"www-authenticate", "retry-after", "ratelimit", "ratelimit-policy"}
    | {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
    | {"cache-control", "grpc-status", "grpc-message"}
)
_JSON = "application/json"
# One of each kind of trouble a value could be to JSON.
_SAMPLE = 'a "quoted" \\ text'


def templates(errors: Mapping[str, ErrorSection]) -> dict[Reason, ErrorTemplate]:
    """Return the answers an API words itself."""
    if DEFAULT_ENTRY in errors:
        return {reason: _template(errors, reason) for reason in Reason}
    return {Reason(name): _template(errors, Reason(name)) for name in errors}


def check(errors: Mapping[str, ErrorSection]) -> Iterator[tuple[Location, str]]:
    """Say what cannot be sent, with the place below `errors`."""
    default = errors.get(DEFAULT_ENTRY, _EMPTY)
    for name, section in errors.items():
        yield from _check_section(name, section, default)
    if any(True for name, section in errors.items() for _ in _check_section(name, section, default)):
        return
    told: set[Location] = set()
    for reason, template in templates(errors).items():
        origin = _origin(errors, reason)
        if origin is None or not is_json(template.content_type) or origin in told:
            continue
        if not _is_valid_json(template, reason):
            told.add(origin)
            yield origin, f"is not JSON once its placeholders are filled for {reason}; put text placeholders in quotes"


def _check_section(name: str, section: ErrorSection, default: ErrorSection) -> Iterator[tuple[Location, str]]:
    if section.body is None and section.content_type is not None and default.body is None:
        yield (name, "content_type"), "needs a body"
    for header, value in section.headers.items():
        if "{{" in value:
            yield (name, "headers", header), "placeholders are filled in the body only"
        if header in _WRITTEN:
            yield (name, "headers", header), "is written by the service"
    placeholder = None if section.body is None else unknown_placeholder(section.body)
    if placeholder is not None:
        allowed = ", ".join(f"{{{{{known}}}}}" for known in PLACEHOLDERS)
        yield (name, "body"), f"unknown placeholder {{{{{placeholder[:40]}}}}}; allowed: {allowed}"


def _origin(errors: Mapping[str, ErrorSection], reason: Reason) -> Location | None:
    """Return whose body a reason's answer has; None: our own."""
    for name in (reason, DEFAULT_ENTRY):
        if name in errors and errors[name].body is not None:
            return (str(name), "body")
    return None


def _template(errors: Mapping[str, ErrorSection], reason: Reason) -> ErrorTemplate:
    own, default = errors.get(reason, _EMPTY), errors.get(DEFAULT_ENTRY, _EMPTY)
    status = own.status or default.status or WORDING[reason].status
    headers = tuple((default.headers | own.headers).items())
    body = own.body if own.body is not None else default.body
    if body is None:
        plain = problem_details(status, scope=reason is Reason.INSUFFICIENT_SCOPE, retry=reason is Reason.RATE_LIMITED)
        return ErrorTemplate(status=status, content_type=plain.content_type, headers=headers, body=plain.body)
    content_type = own.content_type or default.content_type or _JSON
    return ErrorTemplate(status=status, content_type=content_type, headers=headers, body=body)


def _is_valid_json(template: ErrorTemplate, reason: Reason) -> bool:
    values = {"reason": str(reason), "message": _SAMPLE, "status": str(template.status), "decision_id": "dec_1"}
    if reason is Reason.INSUFFICIENT_SCOPE:
        values["required_scope"] = "sample:read"
    if reason is Reason.RATE_LIMITED:
        values["retry_after"] = "30"
    try:
        json.loads(render(template, values), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> float:
    raise ValueError(name)
