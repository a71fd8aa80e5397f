"""The rate-limit headers clients expect, from the limits' verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc.domain.api import RateHeaders
from authsvc.domain.quotas import NANOS_PER_SECOND, Verdict


def whole_seconds(nanos: int) -> int:
    """Round up: who waits that long has waited long enough."""
    return -(-nanos // NANOS_PER_SECOND)


def retry_after(verdicts: Sequence[Verdict]) -> int:
    """Return the seconds after which every limit has room again; at least 1."""
    return max(1, *(whole_seconds(verdict.retry_ns) for verdict in verdicts))


def rate_headers(wanted: RateHeaders, verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """
    Return `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) and `X-RateLimit-*`.

    The older family has room for one limit and tells the tightest, which is the first.
    """
    headers: list[tuple[str, str]] = []
    if not verdicts:
        return headers
    if wanted.standard:
        states = (f'"{v.limit.name}";r={v.remaining};t={whole_seconds(v.reset_ns)}' for v in verdicts)
        policies = (f'"{v.limit.name}";q={v.limit.count};w={whole_seconds(v.limit.period_ns)}' for v in verdicts)
        headers += [("ratelimit", ", ".join(states)), ("ratelimit-policy", ", ".join(policies))]
    if wanted.legacy:
        tightest = verdicts[0]
        headers += [
            ("x-ratelimit-limit", str(tightest.limit.count)),
            ("x-ratelimit-remaining", str(tightest.remaining)),
            ("x-ratelimit-reset", str(whole_seconds(tightest.reset_ns))),
        ]
    return headers
