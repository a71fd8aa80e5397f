"""Which keys a filter selects, judged by the domain's own rule for statuses. Either database."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from authsvc.domain.administration import Key
from authsvc.domain.keys import Micros
from authsvc.domain.lifecycle import KeyStatus, status_of
from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.stored import ACTOR, key_id, new_key, new_organization

DAY = 86_400 * 1_000_000


def text(url: str, instant: Micros | None) -> str:
    """Return an instant as the database's own SQL has it."""
    if instant is None:
        return "NULL"
    return str(instant) if url.startswith("sqlite") else f"'epoch'::timestamptz + {instant} * interval '1 microsecond'"


async def in_every_state(store: SqlStore, url: str) -> Micros:
    """Store a key for every combination of past, future and no instants; return the present."""
    await store.create_organization(new_organization(), ACTOR)
    now = (await store.head()).now
    times = (None, now - DAY, now + DAY)
    states = itertools.product(times, times, times, (None, now - DAY), (None, now - DAY))
    for number, values in enumerate(states):
        await store.create_key(new_key(number), ACTOR)
        names = ("not_before", "expires_at", "grace_ends_at", "revoked_at", "deleted_at")
        changes = ", ".join(f"{name} = {text(url, value)}" for name, value in zip(names, values, strict=True))
        run_sql(url, f"UPDATE keys SET {changes} WHERE id = '{key_id(number)}'")
    return now


async def ids(store: SqlStore, where: KeyFilter) -> list[str]:
    """Return the ids that a filter selects."""
    return [key.record.id for key in (await store.list_keys(where, 1000, None)).items]


async def test_statuses_are_those_of_the_rule(store: SqlStore, database_url: str) -> None:
    """For each status, for two of them, and for all; without any, all but deleted ones."""
    now = await in_every_state(store, database_url)
    every = (await store.list_keys(KeyFilter(statuses=frozenset(KeyStatus)), 1000, None)).items
    by_rule: Callable[[frozenset[KeyStatus]], list[str]] = lambda wanted: [  # noqa: E731 - two lines
        key.record.id for key in every if status_of(key.record, now) in wanted
    ]

    assert len(every) == 3**3 * 4
    for size in (1, 2):
        for wanted in map(frozenset, itertools.combinations(KeyStatus, size)):
            assert by_rule(wanted) == await ids(store, KeyFilter(statuses=wanted))
    assert by_rule(frozenset(KeyStatus) - {KeyStatus.DELETED}) == await ids(store, KeyFilter())


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        pytest.param("ci", ["ci", "ci-2"], id="itself-too"),
        pytest.param("Ci", ["Ci"], id="case"),
        pytest.param("c%", ["c%"], id="no-wildcard"),
        pytest.param("c_", [], id="nor-the-other"),
        pytest.param("ü", ["über"], id="beyond-ascii"),
        pytest.param("\ud7ff", ["\ud7ffx"], id="before-the-surrogates"),
        pytest.param("\U0010ffff", ["\U0010ffff\U0010ffff"], id="the-last-character"),
        pytest.param("'", [], id="quote"),
    ],
)
async def test_names_begin_with_a_prefix(store: SqlStore, prefix: str, names: list[str]) -> None:
    """Character by character, in either database."""
    await store.create_organization(new_organization(), ACTOR)
    everything = ["ci", "ci-2", "Ci", "cj", "c%", "über", "\ud7ffx", "\ue000x", "\U0010ffff\U0010ffff", "zebra"]
    for number, name in enumerate(everything):
        await store.create_key(new_key(number, name=name), ACTOR)

    found = (await store.list_keys(KeyFilter(name_prefix=prefix), 100, None)).items

    assert names == [key.name for key in found]


def names(*keys: Key) -> list[str]:
    """Return what keys are called."""
    return [key.name for key in keys]


async def test_periods_begin_where_they_begin_and_end_before_their_end(store: SqlStore, database_url: str) -> None:
    """To the microsecond: creation, expiry and last use."""
    await store.create_organization(new_organization(), ACTOR)
    for number, name in enumerate(("before", "at", "behind", "never")):
        await store.create_key(new_key(number, name=name), ACTOR)
    at = 1_900_000_000_000_000
    for number in range(3):
        instant = text(database_url, at + number - 1)
        run_sql(
            database_url,
            f"UPDATE keys SET created_at = {instant}, expires_at = {instant} WHERE id = '{key_id(number)}'",
            "INSERT INTO key_uses (key_id, last_used_at, address, agent)"
            f" VALUES ('{key_id(number)}', {instant}, '', '')",
        )

    selected = {
        name: names(*(await store.list_keys(KeyFilter(**{name: at}), 100, None)).items)
        for name in ("created_after", "created_before", "expires_before", "last_used_before")
    }
    unused = (await store.list_keys(KeyFilter(unused=True), 100, None)).items

    assert selected == {
        "created_after": ["at", "behind"],
        "created_before": ["before", "never"],  # the last one was made today
        "expires_before": ["before"],
        "last_used_before": ["before"],
    }
    assert names(*unused) == ["never"]


async def test_filtered_pages_are_complete(store: SqlStore, database_url: str) -> None:
    """Whatever a filter passes over, no page skips or repeats."""
    await in_every_state(store, database_url)
    where, after, found = KeyFilter(statuses=frozenset({KeyStatus.EXPIRED, KeyStatus.REVOKED})), None, []
    while after != "":
        page = await store.list_keys(where, 7, after)
        found += [key.record.id for key in page.items]
        after = page.next_token

    assert found == await ids(store, where)
