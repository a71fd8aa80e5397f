"""What is kept for a time only is removed after it, in batches, by any number of instances. Either database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from authsvc.domain.usage import DAY, KEPT, MINUTE, Width, floor
from authsvc.stores.expired import CHANGES_KEPT, FLUSHES_KEPT
from authsvc.stores.records import REMEMBERED
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, ASKED, new_organization
from tests.support.usage import NOW, batch, tally

TABLES = ("usage_flushes", "idempotency", "auth_change")


def counted(url: str) -> dict[str, int]:
    """Return how many rows are left."""
    return {name: run_sql(url, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}


@pytest.mark.parametrize("width", Width)
async def test_usage_is_kept_for_the_time_of_its_width(store: SqlStore, database_url: str, width: Width) -> None:
    """The whole of it; two instances may remove at once."""
    second = SqlStore.open(database_url, PEPPERS)
    for age in (0, *KEPT.values()):
        for start in (NOW - age, NOW - age - DAY):
            await store.write_usage(batch({tally(start=floor(start, MINUTE)): 1}))
    await asyncio.gather(store.remove_expired(NOW, 100), second.remove_expired(NOW, 100))
    await second.close()

    starts = run_sql(database_url, f"SELECT start FROM usage_{width.value}s")
    instants = [int(each.timestamp() * 1_000_000) if hasattr(each, "timestamp") else each for (each,) in starts]
    assert instants
    assert min(instants) >= NOW - KEPT[width] - 1
    assert await store.remove_expired(NOW, 100) == 0


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        pytest.param("usage_flushes", FLUSHES_KEPT, id="ids-of-batches"),
        pytest.param("idempotency", REMEMBERED, id="request-ids"),
        pytest.param("auth_change", CHANGES_KEPT, id="changes"),
    ],
)
async def test_other_rows_are_kept_for_theirs(store: SqlStore, database_url: str, name: str, kept: int) -> None:
    """Not a minute less, and not much more."""
    await store.write_usage(batch({tally(): 1}))
    await store.create_organization(new_organization(), ASKED)
    now = (await store.head()).now

    await store.remove_expired(now + kept - MINUTE, 100)
    before = counted(database_url)[name]
    await store.remove_expired(now + kept + MINUTE, 100)

    assert (1, 0) == (before, counted(database_url)[name])


async def test_no_more_at_once_than_is_asked_for(store: SqlStore, database_url: str) -> None:
    """Of each table."""
    for number in range(1, 6):
        await store.write_usage(batch({tally(start=NOW - number * DAY): 1}))
        asked = replace(ASKED, request_id=f"request-{number}")
        await store.create_organization(new_organization(number, name=f"organization {number}"), asked)
    past = NOW + 100 * 365 * DAY

    removed = [await store.remove_expired(past, 2) for _ in range(4)]

    assert [2, 2, 1, 0] == removed
    assert dict.fromkeys(TABLES, 0) == counted(database_url)


async def test_changes_go_on_when_the_log_is_empty(store: SqlStore) -> None:
    """Positions are counted elsewhere."""
    await store.create_organization(new_organization(), ACTOR)
    before = (await store.head()).revision
    await store.remove_expired((await store.head()).now + CHANGES_KEPT + DAY, 100)

    made = await store.create_organization(new_organization(2, name="another"), ACTOR)

    assert before.seq + 1 == made.revision.seq
