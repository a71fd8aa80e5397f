"""The database itself, for commands on the machine that holds it and its peppers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from authsvc.config import Settings, peppers
from authsvc.domain.hashing import PepperSet
from authsvc.server import database_url
from authsvc.stores import schema
from authsvc.stores.sql import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What the environment names."""

    settings: Settings
    peppers: PepperSet
    store: SqlStore


@asynccontextmanager
async def opened() -> AsyncIterator[Local]:
    """Open the database that is served from. Raises `StartupError` for one that is not of these peppers."""
    settings = Settings.from_environment(os.environ)
    url, accepted = database_url(settings), peppers.read(settings.pepper_file)
    store = SqlStore.open(url, accepted)
    try:
        await schema.require(store.database)
        await store.verify_peppers(accepted)
        yield Local(settings=settings, peppers=accepted, store=store)
    finally:
        await store.close()
