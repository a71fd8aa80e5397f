"""Sum usage."""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.domain import inputs
from authsvc.domain.administration import Page
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.keys import Micros
from authsvc.domain.usage import ALLOW, DAY, KEPT, LONGEST, MICROS, Dimension, UsageQuery, UsageSum, Width, floor
from authsvc.ports import Clock, UsageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRequest:
    """What is asked. Empty text does not restrict."""

    start: Micros
    end: Micros | None  # None: now
    width: Width | None  # None: one sum for the whole period
    group_by: tuple[Dimension, ...]
    api: str
    organization_id: str
    key_id: str
    route: str
    allowed: bool | None
    reason: str


class QueryUsage:
    """Pages through sums, by time and dimensions. Who may ask is decided at the gate."""

    def __init__(self, store: UsageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, request: UsageRequest, limit: int, after: str | None) -> Page[UsageSum]:
        """Return up to `limit` sums behind the position `after`."""
        if request.organization_id:
            inputs.organization_id(request.organization_id)
        if request.key_id:
            inputs.key_id(request.key_id, "key_id")
        if request.reason == ALLOW:
            raise InvalidInputError("reason: an allow has none; ask for the verdict")
        return await self._store.query_usage(self._resolved(request), limit, after)

    def _resolved(self, request: UsageRequest) -> UsageQuery:
        now = self._clock.now()
        end = now if request.end is None else request.end
        width = request.width or _finest(request.start, end, now)
        start = floor(request.start, MICROS[width])
        if start >= end:
            raise InvalidInputError("end_time: it must lie behind start_time, which must lie behind us")
        if not _fits(start, end, width):
            longest = LONGEST[width]
            told = f"{longest // DAY} days" if longest > DAY else "24 hours"
            raise InvalidInputError(f"start_time: for this bucket the period may be {told} long at most")
        return UsageQuery(
            start=start,
            end=end,
            width=width,
            whole=request.width is None,
            group_by=tuple(sorted(request.group_by, key=list(Dimension).index)),
            api=request.api or None,
            organization_id=request.organization_id or None,
            key_id=request.key_id or None,
            route=request.route or None,
            allowed=request.allowed,
            outcome=request.reason or None,
        )


def _finest(start: Micros, end: Micros, now: Micros) -> Width:
    """Return the narrowest rows that are still kept for the whole period, and not too many for it."""
    return next(
        (width for width in Width if _fits(start, end, width) and start >= now - KEPT[width]),
        Width.DAY,
    )


def _fits(start: Micros, end: Micros, width: Width) -> bool:
    # One bucket more, because "the last 24 hours" take a moment to get here.
    micros = MICROS[width]
    return floor(end, micros) - floor(start, micros) <= LONGEST[width] + micros
