"""Decision ids: unpredictable, unique, cheap."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from authsvc.servicers import decision_ids
from authsvc.servicers.decision_ids import LENGTH, DecisionIds


def test_form() -> None:
    """An id is 24 hexadecimal characters: 96 bits."""
    assert re.fullmatch(r"[0-9a-f]{24}", DecisionIds().next())
    assert LENGTH == 24


def test_unique_beyond_one_batch() -> None:
    """No id comes twice, from one instance or from two."""
    first, second = DecisionIds(), DecisionIds()
    drawn = [ids.next() for _ in range(3000) for ids in (first, second)]

    assert len(drawn) == len(set(drawn))


def test_unique_among_threads() -> None:
    """Several threads draw from one instance."""
    ids = DecisionIds()
    with ThreadPoolExecutor(8) as pool:
        drawn = [one for many in pool.map(lambda _: [ids.next() for _ in range(2000)], range(8)) for one in many]

    assert len(drawn) == len(set(drawn)) == 16_000


def test_one_call_of_the_system_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is asked for randomness once for hundreds of ids."""
    calls: list[int] = []

    def urandom(size: int) -> bytes:
        calls.append(size)
        return bytes(index % 256 for index in range(size))

    monkeypatch.setattr(decision_ids.os, "urandom", urandom)
    ids = DecisionIds()
    for _ in range(500):
        ids.next()

    assert len(calls) == 1
