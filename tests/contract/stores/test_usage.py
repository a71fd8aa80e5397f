"""Usage in either database: added once, summed from everywhere, removed in time, in nobody's way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection

from authsvc.domain.errors import UnavailableError
from authsvc.domain.usage import DAY, HOUR, MINUTE, Dimension, Tally, UsageQuery, UsageSum, Width, floor
from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from authsvc.telemetry import UsageCounters
from authsvc.usage.flusher import Flusher
from authsvc.usage.recorder import Recorder
from tests.support.builders import NOW, route
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS, FakeClock
from tests.support.stored import ACTOR, key_id, new_key, new_organization, organization_id
from tests.support.usage import SHOP, batch, bearer, tally, use

EVERYTHING = UsageQuery(
    start=0,
    end=2 * NOW,
    width=Width.MINUTE,
    whole=True,
    group_by=(),
    api=None,
    organization_id=None,
    key_id=None,
    route=None,
    allowed=None,
    outcome=None,
)
PERIODS = {width: floor(NOW, {"minute": MINUTE, "hour": HOUR, "day": DAY}[width]) for width in Width}


@pytest_asyncio.fixture
async def second(database_url: str) -> AsyncIterator[SqlStore]:
    """Give another instance's store of the same database."""
    async with AsyncExitStack() as stack:
        opened = SqlStore.open(database_url, PEPPERS)
        stack.push_async_callback(opened.close)
        yield opened


async def total(store: SqlStore, **changes: Any) -> int:
    """Return how many decisions are stored."""
    return sum(each.count for each in (await store.query_usage(replace(EVERYTHING, **changes), 10, None)).items)


async def sums(store: SqlStore, page: int = 1000, **changes: Any) -> list[UsageSum]:
    """Return all sums of a query, page by page."""
    found: list[UsageSum] = []
    after: str | None = None
    while after != "":
        got = await store.query_usage(replace(EVERYTHING, **changes), page, after)
        assert len(got.items) <= page
        found += got.items
        after = got.next_token
    return found


def words(found: Sequence[UsageSum]) -> list[tuple[Any, ...]]:
    """Return sums without their time, short."""
    return [(*each.values.values(), each.count) for each in found]


async def keys_of(store: SqlStore, *numbers: int) -> None:
    """Store keys."""
    await store.create_organization(new_organization(), ACTOR)
    for number in numbers:
        await store.create_key(new_key(number), ACTOR)


async def test_counts_are_added_up_in_every_width(store: SqlStore) -> None:
    """Minutes stay apart; their hour and their day are sums."""
    first = tally(start=floor(NOW, DAY))
    await store.write_usage(batch({first: 1, first._replace(start=first.start + MINUTE): 2}))
    await store.write_usage(batch({first: 4, first._replace(start=first.start + HOUR): 8}))

    stored = {width: await sums(store, width=width, whole=False) for width in Width}
    assert {width: [each.count for each in found] for width, found in stored.items()} == {
        Width.MINUTE: [5, 2, 8],
        Width.HOUR: [7, 8],
        Width.DAY: [15],
    }
    assert [each.start for each in stored[Width.HOUR]] == [first.start, first.start + HOUR]


async def test_a_batch_counts_once(store: SqlStore) -> None:
    """However often it is written, in every width; the same counts under another id are others."""
    told = batch()
    for _ in range(3):
        await store.write_usage(told)
    once = [await total(store, width=width) for width in Width]
    await store.write_usage(batch(told.counts))

    assert ([1, 1, 1], [2, 2, 2]) == (once, [await total(store, width=width) for width in Width])


@pytest.mark.parametrize("turns", [0, 1, 5, 50])
async def test_a_batch_whose_writer_did_not_hear_counts_once(store: SqlStore, turns: int) -> None:
    """Whenever the caller is taken away, it may try again."""
    told = batch({tally(): 7})
    writing = asyncio.create_task(store.write_usage(told))
    for _ in range(turns):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await asyncio.wait_for(again(store.write_usage, told), 5)

    assert await total(store) == 7


@asynccontextmanager
async def deaf(store: SqlStore) -> AsyncIterator[None]:
    """Commit for real, and lose every acknowledgement."""
    heard = store.database.transaction

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        async with heard() as connection:
            yield connection
        raise ConnectionResetError

    store.database.transaction = transaction  # type: ignore[method-assign]  # as it is meant
    yield
    store.database.transaction = heard  # type: ignore[method-assign]  # likewise


@pytest.mark.parametrize(("same_id", "expected"), [(True, 7), (False, 14)], ids=["as-it-is", "control"])
async def test_a_flush_between_commit_and_acknowledgement(store: SqlStore, same_id: bool, expected: int) -> None:  # noqa: FBT001 - a parameter
    """A flusher that was not told goes on with the same id; with another one it would count twice."""
    counters, ids = UsageCounters(), itertools.count()
    recorder = Recorder(lambda: NOW, counters)
    flusher = Flusher(recorder, store, FakeClock(), lambda: str(next(ids)), counters)
    for _ in range(7):
        recorder.record(bearer(), SHOP, route(), None, None)
    recorder.collect()
    async with deaf(store):
        heard = await flusher.flush()
    if not same_id:
        assert flusher._unsure is not None
        flusher._unsure = replace(flusher._unsure, id="another")

    assert (heard, await flusher.flush()) == (False, True)
    assert (await total(store), counters.flush_failures) == (expected, 1)


async def again(write: Any, told: Any) -> None:
    """Write until it is acknowledged; the abandoned attempt may still hold what is needed."""
    while True:
        try:
            await write(told)
        except UnavailableError:
            continue
        return


async def test_a_batch_that_fails_leaves_nothing(store: SqlStore, database_url: str) -> None:
    """Counts and last uses are stored together or not at all; the batch then counts, once."""
    await keys_of(store, 1)
    run_sql(database_url, "ALTER TABLE key_uses RENAME TO lost")
    told = batch(uses={key_id(1): use()})
    with pytest.raises(UnavailableError):
        await store.write_usage(told)
    after_failure = await total(store)
    run_sql(database_url, "ALTER TABLE lost RENAME TO key_uses")
    await store.write_usage(told)

    assert (after_failure, await total(store)) == (0, 1)
    assert (await store.get_key(key_id(1))).last_used_at == NOW


async def test_instances_sum(store: SqlStore, second: SqlStore) -> None:
    """Both add to the same rows at the same time, in opposite orders, and nothing is lost or stuck."""
    tallies = [tally(key_id=key_id(number), start=floor(NOW, MINUTE) - number * MINUTE) for number in range(50)]

    async def write(own: SqlStore, order: list[Tally]) -> None:
        for _ in range(10):
            await asyncio.wait_for(again(own.write_usage, batch(dict.fromkeys(order, 1))), 10)

    await asyncio.gather(write(store, tallies), write(second, tallies[::-1]))

    assert await total(store) == 50 * 10 * 2
    assert {each.count for each in await sums(store, group_by=(Dimension.KEY,))} == {20}


async def test_the_last_use_never_goes_back(store: SqlStore, second: SqlStore) -> None:
    """Whichever instance comes last; address and client are those of the last use."""
    await keys_of(store, 1, 2)
    early, late = use(at=NOW - 1, address="192.0.2.9", agent="go"), use()
    await store.write_usage(batch(uses={key_id(1): late, key_id(2): early}))
    await second.write_usage(batch(uses={key_id(2): late, key_id(1): early}))

    found = [await store.get_key(key_id(number)) for number in (1, 2)]
    assert [NOW, NOW] == [key.last_used_at for key in found]
    assert [("192.0.2.1", "curl")] * 2 == [(key.last_used_address, key.last_used_agent) for key in found]


async def test_a_key_that_is_not_there_is_no_obstacle(store: SqlStore) -> None:
    """After a restored backup a process may know keys that the database does not."""
    await keys_of(store, 1)
    await store.write_usage(batch(uses={key_id(404): use(), key_id(1): use()}))

    assert (await store.get_key(key_id(1))).last_used_at == NOW
    assert await total(store) == 1


async def test_keys_are_found_by_their_last_use(store: SqlStore) -> None:
    """What a quarterly review asks for, end to end."""
    await keys_of(store, 1, 2, 3)
    await store.write_usage(batch(uses={key_id(1): use(at=NOW - DAY), key_id(2): use()}))

    async def ids(where: KeyFilter) -> list[str]:
        return [key.record.id for key in (await store.list_keys(where, 10, None)).items]

    assert [key_id(3)] == await ids(KeyFilter(unused=True))
    assert [key_id(1)] == await ids(KeyFilter(last_used_before=NOW))


async def test_usage_takes_no_position(store: SqlStore, postgres_url: str) -> None:
    """Who holds the head of the change log does not hold up usage, and usage moves nobody's cache."""
    own = SqlStore.open(postgres_url, PEPPERS)
    try:
        await keys_of(own, 1)
        before = (await own.head()).revision
        with psycopg.connect(postgres_url) as holder:
            holder.execute("UPDATE change_head SET seq = seq")
            holder.execute("SELECT * FROM keys FOR NO KEY UPDATE")  # what a change of a key takes
            await own.write_usage(batch(uses={key_id(1): use()}))
            await own.remove_expired(NOW, 10)
            counted = await total(own)
            holder.rollback()

        assert (counted, before) == (1, (await own.head()).revision)
    finally:
        await own.close()


@pytest_asyncio.fixture
async def filled(store: SqlStore) -> SqlStore:
    """Give a store with two hours of everything: a power of two for each."""
    parts = itertools.product(
        (PERIODS[Width.HOUR] - HOUR, PERIODS[Width.HOUR]),
        ("shop", "other"),
        ((organization_id(1), key_id(1)), (organization_id(1), key_id(2)), ("", "")),
        ("GET /v1/things", ""),
        ("allow", "rate_limited"),
    )
    counts = {
        tally(start=start, api=api, organization_id=organization, key_id=key, route=route, outcome=outcome): 2**number
        for number, (start, api, (organization, key), route, outcome) in enumerate(parts)
    }
    await store.write_usage(batch(counts))
    return store


async def test_dimensions_tell_apart(filled: SqlStore) -> None:
    """Each by itself, sorted; together they tell everything apart."""
    told = {dimension: await sums(filled, group_by=(dimension,)) for dimension in Dimension}

    assert {dimension: [each.values[dimension] for each in found] for dimension, found in told.items()} == {
        Dimension.KEY: ["", key_id(1), key_id(2)],
        Dimension.ORGANIZATION: ["", organization_id(1)],
        Dimension.API: ["other", "shop"],
        Dimension.ROUTE: ["", "GET /v1/things"],
        Dimension.VERDICT: ["allow", "deny"],
        Dimension.REASON: ["allow", "rate_limited"],
    }
    assert {sum(each.count for each in found) for found in told.values()} == {2**48 - 1}
    assert len(await sums(filled, whole=False, group_by=tuple(Dimension))) == 48


@pytest.mark.parametrize(
    ("where", "of"),
    [
        pytest.param({"api": "shop"}, 24, id="api"),
        pytest.param({"organization_id": organization_id(1)}, 32, id="organization"),
        pytest.param({"key_id": key_id(2)}, 16, id="key"),
        pytest.param({"route": "GET /v1/things"}, 24, id="route"),
        pytest.param({"allowed": True}, 24, id="allowed"),
        pytest.param({"allowed": False}, 24, id="refused"),
        pytest.param({"outcome": "rate_limited"}, 24, id="reason"),
        pytest.param({"outcome": "rate_limited", "allowed": True}, 0, id="contradiction"),
        pytest.param({"start": PERIODS[Width.HOUR]}, 24, id="from"),
        pytest.param({"end": PERIODS[Width.HOUR]}, 24, id="until"),
        pytest.param({"key_id": key_id(1), "api": "other", "allowed": True, "end": PERIODS[Width.HOUR]}, 2, id="many"),
    ],
)
async def test_filters_select(filled: SqlStore, where: dict[str, Any], of: int) -> None:
    """Every filter that is set must hold: the sum has one bit for each row it is of."""
    found = await sums(filled, **where)

    assert sum(each.count for each in found).bit_count() == of
    assert len(found) == (1 if of else 0)


@pytest.mark.parametrize("page", [1, 7, 48])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in-time"])
async def test_pages_are_complete(filled: SqlStore, page: int, whole: bool) -> None:  # noqa: FBT001 - a parameter
    """No page skips or repeats, whatever the dimensions."""
    by = (Dimension.KEY, Dimension.API, Dimension.VERDICT)

    at_once = await sums(filled, whole=whole, group_by=by)
    assert at_once == await sums(filled, page, whole=whole, group_by=by)
    assert words(at_once) == (sorted(words(at_once)) if whole else words(at_once))
    assert len(at_once) == (12 if whole else 24)


async def test_nothing_is_no_row(store: SqlStore) -> None:
    """Where nothing was counted there is no sum, not one of zero."""
    assert await sums(store) == []
    assert await sums(store, whole=False, group_by=tuple(Dimension)) == []
