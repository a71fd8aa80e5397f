"""Revoking: done when this instance no longer allows the key, and not for the last administrator."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import Changed, Key
from authsvc.domain.decision import Bearer
from authsvc.domain.errors import ConflictError, FailedPreconditionError, InvalidInputError, NotFoundError
from authsvc.domain.network import parse_network
from authsvc.domain.usage import DAY
from authsvc.ports import Absent
from authsvc.usecases.revoke_key import Revocation, RevokeKey
from authsvc.usecases.rotate_key import RotateKey, Rotation
from tests.support.administration import GLOBEX_ID, NO_KEY, World
from tests.support.builders import MINUTE, NOW
from tests.support.fakes import PEPPERS

HERE, ELSEWHERE = (parse_network("192.0.2.0/24"),), (parse_network("203.0.113.0/24"),)


def revocation(key_id: str, **changes: Any) -> Revocation:
    """Ask for a revocation and nothing else."""
    plain = Revocation(key_id=key_id, reason="", include_successor=False, etag="", force=False, request_id="")
    return replace(plain, **changes)


def revoke_in(world: World) -> RevokeKey:
    """Return the use case."""
    return RevokeKey(world.store, world.cache, world.apis, world.clock)


async def cached(world: World, text: str) -> Bearer | Absent | None:
    """Return what the cache knows of a key without asking."""
    return world.cache.get(PEPPERS.current.digest(text))


async def test_when_it_returns_the_cache_has_forgotten_the_key(world: World) -> None:
    """No request that starts after the acknowledgement is answered from the old record."""
    operator = await world.operator("keys:write")
    made = await world.key()
    text = made.secret.reveal()
    assert isinstance(await world.find(text, fresh=False), Bearer)

    changed = await revoke_in(world)(operator, revocation(made.changed.value.record.id, reason="le\u0301ak"))

    assert (changed.value.record.revoked_at, changed.value.revoke_reason) == (NOW, "l\u00e9ak")
    assert await cached(world, text) is None
    found = await world.find(text, fresh=False)
    assert found is not None
    assert found.record.revoked_at == NOW


async def test_a_caller_that_leaves_does_not_leave_the_cache_behind(world: World) -> None:
    """Cancelled after the store was changed, the cache is still told."""
    operator = await world.operator("keys:write")
    made = await world.key()
    await world.find(made.secret.reveal(), fresh=False)
    stored, go_on = asyncio.Event(), asyncio.Event()
    revoke_keys = world.store.revoke_keys

    async def slow(*arguments: Any, **options: Any) -> Changed[tuple[Key, ...]]:
        changed = await revoke_keys(*arguments, **options)
        stored.set()
        await go_on.wait()
        return changed

    world.store.revoke_keys = slow  # type: ignore[method-assign]
    call = asyncio.create_task(revoke_in(world)(operator, revocation(made.changed.value.record.id)))
    await stored.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert await cached(world, made.secret.reveal()) is None


async def test_a_successor_made_meanwhile_ends_with_its_predecessor(world: World) -> None:
    """Whoever stole a key may rotate it while it is being revoked: the new key must not get away."""
    operator = await world.operator("keys:write")
    stolen = await world.key()
    key_id = stolen.changed.value.record.id
    rotate = RotateKey(world.store, world.cache, world.apis, world.mint, world.clock)
    rotation = Rotation(key_id=key_id, grace=None, etag="", request_id="", body=b"")
    revoke_keys, made = world.store.revoke_keys, []

    async def overtaken(*arguments: Any, **options: Any) -> Changed[tuple[Key, ...]]:
        if not made:
            made.append((await rotate(operator, rotation)).changed.value.key.record.id)
        return await revoke_keys(*arguments, **options)

    world.store.revoke_keys = overtaken  # type: ignore[method-assign]
    revoked = await revoke_in(world)(operator, revocation(key_id, include_successor=True))

    assert [NOW, NOW] == [world.store.keys[each].record.revoked_at for each in (key_id, *made)]
    assert revoked.successor is not None
    assert made == [revoked.successor.record.id]


async def test_revoking_again_changes_nothing(world: World) -> None:
    """The first instant and reason stay."""
    operator = await world.operator("keys:write")
    made = await world.key()
    key_id = made.changed.value.record.id
    first = await revoke_in(world)(operator, revocation(key_id, reason="leaked"))
    world.clock.micros += 1

    again = await revoke_in(world)(operator, revocation(key_id, reason="other"))

    assert first.value == again.value


async def test_a_stronger_key_may_be_revoked(world: World) -> None:
    """Whoever may manage keys can stop any of its organization's."""
    caller = await world.product_administrator(scopes=("keys:write",))
    strong = await world.key(scopes=("things:write", "keys:read"))

    changed = await revoke_in(world)(caller, revocation(strong.changed.value.record.id))

    assert changed.value.record.revoked_at == NOW


async def test_a_foreign_key_is_as_absent_as_none(world: World) -> None:
    """And it lives on."""
    caller = await world.product_administrator()
    foreign = await world.key(organization_id=GLOBEX_ID)

    for key_id in (foreign.changed.value.record.id, NO_KEY):
        with pytest.raises(NotFoundError, match=r"^no such key$"):
            await revoke_in(world)(caller, revocation(key_id))

    assert world.stored(foreign).record.revoked_at is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"etag": "7"}, ConflictError, id="stale-etag"),
        pytest.param({"reason": "x" * 257}, InvalidInputError, id="long-reason"),
        pytest.param({"request_id": "r 1"}, InvalidInputError, id="request-id"),
    ],
)
async def test_what_is_refused_revokes_nothing(world: World, changes: dict[str, Any], fault: type[Exception]) -> None:
    """Another version than the caller read, or malformed text."""
    operator = await world.operator("keys:write")
    made = await world.key()

    with pytest.raises(fault):
        await revoke_in(world)(operator, revocation(made.changed.value.record.id, **changes))

    assert world.stored(made).record.revoked_at is None


async def test_the_current_etag_passes(world: World) -> None:
    """With the version the caller read, and a request id for the audit trail."""
    operator = await world.operator("keys:write")
    made = await world.key()
    asked = revocation(made.changed.value.record.id, etag="1", request_id="r1")

    await revoke_in(world)(operator, asked)

    assert world.store.events[-1].actor.request_id == "r1"


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([], id="alone"),
        pytest.param([(("keys:read",), {})], id="a-reader"),
        pytest.param([(("keys:write",), {"revoked_at": NOW})], id="a-revoked-one"),
        pytest.param([(("keys:write",), {"expires_at": NOW})], id="an-expired-one"),
        pytest.param([(("keys:write",), {"grace_ends_at": NOW + MINUTE})], id="one-in-its-grace"),
        pytest.param([(("keys:write",), {"expires_at": NOW + DAY})], id="one-that-expires-within-a-day"),
        pytest.param([(("keys:write",), {"not_before": NOW + 1})], id="one-that-does-not-work-yet"),
        pytest.param([(("keys:write",), {"networks": ELSEWHERE})], id="one-that-works-elsewhere"),
    ],
)
async def test_the_last_administrator_stays_unless_forced(world: World, others: list[Any]) -> None:
    """Without another live key that can make keys, only `force` revokes it."""
    operator = await world.operator("keys:write")
    for scopes, changes in others:
        other = await world.operator_key(*scopes)
        world.store.alter_key(other.changed.value.record.id, **changes)

    with pytest.raises(FailedPreconditionError):
        await revoke_in(world)(operator, revocation(operator.record.id))
    changed = await revoke_in(world)(operator, revocation(operator.record.id, force=True))

    assert changed.value.record.revoked_at == NOW


async def test_one_that_is_bound_to_where_the_caller_is_counts(world: World) -> None:
    """It can be used from there."""
    operator = await world.operator("keys:write")
    other = await world.operator_key("keys:write")
    world.store.alter_key(other.changed.value.record.id, networks=HERE)

    changed = await revoke_in(world)(operator, revocation(operator.record.id))

    assert changed.value.record.revoked_at == NOW


async def test_the_last_one_that_is_to_take_over_stays(world: World) -> None:
    """It does not work yet, and whoever ends it will not for long: nobody would be left then."""
    short = await world.as_administrator(await world.operator_key("keys:write", expires_at=NOW + MINUTE))
    heir = await world.operator_key("keys:write", not_before=NOW + 1)

    with pytest.raises(FailedPreconditionError, match="last"):
        await revoke_in(world)(short, revocation(heir.changed.value.record.id))

    assert world.stored(heir).record.revoked_at is None


async def test_one_of_two_administrators_goes(world: World) -> None:
    """Also with the other one on a later page of the list."""
    operator = await world.operator("keys:write")
    for _ in range(501):
        await world.operator_key("keys:read")
    await world.operator_key("keys:write")

    changed = await revoke_in(world)(operator, revocation(operator.record.id))

    assert changed.value.record.revoked_at == NOW


async def test_an_operator_that_only_reads_may_go_first(world: World) -> None:
    """It is nobody's last way in."""
    operator = await world.operator("keys:write")
    reader = await world.operator_key("keys:read")

    await revoke_in(world)(operator, revocation(reader.changed.value.record.id))

    assert world.stored(reader).record.revoked_at == NOW
