"""
How an API words its refusals: status, content type, headers and body per reason.

A body is exact text in which `{{name}}` placeholders are filled, JSON-escaped where the content type
is JSON. Without configuration every refusal is problem details (RFC 9457).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

PLACEHOLDERS = ("reason", "message", "status", "required_scope", "decision_id", "retry_after")

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTemplate:
    """The answer to one reason."""

    status: int  # 400 to 599
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: str


def unknown_placeholder(body: str) -> str | None:
    """Return the first placeholder of a template that does not exist."""
    return next((name for name in _PLACEHOLDER.findall(body) if name not in PLACEHOLDERS), None)


def is_json(content_type: str) -> bool:
    """Whether values are to be escaped as JSON text."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def render(template: ErrorTemplate, values: Mapping[str, str]) -> str:
    """Fill the placeholders; a value that is absent is empty."""
    escape = _json_text if is_json(template.content_type) else str
    return _PLACEHOLDER.sub(lambda match: escape(values.get(match[1], "")), template.body)


def problem_details(status: int, *, scope: bool, retry: bool) -> ErrorTemplate:
    """Return the default answer, in the form of RFC 9457."""
    members = ['"type":"about:blank"', '"title":"{{message}}"', f'"status":{status}', '"reason":"{{reason}}"']
    if scope:
        members.append('"required_scope":"{{required_scope}}"')
    if retry:
        members.append('"retry_after":{{retry_after}}')
    members.append('"decision_id":"{{decision_id}}"')
    return ErrorTemplate(
        status=status, content_type="application/problem+json", headers=(), body="{" + ",".join(members) + "}"
    )


def _json_text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
