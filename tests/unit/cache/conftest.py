"""One cache in a world of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cache_world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A cache that has heard from its database."""
    with World() as world:
        yield world
