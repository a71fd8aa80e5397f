"""Scopes: `resource:action` names. There is no hierarchy: `write` does not imply `read`."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

MAX_SCOPES = 64
MAX_SCOPE_LENGTH = 64

_NAME = re.compile(r"[a-z0-9_-]+:[a-z0-9_-]+")


def valid_name(name: str) -> bool:
    """Whether name can be a scope at all (`*` cannot: it stands for full access)."""
    return len(name) <= MAX_SCOPE_LENGTH and _NAME.fullmatch(name) is not None


def first_missing(required: Iterable[str], held: Container[str]) -> str | None:
    """Return the first required scope, in declared order, that is not held."""
    for scope in required:
        if scope not in held:
            return scope
    return None
