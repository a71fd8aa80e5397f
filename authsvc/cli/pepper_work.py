"""What `authsvc pepper` does with the file and the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from authsvc.config import Settings, pepper_changes, peppers
from authsvc.config.peppers import PepperFile
from authsvc.domain.administration import Actor
from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import Pepper
from authsvc.server import database_url
from authsvc.stores import audit_keys, forms, schema
from authsvc.stores.lock import single_process
from authsvc.stores.mutations import ON_THIS_MACHINE
from authsvc.stores.peppers import introduce
from authsvc.stores.sql import SqlStore

T = TypeVar("T")

ACTOR = Actor(key_id=ON_THIS_MACHINE, organization_id="", address="", request_id="")
BATCH = 100  # keys revoked in one transaction


def contents(settings: Settings) -> PepperFile:
    """Return what the pepper file holds."""
    return peppers.load(settings.pepper_file)


def live(settings: Settings) -> Mapping[str, int]:
    """Return how many live keys are stored under each pepper that the database knows."""
    return _with_store(settings, lambda store: store.database.run(forms.live_by_pepper(store.database)))


def needs(stored_under: str, pepper_id: str) -> bool:
    """Whether a key that is stored under the one id cannot be found without the other pepper."""
    return pepper_id in forms.layers(stored_under)


def held_by(counted: Mapping[str, int], pepper_id: str) -> int:
    """Return how many live keys need a pepper, wrapped ones included."""
    return sum(count for stored_under, count in counted.items() if needs(stored_under, pepper_id))


def revoke(settings: Settings, counted: Mapping[str, int], pepper_id: str) -> None:
    """Revoke every live key that needs a pepper, a batch at a time."""
    stored_under = [id_ for id_ in counted if needs(id_, pepper_id)]

    async def work(store: SqlStore) -> None:
        while ids := await store.database.run(forms.some_live(store.database, stored_under, BATCH)):
            await store.revoke_keys(ids, f"pepper {pepper_id} is retired", ACTOR)

    _with_store(settings, work)


def keep_trail(settings: Settings) -> None:
    """See that what the audit trail wrote under the file's peppers can be verified when one of them is gone."""
    accepted = contents(settings).pepper_set()
    _with_store(settings, lambda store: store.database.run(audit_keys.remember(store.database, accepted)))


def wrap(settings: Settings, file: PepperFile, pepper_id: str) -> int:
    """Store the file, in which the pepper is wrapped, and wrap its keys; return how many there were."""
    under = file.wrapped[pepper_id].under
    if under not in file.peppers:
        raise StartupError(f"{pepper_id!r} is wrapped under {under!r}, which leaked too: wrap that")
    outer = Pepper(under, file.peppers[under])

    async def work(store: SqlStore) -> int:
        # The file first: keys whose pepper is in no file could not be found again.
        pepper_changes.store(settings.pepper_file, file)
        await store.database.run(introduce(store.database, file.pepper_set()))
        return await store.database.run(forms.wrap_all(store.database, pepper_id, outer))

    with ExitStack() as stack:
        url = database_url(settings)
        if url.startswith("sqlite:///"):
            stack.enter_context(single_process(Path(url.removeprefix("sqlite:///"))))
        return _with_store(settings, work)


def _with_store(settings: Settings, work: Callable[[SqlStore], Awaitable[T]]) -> T:
    async def run() -> T:
        store = SqlStore.open(database_url(settings), contents(settings).pepper_set())
        try:
            await schema.require(store.database)
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())
