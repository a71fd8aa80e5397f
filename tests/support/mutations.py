"""Every change that a store can make, each on the same organizations and keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
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

TABLES = ("organizations", "keys", "audit_events", "auth_change", "change_head", "idempotency")

Mutation = Callable[[SqlStore], Awaitable[Any]]

MUTATIONS = [
    pytest.param(lambda store: store.create_organization(new_organization(9), ACTOR), id="create-organization"),
    pytest.param(lambda store: store.create_key(new_key(9), ACTOR), id="create-key"),
    pytest.param(lambda store: store.revoke_key(key_id(1), "leaked", ACTOR), id="revoke-key"),
    pytest.param(lambda store: store.suspend_organization(organization_id(1), "x", ACTOR), id="suspend"),
    pytest.param(lambda store: store.reinstate_organization(organization_id(2), "x", ACTOR), id="reinstate"),
    pytest.param(lambda store: store.update_key(key_id(1), "1", update(name="new"), ACTOR), id="update-key"),
    pytest.param(lambda store: store.delete_key(key_id(1), "x", ACTOR), id="delete-key"),
    pytest.param(lambda store: store.create_key(new_key(9), ASKED), id="create-key-once"),
    pytest.param(
        lambda store: store.update_organization(organization_id(1), "1", organization_update(plan="pro"), ACTOR),
        id="update-organization",
    ),
    pytest.param(lambda store: store.delete_organization(organization_id(2), "x", ACTOR), id="delete-organization"),
]
# These write down what happens to each of two keys.
OF_TWO = [
    pytest.param(lambda store: store.rotate_key(key_id(1), "1", new_key(9), 900, ACTOR), id="rotate-key"),
    pytest.param(lambda store: store.rotate_key(key_id(1), "1", new_key(9), 900, ASKED), id="rotate-key-once"),
    pytest.param(lambda store: store.revoke_keys([key_id(1), key_id(2)], "x", ACTOR), id="revoke-keys"),
]

# These end an administrator, and are held to another one that stays.
OF_ADMINISTRATORS = [
    pytest.param(lambda store: _held(store, "revoke_keys", [key_id(1)], "x", ACTOR), id="revoke-administrator"),
    pytest.param(lambda store: _held(store, "delete_key", key_id(1), "x", ACTOR), id="delete-administrator"),
    pytest.param(lambda store: _held(store, "update_key", key_id(1), "1", update(), ACTOR), id="weaken-administrator"),
]


async def _held(store: SqlStore, change: str, *arguments: Any) -> Any:
    return await getattr(store, change)(*arguments, others=[await store.get_key(key_id(2))])


async def furnish(store: SqlStore) -> None:
    """Store an active organization with one key, and a suspended one."""
    await store.create_organization(new_organization(1), ACTOR)
    await store.create_organization(new_organization(2), ACTOR)
    await store.suspend_organization(organization_id(2), "unpaid", ACTOR)
    await store.create_key(new_key(1), ACTOR)
    await store.create_key(new_key(2), ACTOR)


def snapshot(url: str) -> list[list[tuple[Any, ...]]]:
    """Return all that a change could have touched."""
    return [sorted(run_sql(url, f"SELECT * FROM {table}"), key=repr) for table in TABLES]
