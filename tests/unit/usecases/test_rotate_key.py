"""Rotation: one successor with the same terms, and a grace that ends when it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import ADMIN_API
from authsvc.domain.administrator import Administrator
from authsvc.domain.decision import Allow, Bearer, Deny, decide
from authsvc.domain.errors import (
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.reasons import Reason
from authsvc.usecases.create_key import CreatedKey
from authsvc.usecases.revoke_key import Revocation, RevokeKey
from authsvc.usecases.rotate_key import RotatedKey, RotateKey, Rotation
from tests.support.administration import GLOBEX_ID, NO_KEY, World, shop
from tests.support.builders import MINUTE, NOW, attempt
from tests.support.fakes import PEPPERS

GRACE = 15 * MINUTE


def rotation(made: CreatedKey | str, **changes: Any) -> Rotation:
    """Ask for a rotation and nothing else."""
    key_id = made if isinstance(made, str) else made.changed.value.record.id
    return replace(Rotation(key_id=key_id, grace=None, etag="", request_id="", body=b""), **changes)


def rotate_in(world: World) -> RotateKey:
    """Return the use case."""
    return RotateKey(world.store, world.cache, world.apis, world.mint, world.clock)


async def decided(world: World, text: str) -> Allow | Deny:
    """Decide a request with a key, as the data plane does now."""
    bearer = await world.find(text, fresh=False)
    assert isinstance(bearer, Bearer)
    return decide(bearer, attempt(api=world.product, now=world.clock.now()))


async def test_the_successor_can_do_the_same() -> None:
    """Terms, name, labels and owner are kept; id and text are its own."""
    world = await World().populate()
    office = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)
    made = await world.key(
        scopes=("things:read",),
        networks=office,
        origins=("https://a.example",),
        rate_limits=("5/minute",),
        not_before=NOW - 1,
        expires_at=NOW + GRACE,
        metadata={"a": "1"},
    )
    before = world.stored(made)

    rotated = await rotate_in(world)(world.boundless(), rotation(made))

    new, old = rotated.changed.value.key, rotated.changed.value.predecessor
    assert rotated.secret is not None
    text = rotated.secret.reveal()
    assert (new.record, new.name) == (replace(before.record, id=new.record.id), before.name)
    assert world.store.digests[PEPPERS.current.digest(text)] == new.record.id != before.record.id
    assert old == replace(
        before,
        record=replace(before.record, grace_ends_at=NOW + GRACE),
        successor_id=new.record.id,
        etag="2",
    )
    assert (new.predecessor_id, text in repr(rotated)) == (before.record.id, False)
    assert [(event.action, event.target) for event in world.store.events[-1:]] == [("key.rotate", before.record.id)]


@pytest.mark.parametrize("grace", [None, 1, GRACE])
async def test_the_grace_ends_to_the_microsecond(world: World, grace: int | None) -> None:
    """One before its end the old key works, at its end no more, and the new one all along."""
    made = await world.key(scopes=("things:read",))
    old = made.secret.reveal() if made.secret else ""
    rotated = await rotate_in(world)(world.boundless(), rotation(made, grace=grace))
    new = rotated.secret.reveal() if rotated.secret else ""
    start = world.clock.micros
    ends = start + (GRACE if grace is None else grace)

    for now, works in ((start, True), (ends - 1, True), (ends, False), (ends + 1, False), (ends + 10 * GRACE, False)):
        world.clock.micros = now
        expected = Allow if works else Deny

        assert isinstance(await decided(world, old), expected)
        assert isinstance(await decided(world, new), Allow)
    denied = await decided(world, old)
    assert isinstance(denied, Deny)
    assert denied.reason is Reason.INVALID_KEY


async def test_without_a_grace_the_old_key_is_dead_at_once(world: World) -> None:
    """Before the call returns: what was cached is forgotten."""
    made = await world.key(scopes=("things:read",))
    assert made.secret is not None
    text = made.secret.reveal()
    assert isinstance(await decided(world, text), Allow)

    await rotate_in(world)(world.boundless(), rotation(made, grace=0))

    assert isinstance(await decided(world, text), Deny)


@pytest.mark.parametrize("grace", [-1, GRACE + 1])
async def test_a_grace_has_bounds(world: World, grace: int) -> None:
    """Those of the API; nothing is stored beyond them."""
    made = await world.key()
    stored = dict(world.store.keys)

    with pytest.raises(InvalidInputError, match=r"^grace: 0 to 900 seconds$"):
        await rotate_in(world)(world.boundless(), rotation(made, grace=grace))

    assert stored == world.store.keys


async def test_of_fifty_at_once_one_succeeds(world: World) -> None:
    """The others are told the etag of now, with an etag and without."""
    made = await world.key()
    rotate = rotate_in(world)
    asked = [rotation(made, etag="1" if n % 2 else "") for n in range(50)]

    answers = await asyncio.gather(*(rotate(world.boundless(), one) for one in asked), return_exceptions=True)

    conflicts = [answer for answer in answers if isinstance(answer, ConflictError)]
    assert ([type(a) for a in answers if a not in conflicts], len(conflicts)) == ([RotatedKey], 49)
    assert all(str(conflict).endswith("its etag is now 2") for conflict in conflicts)
    assert len(world.store.keys) == 2


async def test_a_dead_successor_may_be_replaced(world: World) -> None:
    """When its text was lost, say; the old key's grace gets no longer by it."""
    made = await world.key()
    rotate, revoke = rotate_in(world), RevokeKey(world.store, world.cache, world.apis, world.clock)
    first = await rotate(world.boundless(), rotation(made))
    lost = first.changed.value.key.record.id
    with pytest.raises(ConflictError, match=lost):
        await rotate(world.boundless(), rotation(made))
    await revoke(
        world.boundless(),
        Revocation(key_id=lost, reason="", include_successor=False, etag="", force=False, request_id=""),
    )
    world.clock.micros += MINUTE

    second = await rotate(world.boundless(), rotation(made))

    assert second.changed.value.predecessor.record.grace_ends_at == NOW + GRACE
    assert second.changed.value.predecessor.successor_id == second.changed.value.key.record.id != lost
    world.store.alter_key(second.changed.value.key.record.id, deleted_at=NOW)
    assert (await rotate(world.boundless(), rotation(made))).secret


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"revoked_at": NOW}, id="revoked"),
        pytest.param({"expires_at": NOW}, id="expired"),
        pytest.param({"grace_ends_at": NOW}, id="out-of-grace"),
        pytest.param({"api": "gone"}, id="of-an-api-that-is-gone"),
        pytest.param({"kind": "gone"}, id="of-a-kind-that-is-gone"),
    ],
)
async def test_what_does_not_work_is_not_rotated(world: World, changes: dict[str, Any]) -> None:
    """A dead key does not come back as another one."""
    made = await world.key()
    world.store.alter_key(made.changed.value.record.id, **changes)

    with pytest.raises(FailedPreconditionError):
        await rotate_in(world)(world.boundless(), rotation(made))

    assert len(world.store.keys) == 1


async def test_a_key_rotates_itself(world: World) -> None:
    """The successor is no stronger."""
    caller = await world.product_administrator()

    rotated = await rotate_in(world)(caller, rotation(caller.record.id))

    assert rotated.changed.value.key.record.scopes == caller.record.scopes


async def test_nobody_gets_the_text_of_a_stronger_key(world: World) -> None:
    """Rotating it would hand it out."""
    caller = await world.product_administrator(scopes=("keys:write", "things:read"))
    strong = await world.key(scopes=("things:write",))
    operator = await world.operator("keys:write")
    stronger = await world.operator_key("keys:write", "audit:read")

    for actor, made in ((caller, strong), (operator, stronger)):
        with pytest.raises(PermissionDeniedError, match=r"^scopes: "):
            await rotate_in(world)(actor, rotation(made))

    assert world.stored(strong).successor_id is None


async def test_a_foreign_key_is_as_absent_as_none(world: World) -> None:
    """And is not rotated."""
    caller = await world.product_administrator()
    foreign = await world.key(organization_id=GLOBEX_ID)

    for key_id in (foreign.changed.value.record.id, NO_KEY):
        with pytest.raises(NotFoundError, match=r"^no such key$"):
            await rotate_in(world)(caller, rotation(key_id))


async def test_a_version_that_changes_all_the_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few attempts, not never."""
    made = await world.key()
    calls = []

    async def stale(*_: Any) -> None:
        calls.append(1)
        raise ConflictError("its etag is now 9")

    monkeypatch.setattr(world.store, "rotate_key", stale)

    with pytest.raises(ConflictError):
        await rotate_in(world)(world.boundless(), rotation(made))
    assert len(calls) == 5


async def test_a_retry_tells_the_same_keys_without_the_text(world: World) -> None:
    """Also when the first call's connection died after its commit."""
    made = await world.key()
    asked = rotation(made, etag="1", request_id="r1", body=b"x")
    first = await rotate_in(world)(world.boundless(), asked)

    again = await rotate_in(world)(world.boundless(), asked)

    assert (again.changed, again.secret) == (first.changed, None)
    world.store.keys[first.changed.value.key.record.id] = replace(first.changed.value.key, predecessor_id=None)
    with pytest.raises(UnavailableError):
        await rotate_in(world)(world.boundless(), asked)


async def test_an_operators_rotation_has_the_administrations_grace() -> None:
    """A day at most."""
    world = await World(product=shop()).populate()
    made = await world.operator_key("keys:write")
    caller: Administrator = await world.as_administrator(made)

    rotated = await rotate_in(world)(caller, rotation(made, grace=24 * 60 * MINUTE))

    assert rotated.changed.value.key.record.api == ADMIN_API
