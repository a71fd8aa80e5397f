"""Updating: within the caller's reach before, and within its strength after."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import Actor, Changed, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.errors import (
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.updating import Update
from authsvc.domain.usage import DAY
from authsvc.usecases.create_key import CreatedKey
from authsvc.usecases.update_key import KeyChange, UpdateKey
from tests.support.administration import GLOBEX_ID, NO_KEY, World, wanted
from tests.support.builders import MINUTE, NOW

OFFICE = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)


def change(
    made: CreatedKey | str, *, etag: str = "", request_id: str = "", body: bytes = b"", **asked: Any
) -> KeyChange:
    """Ask for a change of the fields that are given."""
    key_id = made if isinstance(made, str) else made.changed.value.record.id
    return KeyChange(
        key_id=key_id, fields=frozenset(asked), wanted=wanted(**asked), etag=etag, request_id=request_id, body=body
    )


def update_in(world: World) -> UpdateKey:
    """Return the use case."""
    return UpdateKey(world.store, world.cache, world.apis, world.clock)


async def test_the_next_request_is_decided_by_the_changed_key(world: World) -> None:
    """What was cached is forgotten before the call returns."""
    made = await world.key(scopes=("things:read",))
    assert made.secret is not None
    text = made.secret.reveal()
    assert (await world.find(text, fresh=False)).record.scopes == ("things:read",)  # type: ignore[union-attr]

    changed = await update_in(world)(world.boundless(), change(made, scopes=("things:write",), name="new"))

    assert (changed.value.name, changed.value.etag) == ("new", "2")
    assert (await world.find(text, fresh=False)).record.scopes == ("things:write",)  # type: ignore[union-attr]
    assert world.store.events[-1].action == "key.update"


@pytest.mark.parametrize(
    ("own", "asked", "dimension"),
    [
        pytest.param({}, {"scopes": ("things:write",)}, "scopes", id="a-scope-it-lacks"),
        pytest.param({"expires_at": NOW + 5}, {"expires_at": NOW + 6}, "expires_at", id="a-longer-life"),
        pytest.param({"networks": OFFICE}, {"networks": None}, "networks", id="any-network"),
        pytest.param({"origins": ("https://a.example",)}, {"origins": None}, "origins", id="any-origin"),
        pytest.param({"rate_limits": ("1/minute",)}, {"rate_limits": ()}, "rate_limits", id="no-limit"),
    ],
)
async def test_a_products_key_makes_none_stronger(
    world: World, own: dict[str, Any], asked: dict[str, Any], dimension: str
) -> None:
    """A key as strong as itself cannot be widened in any dimension."""
    terms = {"scopes": ("keys:read", "keys:write", "things:read"), **own}
    own = world.stored(await world.key(**terms)).record
    caller = Administrator(api=world.product, record=own, address="", as_of=None)
    made = await world.key(**terms)
    before = world.stored(made)

    with pytest.raises(PermissionDeniedError, match=f"^{dimension}: "):
        await update_in(world)(caller, change(made, **asked))

    assert before == world.stored(made)


async def test_the_whole_of_the_result_counts(world: World) -> None:
    """A stronger key cannot even be renamed; weakened to the caller's measure it can."""
    caller = await world.product_administrator()
    strong = await world.key(scopes=("things:write",))

    with pytest.raises(PermissionDeniedError, match=r"^scopes: "):
        await update_in(world)(caller, change(strong, name="new"))
    changed = await update_in(world)(caller, change(strong, name="new", scopes=("things:read",)))

    assert changed.value.name == "new"


@pytest.mark.parametrize("asked", [{"scopes": ()}, {"full_access": False}, {"expires_at": NOW + 1}])
async def test_nobody_changes_its_own_scopes_or_expiry(world: World, asked: dict[str, Any]) -> None:
    """Neither a product's key nor an operator, in no direction; its name it may."""
    for caller in (await world.product_administrator(), await world.operator("keys:write")):
        with pytest.raises(InvalidInputError, match=r"^update_mask: "):
            await update_in(world)(caller, change(caller.record.id, **asked))

        assert (await update_in(world)(caller, change(caller.record.id, name="new"))).value.name == "new"


async def test_an_operator_is_bound_by_the_catalogue_alone(world: World) -> None:
    """For a product's keys; for operators' keys by its own."""
    operator = await world.operator("keys:write")
    made, other = await world.key(), await world.operator_key("keys:write")

    assert await update_in(world)(operator, change(made, scopes=("things:write",)))
    with pytest.raises(PermissionDeniedError, match=r"^scopes: "):
        await update_in(world)(operator, change(other, scopes=("audit:read",)))


async def test_the_last_administrator_is_not_disarmed(world: World) -> None:
    """There is no force for that: another one has to be made first."""
    first = await world.operator_key("keys:write", "keys:read")
    boundless = world.boundless()

    for asked in (
        {"scopes": ("keys:read",)},
        {"not_before": NOW + 1},
        {"expires_at": NOW + DAY},
        {"networks": OFFICE},
    ):
        with pytest.raises(FailedPreconditionError, match="last"):
            await update_in(world)(boundless, change(first, **asked))
    await world.operator_key("keys:write")

    assert await update_in(world)(boundless, change(first, scopes=("keys:read",)))


async def test_the_last_administrator_may_be_changed_otherwise(world: World) -> None:
    """Nothing is taken from it, not even from one that ends soon."""
    for changes in ({}, {"expires_at": NOW + MINUTE}):
        made = await world.operator_key("keys:write", **changes)

        changed = await update_in(world)(world.boundless(), change(made, name="new", expires_at=NOW + 2 * DAY))

        assert (changed.value.name, changed.value.record.expires_at) == ("new", NOW + 2 * DAY)
        world.store.alter_key(made.changed.value.record.id, revoked_at=NOW)


@pytest.mark.parametrize("address", ["192.0.2.1", None], ids=["elsewhere", "unknown"])
async def test_no_key_shuts_itself_out(world: World, address: str | None) -> None:
    """It could not undo it. To where it is it may bind itself."""
    for made in (await world.operator_key("keys:write"), await world.key(scopes=("keys:write",))):
        caller = await world.as_administrator(made, address)
        with pytest.raises(InvalidInputError, match=r"^networks: "):
            await update_in(world)(caller, change(made, networks=OFFICE))
        inside = await world.as_administrator(made, "10.1.2.3")

        assert (await update_in(world)(inside, change(made, networks=OFFICE))).value.record.networks is not None


async def test_a_foreign_key_is_as_absent_as_none(world: World) -> None:
    """And stays as it is."""
    caller = await world.product_administrator()
    foreign = await world.key(organization_id=GLOBEX_ID)

    for key_id in (foreign.changed.value.record.id, NO_KEY):
        with pytest.raises(NotFoundError, match=r"^no such key$"):
            await update_in(world)(caller, change(key_id, name="new"))

    assert foreign.changed.value == world.stored(foreign)


@pytest.mark.parametrize(
    ("asked", "stored", "fault"),
    [
        pytest.param({"name": ""}, {}, InvalidInputError, id="name"),
        pytest.param({"name": "new", "etag": "7"}, {}, ConflictError, id="stale"),
        pytest.param({"name": "new", "request_id": "r 1"}, {}, InvalidInputError, id="request-id"),
        pytest.param({"name": "new"}, {"revoked_at": NOW}, FailedPreconditionError, id="revoked"),
        pytest.param({"name": "new"}, {"deleted_at": NOW}, NotFoundError, id="deleted"),
        pytest.param({"name": "new"}, {"api": "gone"}, FailedPreconditionError, id="of-an-api-that-is-gone"),
    ],
)
async def test_what_is_refused_changes_nothing(
    world: World, asked: dict[str, Any], stored: dict[str, Any], fault: type[Exception]
) -> None:
    """Malformed, late, or dead."""
    made = await world.key()
    world.store.alter_key(made.changed.value.record.id, **stored)
    before = world.stored(made)

    with pytest.raises(fault):
        await update_in(world)(world.boundless(), change(made, **asked))

    assert before == world.stored(made)


async def test_without_an_etag_concurrent_updates_all_happen(world: World) -> None:
    """Each of them on what the one before left; with one, only the first."""
    made = await world.key()
    store_update, waiting = world.store.update_key, asyncio.Event()

    async def late(key_id: str, etag: str, update: Update, actor: Actor, **named: Any) -> Changed[Key]:
        await waiting.wait()
        return await store_update(key_id, etag, update, actor, **named)

    world.store.update_key = late  # type: ignore[method-assign]
    asked = [change(made, name="new"), change(made, metadata={"a": "1"}), change(made, etag="1", name="late")]
    calls = [asyncio.create_task(update_in(world)(world.boundless(), one)) for one in asked]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer).__name__ for answer in answers] == ["Changed", "Changed", "ConflictError"]
    assert (world.stored(made).name, world.stored(made).record.metadata) == ("new", {"a": "1"})


async def test_a_version_that_changes_all_the_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few attempts, not never."""
    made = await world.key()

    async def stale(*_: Any, **__: Any) -> None:
        raise ConflictError("its etag is now 9")

    monkeypatch.setattr(world.store, "update_key", stale)

    with pytest.raises(ConflictError):
        await update_in(world)(world.boundless(), change(made, name="new"))


async def test_a_retry_changes_nothing_more(world: World) -> None:
    """It answers with the record as it stands, though its etag is not the current one any more."""
    made = await world.key()
    asked = change(made, etag="1", request_id="r1", body=b"x", name="new")
    first = await update_in(world)(world.boundless(), asked)

    again = await update_in(world)(world.boundless(), asked)

    assert first == again
    with pytest.raises(Exception, match=r"^request_id: "):
        await update_in(world)(world.boundless(), replace(asked, body=b"y"))
