"""The rate-limit headers clients expect, from the limits' verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from authsvc.domain.api import RateHeaders
from authsvc.domain.quotas import NANOS_PER_SECOND, Verdict


def whole_seconds(nanos: int) -> int:
    """Round up: who waits that long has waited long enough."""
    return -(-nanos // NANOS_PER_SECOND)


def retry_after(verdicts: Sequence[Verdict]) -> int:
    """Return the seconds after which every limit has room again; at least 1."""
    longest = 1
    for verdict in verdicts:
        longest = max(longest, whole_seconds(verdict.retry_ns))
    return longest


class RateState(NamedTuple):
    """What the headers say of one limit; times are whole seconds, rounded up."""

    name: str
    quota: int
    window: int
    remaining: int
    reset: int


def rate_states(verdicts: Sequence[Verdict]) -> tuple[tuple[str, int, int, int, int], ...]:
    """Return what the headers need, as plain `RateState` fields: many verdicts share it, so answers are kept by it."""
    return tuple(
        [
            (v.limit.name, v.limit.count, v.limit.period_s, v.remaining, -(-v.reset_ns // NANOS_PER_SECOND))
            for v in verdicts
        ]
    )


def rate_headers(wanted: RateHeaders, fields: Sequence[tuple[str, int, int, int, int]]) -> list[tuple[str, str]]:
    """
    Return `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) and `X-RateLimit-*`.

    The older family has room for one limit and tells the tightest, which is the first.
    """
    headers: list[tuple[str, str]] = []
    states = [RateState(*field) for field in fields]
    if not states:
        return headers
    if wanted.standard:
        headers += [
            ("ratelimit", ", ".join(f'"{state.name}";r={state.remaining};t={state.reset}' for state in states)),
            ("ratelimit-policy", ", ".join(f'"{state.name}";q={state.quota};w={state.window}' for state in states)),
        ]
    if wanted.legacy:
        tightest = states[0]
        headers += [
            ("x-ratelimit-limit", str(tightest.quota)),
            ("x-ratelimit-remaining", str(tightest.remaining)),
            ("x-ratelimit-reset", str(tightest.reset)),
        ]
    return headers


def rate_header_names(wanted: RateHeaders) -> list[str]:
    """Return the names of the headers that an API's answers may carry."""
    return [name for name, _ in rate_headers(wanted, [("", 0, 0, 0, 0)])]
