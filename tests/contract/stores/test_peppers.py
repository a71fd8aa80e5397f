"""A process with a wrong pepper does not start, instead of refusing every customer. Either database."""

from __future__ import annotations

import asyncio

import pytest

from authsvc.domain.errors import StartupError
from authsvc.domain.hashing import Pepper, PepperSet
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.stored import ACTOR, key_id, new_key, new_organization

FIRST, SECOND = Pepper("p1", b"1" * 32), Pepper("p2", b"2" * 32)
IMPOSTOR = Pepper("p1", b"3" * 32)


async def test_a_pepper_is_remembered(store: SqlStore, database_url: str) -> None:
    """Seen first it is stored as eight derived bytes; seen again it is compared."""
    await store.verify_peppers(PepperSet(FIRST, []))
    await store.verify_peppers(PepperSet(FIRST, []))

    rows = run_sql(database_url, "SELECT pepper_id, check_bytes FROM pepper_checks")
    assert [("p1", FIRST.check)] == [(pepper_id, bytes(check)) for pepper_id, check in rows]


async def test_another_secret_under_a_known_id_is_refused(store: SqlStore, database_url: str) -> None:
    """As the current one or as one of several, and nothing of the attempt is remembered."""
    await store.verify_peppers(PepperSet(FIRST, []))

    for wrong in (PepperSet(IMPOSTOR, []), PepperSet(SECOND, [IMPOSTOR])):
        with pytest.raises(StartupError, match="wrong pepper for this database"):
            await store.verify_peppers(wrong)

    assert run_sql(database_url, "SELECT pepper_id FROM pepper_checks") == [("p1",)]


async def test_a_pepper_may_be_added_and_promoted(store: SqlStore) -> None:
    """The steps of a rotation: accepted everywhere, then current."""
    await store.verify_peppers(PepperSet(FIRST, []))
    await store.verify_peppers(PepperSet(FIRST, [SECOND]))
    await store.verify_peppers(PepperSet(SECOND, [FIRST]))


async def test_a_pepper_that_live_keys_need_cannot_be_left_out(store: SqlStore) -> None:
    """Their holders would be refused; once no live key needs it, it may go."""
    await store.verify_peppers(PepperSet(FIRST, []))
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(pepper_id="p1"), ACTOR)

    with pytest.raises(StartupError, match="its keys need 'p1'"):
        await store.verify_peppers(PepperSet(SECOND, []))

    await store.revoke_key(key_id(1), "", ACTOR)
    await store.verify_peppers(PepperSet(SECOND, []))


async def test_processes_that_start_together_agree(store: SqlStore, database_url: str) -> None:
    """All of them see the pepper first, and one of them remembers it."""
    await asyncio.gather(*(store.verify_peppers(PepperSet(FIRST, [SECOND])) for _ in range(8)))

    assert run_sql(database_url, "SELECT pepper_id FROM pepper_checks ORDER BY pepper_id") == [("p1",), ("p2",)]


async def test_of_two_secrets_that_start_together_one_is_refused(store: SqlStore) -> None:
    """Whoever comes second is compared with the first, however close."""
    outcomes = await asyncio.gather(
        store.verify_peppers(PepperSet(FIRST, [])),
        store.verify_peppers(PepperSet(IMPOSTOR, [])),
        return_exceptions=True,
    )

    assert len([outcome for outcome in outcomes if isinstance(outcome, StartupError)]) == 1
