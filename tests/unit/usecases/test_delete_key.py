"""Deleting, and revoking two keys at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.errors import ConflictError, FailedPreconditionError, InvalidInputError, NotFoundError
from authsvc.usecases.create_key import CreatedKey
from authsvc.usecases.delete_key import DeleteKey, Deletion
from authsvc.usecases.revoke_key import Revocation, RevokeKey
from authsvc.usecases.rotate_key import RotateKey, Rotation
from tests.support.administration import GLOBEX_ID, NO_KEY, World
from tests.support.builders import NOW


def deletion(made: CreatedKey | str, **changes: Any) -> Deletion:
    """Ask for a deletion and nothing else."""
    key_id = made if isinstance(made, str) else made.changed.value.record.id
    plain = Deletion(key_id=key_id, reason="", etag="", force=False, request_id="", body=b"")
    return replace(plain, **changes)


def delete_in(world: World) -> DeleteKey:
    """Return the use case."""
    return DeleteKey(world.store, world.cache, world.apis, world.clock)


async def test_a_deleted_key_is_dead_and_hidden(world: World) -> None:
    """Before the call returns; its record remains."""
    made = await world.key()
    assert made.secret is not None
    await world.find(made.secret.reveal(), fresh=False)

    changed = await delete_in(world)(world.boundless(), deletion(made, reason="unused"))

    found = await world.find(made.secret.reveal(), fresh=False)
    assert found is not None
    assert (found.record.deleted_at, changed.value.record.deleted_at) == (NOW, NOW)
    assert world.store.events[-1].reason == "unused"
    with pytest.raises(NotFoundError):
        await delete_in(world)(world.boundless(), deletion(made))


async def test_a_retry_finds_what_it_has_deleted(world: World) -> None:
    """Though nobody else does."""
    made = await world.key()
    asked = deletion(made, request_id="r1", body=b"x")
    first = await delete_in(world)(world.boundless(), asked)

    assert first == await delete_in(world)(world.boundless(), asked)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"etag": "7"}, ConflictError, id="stale-etag"),
        pytest.param({"reason": "x" * 257}, InvalidInputError, id="long-reason"),
        pytest.param({"request_id": "r 1"}, InvalidInputError, id="request-id"),
        pytest.param({"key_id": "key_1"}, InvalidInputError, id="id"),
    ],
)
async def test_what_is_refused_deletes_nothing(world: World, changes: dict[str, Any], fault: type[Exception]) -> None:
    """Another version than the caller read, or malformed text."""
    made = await world.key()

    with pytest.raises(fault):
        await delete_in(world)(world.boundless(), deletion(made, **changes))

    assert world.stored(made).record.deleted_at is None


async def test_a_foreign_key_is_as_absent_as_none(world: World) -> None:
    """And lives on; a stronger one of the own organization does not."""
    caller = await world.product_administrator()
    foreign, strong = await world.key(organization_id=GLOBEX_ID), await world.key(scopes=("things:write",))

    for key_id in (foreign.changed.value.record.id, NO_KEY):
        with pytest.raises(NotFoundError, match=r"^no such key$"):
            await delete_in(world)(caller, deletion(key_id))

    assert world.stored(foreign).record.deleted_at is None
    assert await delete_in(world)(caller, deletion(strong))


async def test_the_last_administrator_stays_unless_forced(world: World) -> None:
    """As with revoking."""
    operator = await world.operator("keys:write")

    with pytest.raises(FailedPreconditionError):
        await delete_in(world)(operator, deletion(operator.record.id))

    assert await delete_in(world)(operator, deletion(operator.record.id, force=True))


async def rotated(world: World, made: CreatedKey) -> tuple[str, str]:
    """Rotate a key; return its id and its successor's."""
    key_id = made.changed.value.record.id
    rotate = RotateKey(world.store, world.cache, world.apis, world.mint, world.clock)
    asked = Rotation(key_id=key_id, grace=None, etag="", request_id="", body=b"")
    return key_id, (await rotate(world.boundless(), asked)).changed.value.key.record.id


def revocation(key_id: str, **changes: Any) -> Revocation:
    """Ask for the end of a key."""
    plain = Revocation(key_id=key_id, reason="", include_successor=False, etag="", force=False, request_id="")
    return replace(plain, **changes)


@pytest.mark.parametrize("include_successor", [False, True])
async def test_in_a_grace_one_of_two_keys_is_revoked_or_both(world: World, *, include_successor: bool) -> None:
    """The named one at once, its successor when it is asked for."""
    old, new = await rotated(world, await world.key())
    revoke = RevokeKey(world.store, world.cache, world.apis, world.clock)

    revoked = await revoke(world.boundless(), revocation(old, include_successor=include_successor))

    assert revoked.value.record.revoked_at == NOW
    assert world.store.keys[new].record.revoked_at == (NOW if include_successor else None)
    assert (revoked.successor and revoked.successor.record.id) == (new if include_successor else None)


async def test_a_successor_is_found_behind_a_dead_key(world: World) -> None:
    """Revoking the dead one with its successor ends the living; one that is deleted or absent is no matter."""
    old, new = await rotated(world, await world.key())
    lone = await world.key()
    revoke = RevokeKey(world.store, world.cache, world.apis, world.clock)
    await revoke(world.boundless(), revocation(old, reason="first"))

    await revoke(world.boundless(), revocation(old, reason="second", include_successor=True))

    assert (world.store.keys[old].revoke_reason, world.store.keys[new].revoke_reason) == ("first", "second")
    world.store.alter_key(new, deleted_at=NOW)
    again = await revoke(world.boundless(), revocation(old, include_successor=True))
    without = await revoke(world.boundless(), revocation(lone.changed.value.record.id, include_successor=True))
    assert (again.successor, without.successor) == (None, None)


async def test_a_retried_revocation_tells_both_keys(world: World) -> None:
    """And revokes nothing that came later."""
    old, new = await rotated(world, await world.key())
    revoke = RevokeKey(world.store, world.cache, world.apis, world.clock)
    asked = revocation(old, include_successor=True, request_id="r1", body=b"x")
    first = await revoke(world.boundless(), asked)

    assert first == await revoke(world.boundless(), asked)
    assert first.successor == world.store.keys[new]


async def test_the_last_administrator_and_its_successor_stay_unless_forced(world: World) -> None:
    """Revoking one of them is no matter, both at once is."""
    old, new = await rotated(world, await world.operator_key("keys:write"))
    revoke = RevokeKey(world.store, world.cache, world.apis, world.clock)

    with pytest.raises(FailedPreconditionError):
        await revoke(world.boundless(), revocation(old, include_successor=True))
    await revoke(world.boundless(), revocation(old))
    with pytest.raises(FailedPreconditionError):
        await revoke(world.boundless(), revocation(new))
