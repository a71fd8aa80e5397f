"""What keys in a database cost: a miss, a page of a list, and the memory of one that is cached."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from bench import databases
from bench.door import Door
from bench.figures import (
    LARGE_KEYS,
    MANY_KEYS,
    BenchError,
    Column,
    Conditions,
    Figures,
    Goal,
    Measure,
    Samples,
    interleaved,
)
from bench.request import check_request
from tests.support.fakes import PEPPERS

FEW_MISSES, FEW_LISTED = 10_000, 1_000  # keys, where there are few
CACHED = "a cached key"
_PAGE = 100  # keys
_LOADS = 300
_PAGES = 30
_MEASURED = 5_000  # cached keys
_WALL = Column(name="us", heading="µs")

_Asking = Callable[[SqlStore], Awaitable[int]]  # asks a store, and says how often


def _misses(conditions: Conditions) -> Samples:
    return _compared(conditions, FEW_MISSES, _loading)


def _lists(conditions: Conditions) -> Samples:
    return _compared(conditions, FEW_LISTED, _listing)


def _compared(conditions: Conditions, few: int, asking: Callable[[str, int], _Asking]) -> Samples:
    """Ask databases with few keys and with many in turn."""
    sizes = tuple(dict.fromkeys((few, conditions.keys)))
    offers: dict[str, Callable[[], Figures]] = {}
    with databases.filled(conditions.folder, sizes) as urls, asyncio.Runner() as runner:
        stores = {
            (kind, keys): SqlStore.open(url, PEPPERS) for kind, found in urls.items() for keys, url in found.items()
        }
        for (kind, keys), store in stores.items():
            ask = asking(urls[kind][keys], keys)
            offers[_row(kind, keys)] = functools.partial(_timed, runner, ask, store)
        try:
            return interleaved(offers, conditions.rounds)
        finally:
            for store in stores.values():
                runner.run(store.close())


def _timed(runner: asyncio.Runner, ask: _Asking, store: SqlStore) -> Figures:
    async def seconds() -> float:
        began = time.perf_counter()
        times = await ask(store)
        return (time.perf_counter() - began) / times

    return {"us": runner.run(seconds()) * 1e6}


def _loading(url: str, _: int) -> _Asking:
    digests = databases.some_digests(url, _LOADS)

    async def ask(store: SqlStore) -> int:
        for digest in digests:
            if (await store.load([digest])).record is None:
                raise BenchError("a stored key was not found")
        return len(digests)

    return ask


def _listing(_: str, keys: int) -> _Asking:
    places = [f"key_{(keys - _PAGE) * number // _PAGES:026d}" for number in range(_PAGES)]

    async def ask(store: SqlStore) -> int:
        for place in places:
            if len((await store.list_keys(KeyFilter(), _PAGE, place)).items) != _PAGE:
                raise BenchError("a page is not full")
        return len(places)

    return ask


def _memory(conditions: Conditions) -> Samples:
    """Load keys from a database, have each allow a request, and see what of that remains."""
    url = f"sqlite:///{conditions.folder}/keys.db"
    databases.fill(url, _MEASURED + 1)
    return {CACHED: {"bytes": [asyncio.run(_used(url)) / _MEASURED]}}


async def _used(url: str) -> float:
    store = SqlStore.open(url, PEPPERS)
    try:
        door = Door(keys=_MEASURED + 1, store=store, as_of=(await store.head()).revision)
        texts = [door.new_key() for _ in range(_MEASURED + 1)]
        databases.store_digests(url, [door.pepper.digest(text) for text in texts])
        return await _remaining(door, [check_request(text) for text in texts])
    finally:
        await store.close()


async def _remaining(door: Door, requests: Sequence[bytes]) -> float:
    await door.warm(requests[0])  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for request in requests[1:]:
            await door.warm(request)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def _row(kind: str, keys: int) -> str:
    return f"{kind}, {keys:,} keys"


def _growth(what: str, few: int, bound: float) -> tuple[Goal, ...]:
    return tuple(
        Goal(
            text=f"{what} among {many:,} keys to one among {few:,}, {kind}",
            row=_row(kind, many),
            column="us",
            against=_row(kind, few),
            bound=bound,
        )
        for kind in databases.KINDS
        for many in (MANY_KEYS, LARGE_KEYS)
    )


MEASURES = (
    Measure(
        name="misses",
        title="A key that is not cached",
        how=f"one load from the database, {_LOADS} keys from everywhere one after the other",
        columns=(_WALL,),
        run=_misses,
        goals=_growth("a miss", FEW_MISSES, 1.15),
    ),
    Measure(
        name="lists",
        title=f"A page of {_PAGE} keys",
        how="from the database, from its first key to its last ones",
        columns=(_WALL,),
        run=_lists,
        goals=_growth("a page", FEW_LISTED, 1.15),
    ),
    Measure(
        name="memory",
        title="Memory of a cached key",
        how=(
            f"{_MEASURED:,} keys loaded from a database and used once: record, index, the counter of its limit and its "
            "part of the answers"
        ),
        columns=(Column(name="bytes", heading="bytes"),),
        run=_memory,
        goals=(Goal(text="bytes of a cached key", row=CACHED, column="bytes", bound=1500),),
    ),
)
