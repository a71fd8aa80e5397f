"""Importing: a batch at a time, rejected records left out, and nothing known as absent that was just brought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from authsvc.domain.errors import ConflictError, InvalidInputError, OverloadedError, UnavailableError
from authsvc.domain.importing import ForeignKey
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.domain.keys import Assurance
from authsvc.ports import ABSENT
from authsvc.usecases import import_keys
from authsvc.usecases.import_keys import Header, ImportKeys, Received
from tests.support.administration import ACME_ID, OPERATORS_ID, World, ids, shop
from tests.support.builders import key_class
from tests.support.fakes import PEPPERS
from tests.support.imports import foreign_key, old_text

CLASS = key_class(
    prefix="old_", alphabet=Alphabet.VISIBLE, min_length=8, max_length=64, checksum=Checksum.NONE, imports=("sha256",)
)
PRODUCT = shop(keys=KeyTable([key_class(), CLASS]))


@pytest.fixture
async def world() -> World:
    """A product that takes keys of another system."""
    return await World(product=PRODUCT).populate()


def importer(world: World) -> ImportKeys:
    """Return the use case over a world."""
    return ImportKeys(world.store, world.cache, PEPPERS, world.apis, ids(), world.clock)


def header(**changes: Any) -> Header:
    """Say what holds for an import."""
    return Header(
        **{
            "source": "legacy",
            "api": "shop",
            "dry_run": False,
            "assurance": Assurance.DECLARED,
            "request_id": "",
            **changes,
        }
    )


def acme(number: int, **changes: Any) -> ForeignKey:
    """Give a record of the first customer."""
    return foreign_key(number, **{"organization_id": ACME_ID, **changes})


async def batches(*some: Sequence[ForeignKey]) -> AsyncIterator[Received]:
    """Send batches."""
    for number, records in enumerate(some):
        yield Received(records=records, digest=bytes([number]) * 32)


async def test_batches_are_counted_together(world: World) -> None:
    """Each leaves an event of its own, and the report is of all."""
    use, caller = importer(world), world.boundless()

    done = await use(caller, header(), batches([acme(1), acme(2)], [acme(3), acme(2)]))

    assert (3, 1, 0) == (done.imported, done.present, done.rejected)
    assert ["2", "1"] == [event.reason for event in world.store.events]
    assert done.revision is not None
    assert world.store.seq == done.revision.seq


async def test_rejected_records_are_left_out(world: World) -> None:
    """By us, by the batch, by the store: each with its line, and the rest is stored."""
    records = [
        acme(1),
        acme(2, encoding="?"),
        acme(3, external_id="old-1"),
        acme(1, external_id="other"),
        acme(5, organization_id=OPERATORS_ID),
    ]

    done = await importer(world)(world.boundless(), header(), batches(records))

    assert (1, 4) == (done.imported, done.rejected)
    assert [2, 3, 1, 5] == [told.line for told in done.told]
    assert [
        "encoding: one of hex, base64, base64url",
        "external_id: another record of this batch has it",
        "digest: another record of this batch is the same key",
        "organization_id: not for imports",
    ] == [told.cause for told in done.told]


async def test_a_dry_run_tells_the_same_and_stores_nothing(world: World) -> None:
    """Counts, causes and the name of what was received."""
    records = [acme(1), acme(2, digest="")]
    tried = await importer(world)(world.boundless(), header(dry_run=True), batches(records))
    stored = dict(world.store.keys)
    done = await importer(world)(world.boundless(), header(), batches(records))

    assert ({}, None) == (stored, tried.revision)
    assert (tried.imported, tried.rejected, tried.told, tried.digest) == (
        done.imported,
        done.rejected,
        done.told,
        done.digest,
    )
    assert 64 == len(done.digest)


async def test_what_was_absent_is_looked_for_again(world: World) -> None:
    """Whoever tried a key before it was imported is not refused after it was."""
    use, text = importer(world), old_text(1)
    assert await world.find(text, fresh=False) is None
    digest = PEPPERS.current.digest(text)
    before = world.cache.get(digest)

    await use(world.boundless(), header(), batches([acme(1)]))

    found = await world.find(text, fresh=False)
    assert (ABSENT, True) == (before, found is not None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"source": "A"}, r"header\.source", id="source"),
        pytest.param({"api": "none"}, r"header\.api: one of other, shop", id="api"),
        pytest.param({"api": "authsvc"}, r"header\.api: keys of authsvc are made here", id="administration"),
        pytest.param({"request_id": "a b"}, "request_id", id="request-id"),
    ],
)
async def test_a_header_that_is_refused(world: World, changes: dict[str, Any], told: str) -> None:
    """Before anything is stored."""
    with pytest.raises(InvalidInputError, match=told):
        await importer(world)(world.boundless(), header(**changes), batches([acme(1)]))

    assert {} == world.store.keys


@pytest.mark.parametrize("count", [0, 1001])
async def test_batches_have_a_size(world: World, count: int) -> None:
    """Neither empty nor larger than one transaction takes; what came before stays."""
    with pytest.raises(InvalidInputError, match=r"batch\.records: 1 to 1000"):
        await importer(world)(world.boundless(), header(), batches([acme(1)], [acme(2)] * count))

    assert 1 == len(world.store.keys)


async def test_one_call_at_a_time_imports_a_source(world: World) -> None:
    """The second is told; another source goes on beside it, and afterwards it is free again."""
    use, caller, go = importer(world), world.boundless(), asyncio.Event()

    async def slowly() -> AsyncIterator[Received]:
        await go.wait()
        yield Received(records=[acme(1)], digest=b"")

    first = asyncio.create_task(use(caller, header(), slowly()))
    await asyncio.sleep(0)  # it runs up to its first wait
    with pytest.raises(ConflictError, match="another import of this source is running"):
        await use(caller, header(), batches([acme(1)]))
    other = await use(caller, header(source="other"), batches([acme(2)]))
    go.set()

    assert (1, 1) == (other.imported, (await first).imported)
    assert 1 == (await use(caller, header(), batches([acme(1)]))).present


async def test_imports_at_once_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a connection and two batches."""
    monkeypatch.setattr(import_keys, "MAX_IMPORTS", 0)

    with pytest.raises(OverloadedError):
        await importer(world)(world.boundless(), header(), batches([acme(1)]))


async def test_a_report_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are counted, the first are told."""
    monkeypatch.setattr(import_keys, "MAX_TOLD", 2)

    done = await importer(world)(world.boundless(), header(), batches([acme(n, digest="") for n in range(5)]))

    assert (5, [0, 1]) == (done.rejected, [told.line for told in done.told])


async def test_what_is_told_is_fit_for_a_terminal(world: World) -> None:
    """An id that was refused may be anything."""
    done = await importer(world)(world.boundless(), header(), batches([acme(1, external_id="\x1b[2J" + "é" * 500)]))

    assert "?[2J" + "?" * 124 == done.told[0].external_id


async def test_a_lost_database_ends_the_call(world: World) -> None:
    """It is no rejection of any record, and the source is free for another attempt."""
    use = importer(world)
    world.store.fail = True
    with pytest.raises(UnavailableError):
        await use(world.boundless(), header(), batches([acme(1)]))
    world.store.fail = False

    assert 1 == (await use(world.boundless(), header(), batches([acme(1)]))).imported


async def test_who_goes_away_leaves_whole_batches(world: World) -> None:
    """A caller that is cancelled leaves what was begun to its end."""
    use, stored = importer(world), asyncio.Event()

    async def endless() -> AsyncIterator[Received]:
        yield Received(records=[acme(1)], digest=b"")
        await stored.wait()
        yield Received(records=[acme(2)], digest=b"")

    call = asyncio.create_task(use(world.boundless(), header(), endless()))
    for _ in range(3):
        await asyncio.sleep(0)  # up to the wait for the second batch
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for _ in range(3):
        await asyncio.sleep(0)  # what was begun runs on by itself

    assert 1 == len(world.store.keys)
    assert 1 == (await use(world.boundless(), header(), batches([acme(1)]))).present
