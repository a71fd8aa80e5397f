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


@pytest.fixture(autouse=True)
def no_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let records live for exactly their age where a test does not say otherwise."""
    monkeypatch.setattr("authsvc.cache.store.random.uniform", lambda low, high: (low + high) / 2)
