"""`Registry`: organizations that are updated, suspended and deleted. Either database."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from authsvc.domain.administration import OPERATORS, OrganizationStatus
from authsvc.domain.errors import AlreadyExistsError, ConflictError, FailedPreconditionError, NotFoundError
from authsvc.domain.network import parse_network
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.stored import (
    ACTOR,
    digest,
    key_id,
    new_key,
    new_organization,
    organization_id,
    organization_update,
)

HOUR = 3600 * 1_000_000
NETWORK = parse_network("10.0.0.0/8")


async def test_an_update_shows_in_every_key(store: SqlStore) -> None:
    """A load of any of its keys has the new plan and networks."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    wanted = organization_update(name="new", plan="pro", networks=(NETWORK,), metadata={"a": "1"})

    changed = await store.update_organization(organization_id(1), "1", wanted, ACTOR)

    loaded = (await store.load([digest(1)])).record
    assert changed.value == await store.get_organization("new")
    assert (changed.value.etag, changed.value.metadata) == ("2", {"a": "1"})
    assert loaded is not None
    assert (loaded.plan, loaded.organization_networks) == ("pro", (NETWORK,))


async def test_a_taken_name_is_refused(store: SqlStore) -> None:
    """And the other fields stay as they were."""
    for number in (1, 2):
        await store.create_organization(new_organization(number), ACTOR)
    before = await store.head()

    with pytest.raises(AlreadyExistsError, match=r"^name: "):
        await store.update_organization(organization_id(1), "1", organization_update(name="organization 2"), ACTOR)

    assert before.revision == (await store.head()).revision


async def test_another_version_is_refused_with_the_current_one(store: SqlStore) -> None:
    """Whatever is to be done to it."""
    await store.create_organization(new_organization(), ACTOR)
    attempts = [
        store.update_organization(organization_id(1), "7", organization_update(), ACTOR),
        store.suspend_organization(organization_id(1), "", ACTOR, etag="7"),
        store.reinstate_organization(organization_id(1), "", ACTOR, etag="7"),
        store.delete_organization(organization_id(1), "", ACTOR, etag="7"),
    ]
    for attempt in attempts:
        with pytest.raises(ConflictError, match=r"etag is now 1$"):
            await attempt


async def test_one_of_many_updates_of_a_version_wins(store: SqlStore) -> None:
    """The others are told the version of now: none is lost silently."""
    await store.create_organization(new_organization(), ACTOR)

    answers = await asyncio.gather(
        *(
            store.update_organization(organization_id(1), "1", organization_update(plan=str(n)), ACTOR)
            for n in range(8)
        ),
        return_exceptions=True,
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["Changed", *["ConflictError"] * 7]


async def test_a_suspension_is_one_change_however_many_keys(store: SqlStore, database_url: str) -> None:
    """One row of the organization and one of the log; no row of a key is touched."""
    await store.create_organization(new_organization(), ACTOR)
    for number in range(1, 21):
        await store.create_key(new_key(number), ACTOR)
    before = run_sql(database_url, "SELECT * FROM keys ORDER BY id")

    changed = await store.suspend_organization(organization_id(1), "unpaid", ACTOR)

    of = f"WHERE seq = {changed.revision.seq}"
    assert run_sql(database_url, f"SELECT kind, key_id, organization_id FROM auth_change {of}") == [
        ("organization", None, organization_id(1))
    ]
    assert before == run_sql(database_url, "SELECT * FROM keys ORDER BY id")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="active"),
        pytest.param({"not_before": HOUR}, id="not-yet-valid"),
        pytest.param({"expires_at": HOUR}, id="expiring"),
    ],
)
async def test_an_organization_with_a_living_key_stays(store: SqlStore, changes: dict[str, Any]) -> None:
    """The refusal names the key."""
    now = time.time_ns() // 1000
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(1, **{name: now + value for name, value in changes.items()}), ACTOR)

    with pytest.raises(FailedPreconditionError, match=key_id(1)):
        await store.delete_organization(organization_id(1), "", ACTOR)


async def test_an_organization_of_dead_keys_goes(store: SqlStore) -> None:
    """Revoked, deleted, expired and out of grace; it goes once, and gets no more keys."""
    await store.create_organization(new_organization(), ACTOR)
    for number in (1, 2, 4):
        await store.create_key(new_key(number), ACTOR)
    await store.create_key(new_key(3, expires_at=1), ACTOR)
    await store.revoke_key(key_id(1), "", ACTOR)
    await store.delete_key(key_id(2), "", ACTOR)
    await store.rotate_key(key_id(4), "1", new_key(5), 0, ACTOR)
    await store.revoke_key(key_id(5), "", ACTOR)

    changed = await store.delete_organization(organization_id(1), "left", ACTOR)
    again = await store.delete_organization(organization_id(1), "again", ACTOR)

    assert (changed, OrganizationStatus.DELETED) == (again, changed.value.status)
    assert changed.value == await store.get_organization(organization_id(1))
    with pytest.raises(FailedPreconditionError):
        await store.create_key(new_key(6), ACTOR)
    with pytest.raises(FailedPreconditionError):
        await store.update_organization(organization_id(1), "", organization_update(), ACTOR)


async def test_a_key_and_the_end_of_its_organization_never_both(store: SqlStore, database_url: str) -> None:
    """Made at the same moment, one of the two is refused."""
    for number in range(1, 11):
        await store.create_organization(new_organization(number), ACTOR)
    await asyncio.gather(
        *(store.create_key(new_key(n, organization_id=organization_id(n)), ACTOR) for n in range(1, 11)),
        *(store.delete_organization(organization_id(n), "", ACTOR) for n in range(1, 11)),
        return_exceptions=True,
    )

    both = "SELECT count(*) FROM keys k JOIN organizations o ON o.id = k.organization_id WHERE o.status = 'deleted'"
    assert run_sql(database_url, both) == [(0,)]


async def test_of_many_deletions_one_is_done(store: SqlStore, database_url: str) -> None:
    """All callers are told of the same."""
    await store.create_organization(new_organization(), ACTOR)

    answers = await asyncio.gather(*(store.delete_organization(organization_id(1), str(n), ACTOR) for n in range(8)))

    assert len({answer.value.etag for answer in answers}) == 1
    assert run_sql(database_url, "SELECT count(*) FROM audit_events WHERE action = 'organization.delete'") == [(1,)]


async def test_the_operators_stay(store: SqlStore) -> None:
    """Without any key, too."""
    await store.create_organization(new_organization(name=OPERATORS), ACTOR)

    with pytest.raises(FailedPreconditionError):
        await store.delete_organization(organization_id(1), "", ACTOR)


async def test_what_is_not_there_is_not_found(store: SqlStore) -> None:
    """By its id or any other text."""
    for id_ in (organization_id(1), ""):
        with pytest.raises(NotFoundError):
            await store.update_organization(id_, "", organization_update(), ACTOR)
        with pytest.raises(NotFoundError):
            await store.delete_organization(id_, "", ACTOR)
