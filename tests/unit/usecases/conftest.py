"""The world that use cases are tested in."""

from __future__ import annotations

import pytest_asyncio

from tests.support.administration import World


@pytest_asyncio.fixture
async def world() -> World:
    """Give a product, operators and two customers, in memory."""
    return await World().populate()
