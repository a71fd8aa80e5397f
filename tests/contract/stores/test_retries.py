"""What is done under a request id is done once, and told again for a day. Either database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.errors import AlreadyExistsError, AuthsvcError
from authsvc.ports import Recalled
from authsvc.stores.records import REMEMBERED
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.mutations import Mutation
from tests.support.stored import (
    ACTOR,
    ASKED,
    key_id,
    new_key,
    new_organization,
    organization_id,
    organization_update,
    update,
)

OTHER_BODY = replace(ASKED, body=hashlib.sha256(b"another").digest())
TABLES = ("organizations", "keys", "audit_events", "auth_change", "change_head", "idempotency")

# Each with the id that a retry is told about.
MUTATIONS = [
    pytest.param(
        lambda store: store.create_organization(new_organization(9), ASKED),
        organization_id(9),
        id="create-organization",
    ),
    pytest.param(
        lambda store: store.update_organization(organization_id(1), "", organization_update(plan="pro"), ASKED),
        organization_id(1),
        id="update-organization",
    ),
    pytest.param(
        lambda store: store.suspend_organization(organization_id(1), "", ASKED), organization_id(1), id="suspend"
    ),
    pytest.param(
        lambda store: store.reinstate_organization(organization_id(2), "", ASKED), organization_id(2), id="reinstate"
    ),
    pytest.param(
        lambda store: store.delete_organization(organization_id(2), "", ASKED),
        organization_id(2),
        id="delete-organization",
    ),
    pytest.param(lambda store: store.create_key(new_key(9), ASKED), key_id(9), id="create-key"),
    pytest.param(lambda store: store.update_key(key_id(1), "", update(name="new"), ASKED), key_id(1), id="update-key"),
    pytest.param(lambda store: store.rotate_key(key_id(1), "", new_key(9), 0, ASKED), key_id(9), id="rotate-key"),
    pytest.param(lambda store: store.revoke_keys([key_id(1), key_id(2)], "", ASKED), key_id(1), id="revoke-keys"),
    pytest.param(lambda store: store.delete_key(key_id(1), "", ASKED), key_id(1), id="delete-key"),
]


async def furnish(store: SqlStore) -> None:
    """Store an active organization with two keys, and a suspended one."""
    for number in (1, 2):
        await store.create_organization(new_organization(number), ACTOR)
        await store.create_key(new_key(number), ACTOR)
    await store.suspend_organization(organization_id(2), "unpaid", ACTOR)


def snapshot(url: str) -> list[list[tuple[Any, ...]]]:
    """Return all that a change could have touched."""
    return [sorted(run_sql(url, f"SELECT * FROM {table}"), key=repr) for table in TABLES]


@pytest.mark.parametrize(("mutation", "target"), MUTATIONS)
async def test_what_was_done_is_recalled(store: SqlStore, mutation: Mutation, target: str) -> None:
    """With its position; under another id, by another actor or before it was done there is nothing."""
    await furnish(store)
    before = await store.recall(ASKED)

    changed = await mutation(store)

    assert before is None
    assert Recalled(target_id=target, revision=changed.revision) == await store.recall(ASKED)
    assert await store.recall(replace(ASKED, request_id="another")) is None
    assert await store.recall(replace(ASKED, key_id="another")) is None
    with pytest.raises(AlreadyExistsError, match=r"^request_id: "):
        await store.recall(OTHER_BODY)


@pytest.mark.parametrize("actor", [pytest.param(ASKED, id="same-body"), pytest.param(OTHER_BODY, id="other-body")])
async def test_an_id_is_used_once(store: SqlStore, database_url: str, actor: Any) -> None:
    """A second change under it is refused in its own transaction, and leaves nothing behind."""
    await furnish(store)
    await store.create_organization(new_organization(9), ASKED)
    before = snapshot(database_url)
    attempts = [
        store.create_key(new_key(9), actor),
        store.rotate_key(key_id(1), "", new_key(9), 0, actor),
        store.suspend_organization(organization_id(1), "", actor),
        store.update_key(key_id(1), "", update(name="new"), actor),
    ]
    for attempt in attempts:
        with pytest.raises(AlreadyExistsError, match=r"^request_id: "):
            await attempt

    assert before == snapshot(database_url)


@pytest.mark.parametrize(
    ("unchanging", "target"),
    [
        pytest.param(
            lambda store, actor: store.suspend_organization(organization_id(2), "", actor),
            organization_id(2),
            id="suspend",
        ),
        pytest.param(
            lambda store, actor: store.reinstate_organization(organization_id(1), "", actor),
            organization_id(1),
            id="reinstate",
        ),
        pytest.param(
            lambda store, actor: store.delete_organization(organization_id(3), "", actor),
            organization_id(3),
            id="delete-organization",
        ),
        pytest.param(lambda store, actor: store.revoke_keys([key_id(3)], "", actor), key_id(3), id="revoke-keys"),
    ],
)
async def test_what_changed_nothing_is_recalled_too(
    store: SqlStore, database_url: str, unchanging: Callable[[SqlStore, Any], Awaitable[Any]], target: str
) -> None:
    """Sent again when others have changed it back, it would undo that; without an id nothing is written at all."""
    await furnish(store)
    await store.create_key(new_key(3), ACTOR)
    await store.revoke_key(key_id(3), "", ACTOR)
    await store.create_organization(new_organization(3), ACTOR)
    await store.delete_organization(organization_id(3), "", ACTOR)
    before = snapshot(database_url)
    await unchanging(store, ACTOR)
    assert before == snapshot(database_url)

    found = await unchanging(store, ASKED)

    assert before[:-1] == snapshot(database_url)[:-1]
    assert Recalled(target_id=target, revision=found.revision) == await store.recall(ASKED)
    with pytest.raises(AlreadyExistsError, match=r"^request_id: "):
        await unchanging(store, OTHER_BODY)


async def test_of_many_calls_under_one_id_one_is_done(store: SqlStore, database_url: str) -> None:
    """The others are refused, and told what was done when they ask."""
    await furnish(store)

    answers = await asyncio.gather(
        *(store.create_key(new_key(n), ASKED) for n in range(10, 30)), return_exceptions=True
    )

    assert [answer for answer in answers if not isinstance(answer, AuthsvcError)]
    assert run_sql(database_url, f"SELECT count(*) FROM keys WHERE id >= '{key_id(10)}'") == [(1,)]
    recalled = await store.recall(ASKED)
    assert recalled is not None
    assert run_sql(database_url, f"SELECT count(*) FROM keys WHERE id = '{recalled.target_id}'") == [(1,)]


async def test_after_a_day_an_id_is_free_again(store: SqlStore, database_url: str) -> None:
    """A microsecond before it is not."""
    await furnish(store)
    await store.create_key(new_key(8), ASKED)
    now = (await store.head()).now
    set_back(database_url, now - REMEMBERED + 60_000_000)
    assert await store.recall(ASKED) is not None
    set_back(database_url, now - REMEMBERED)

    forgotten = await store.recall(OTHER_BODY)
    changed = await store.create_key(new_key(9), OTHER_BODY)

    assert forgotten is None
    assert Recalled(target_id=key_id(9), revision=changed.revision) == await store.recall(OTHER_BODY)
    assert run_sql(database_url, "SELECT count(*) FROM idempotency") == [(1,)]


async def test_what_was_refused_is_not_remembered(store: SqlStore) -> None:
    """The id stays free for the call that succeeds."""
    await furnish(store)
    with pytest.raises(AlreadyExistsError):
        await store.create_key(new_key(1), ASKED)

    assert await store.recall(ASKED) is None
    await store.create_key(new_key(9), ASKED)


def set_back(url: str, instant: int) -> None:
    """Move what is remembered into the past."""
    value = str(instant) if url.startswith("sqlite") else f"'epoch'::timestamptz + {instant} * interval '1 microsecond'"
    run_sql(url, f"UPDATE idempotency SET created_at = {value}")
