"""A change is written for a caller that is what it was let in as, or not at all. Either database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from authsvc.domain.administration import OPERATORS
from authsvc.domain.errors import UnauthenticatedError, UnavailableError
from authsvc.stores.sql import SqlStore
from tests.support.imports import batch_of, import_of
from tests.support.mutations import MUTATIONS, OF_TWO, Mutation, furnish, snapshot
from tests.support.stored import (
    ACTOR,
    digest,
    key_id,
    new_key,
    new_organization,
    organization_id,
    organization_update,
    update,
)

OF_IMPORTS = [pytest.param(lambda store: store.import_keys(batch_of(import_of(9)), ACTOR), id="import-keys")]


@pytest.mark.parametrize("end", ["revoke_key", "delete_key"])
@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO, *OF_IMPORTS])
async def test_whose_key_is_dead_changes_nothing(
    store: SqlStore, database_url: str, mutation: Mutation, end: str
) -> None:
    """A change is refused whose caller was let in before its key was ended, and comes to be written after."""
    await furnish(store)
    await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)
    await getattr(store, end)(ACTOR.key_id, "stolen", replace(ACTOR, key_id=key_id(2)))
    before = snapshot(database_url)

    with pytest.raises(UnauthenticatedError):
        await mutation(store)

    assert before == snapshot(database_url)


async def test_whose_key_was_replaced_without_grace_changes_nothing(store: SqlStore) -> None:
    """A rotation without grace ends a caller as a revocation does, also for a change that is under way."""
    await furnish(store)
    made = await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)
    other = replace(ACTOR, key_id=key_id(2))
    await store.rotate_key(ACTOR.key_id, made.value.etag, new_key(9, id=key_id(9)), 0, other)

    with pytest.raises(UnauthenticatedError):
        await store.create_key(new_key(10, id=key_id(10)), ACTOR)


async def test_whose_key_has_expired_changes_nothing(store: SqlStore) -> None:
    """Every end counts at the instant of the change."""
    await furnish(store)
    await store.create_key(new_key(8, id=ACTOR.key_id, expires_at=1), replace(ACTOR, key_id=key_id(2)))

    with pytest.raises(UnauthenticatedError):
        await store.create_key(new_key(10), ACTOR)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        pytest.param(lambda store: store.update_key(key_id(2), "1", update(name="new"), ACTOR), True, id="updated"),
        pytest.param(
            lambda store: store.rotate_key(key_id(2), "1", new_key(9), 900_000_000, ACTOR), True, id="rotated"
        ),
        pytest.param(lambda store: store.suspend_organization(organization_id(1), "", ACTOR), True, id="suspended"),
        pytest.param(lambda store: store.revoke_key(key_id(1), "", ACTOR), False, id="another-key"),
        pytest.param(
            lambda store: store.reinstate_organization(organization_id(2), "", ACTOR), False, id="another-org"
        ),
    ],
)
async def test_whose_key_has_changed_changes_nothing(
    store: SqlStore, database_url: str, changed: Mutation, *, refused: bool
) -> None:
    """What a caller was let in as holds when its change is written, or it is let in anew; others may change."""
    await furnish(store)
    read = (await store.load([digest(2)])).as_of.seq
    caller = replace(ACTOR, key_id=key_id(2), organization_id=organization_id(1), as_of=read)
    await changed(store)
    before = snapshot(database_url)

    if refused:
        with pytest.raises(UnavailableError, match="has changed meanwhile; try again"):
            await store.create_key(new_key(10), caller)
        with pytest.raises(UnavailableError, match="has changed meanwhile; try again"):
            await store.import_keys(batch_of(import_of(11)), caller)
        assert before == snapshot(database_url)
    read = (await store.load([digest(2)])).as_of.seq if refused else read
    assert (await store.create_key(new_key(11), replace(caller, as_of=read))).value.record.id == key_id(11)


async def test_labels_of_the_operators_organization_keep_no_operator_from_changes(store: SqlStore) -> None:
    """Who may write them would else stop everybody who could end that: nothing else of it ever changes."""
    await store.create_organization(replace(new_organization(1), name=OPERATORS), ACTOR)
    await store.create_key(new_key(2), ACTOR)
    read = (await store.load([digest(2)])).as_of.seq
    caller = replace(ACTOR, key_id=key_id(2), organization_id=organization_id(1), as_of=read)
    labels = organization_update(name=OPERATORS, metadata={"a": "1"})
    await store.update_organization(organization_id(1), "", labels, replace(ACTOR, key_id=key_id(9)))

    assert (await store.create_key(new_key(3), caller)).value.record.id == key_id(3)


async def test_a_key_may_end_itself(store: SqlStore) -> None:
    """It is alive until that is written."""
    await furnish(store)
    await store.create_key(new_key(8, id=ACTOR.key_id), ACTOR)

    changed = await store.revoke_key(ACTOR.key_id, "done", ACTOR)

    assert changed.value.record.revoked_at is not None
