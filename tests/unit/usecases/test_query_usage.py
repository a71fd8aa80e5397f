"""Which rows a period is summed from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import Page
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.usage import DAY, HOUR, MINUTE, Dimension, UsageQuery, UsageSum, Width, floor
from authsvc.usecases.query_usage import QueryUsage, UsageRequest
from tests.support.builders import NOW
from tests.support.fakes import FakeClock
from tests.support.usage import FakeUsageStore

REQUEST = UsageRequest(
    start=NOW - HOUR,
    end=None,
    width=None,
    group_by=(),
    api="",
    organization_id="",
    key_id="",
    route="",
    allowed=None,
    reason="",
)


class Asked(FakeUsageStore):
    """Notes what it is asked."""

    query: UsageQuery

    async def query_usage(self, query: UsageQuery, limit: int, after: str | None) -> Page[UsageSum]:
        """Note, and find nothing."""
        self.query = query
        return Page(items=(), next_token="")


async def resolved(**changes: Any) -> UsageQuery:
    """Return what the store is asked."""
    store = Asked()
    await QueryUsage(store, FakeClock())(replace(REQUEST, **changes), 10, None)
    return store.query


@pytest.mark.parametrize(
    ("ago", "length", "width"),
    [
        pytest.param(HOUR, HOUR, Width.MINUTE, id="the-last-hour"),
        pytest.param(24 * HOUR + 1, 24 * HOUR + 1, Width.MINUTE, id="the-last-day"),
        pytest.param(24 * HOUR + 2 * MINUTE, 24 * HOUR + 2 * MINUTE, Width.HOUR, id="more-than-a-day"),
        pytest.param(49 * HOUR, HOUR, Width.HOUR, id="minutes-are-gone"),
        pytest.param(31 * DAY, 31 * DAY, Width.HOUR, id="a-month"),
        pytest.param(32 * DAY, 32 * DAY, Width.DAY, id="more-than-a-month"),
        pytest.param(91 * DAY, HOUR, Width.DAY, id="hours-are-gone"),
        pytest.param(1000 * DAY, HOUR, Width.DAY, id="everything-is-gone"),
    ],
)
async def test_a_whole_period_is_summed_from_the_narrowest_rows(ago: int, length: int, width: Width) -> None:
    """Those that are still kept for all of it, and not too many."""
    query = await resolved(start=NOW - ago, end=NOW - ago + length)

    assert (width, True) == (query.width, query.whole)


@pytest.mark.parametrize(("width", "micros"), [(Width.MINUTE, MINUTE), (Width.HOUR, HOUR), (Width.DAY, DAY)])
async def test_a_period_begins_with_a_bucket(width: Width, micros: int) -> None:
    """Its start is cut down; its end is not, and is now where none is named."""
    query = await resolved(width=width)

    assert (floor(NOW - HOUR, micros), NOW, False) == (query.start, query.end, query.whole)


async def test_dimensions_have_one_order() -> None:
    """However they are asked for."""
    query = await resolved(group_by=(Dimension.REASON, Dimension.API, Dimension.KEY))

    assert query.group_by == (Dimension.KEY, Dimension.API, Dimension.REASON)


@pytest.mark.parametrize("end", [NOW - 2 * HOUR, 0])
async def test_a_period_has_a_length(end: int) -> None:
    """It ends after it begins."""
    with pytest.raises(InvalidInputError, match="end_time"):
        await resolved(end=end)
