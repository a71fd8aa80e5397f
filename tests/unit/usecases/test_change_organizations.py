"""Organizations: updated, suspended, reinstated, deleted, and what that does to their keys at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import OrganizationStatus
from authsvc.domain.api import Plan
from authsvc.domain.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
)
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.keys import KeyRecord
from authsvc.usecases.create_organization import CreateOrganization, OrganizationRequest
from authsvc.usecases.switch_organization import (
    DeleteOrganization,
    ReinstateOrganization,
    SuspendOrganization,
    Switch,
    SwitchOrganization,
)
from authsvc.usecases.update_organization import OrganizationChange, UpdateOrganization
from tests.support.administration import ACME_ID, GLOBEX_ID, NO_ORGANIZATION, OPERATORS_ID, World, ids, shop
from tests.support.builders import NOW

Verb = Callable[..., SwitchOrganization]
VERBS: list[Verb] = [SuspendOrganization, ReinstateOrganization, DeleteOrganization]


def switch(organization_id: str = ACME_ID, **changes: Any) -> Switch:
    """Ask for a change of an organization's status."""
    plain = Switch(organization_id=organization_id, reason="", etag="", request_id="", body=b"")
    return replace(plain, **changes)


def change(organization_id: str = ACME_ID, **asked: Any) -> OrganizationChange:
    """Ask for a change of the fields that are given."""
    how = {name: asked.pop(name) for name in ("etag", "request_id", "body") if name in asked}
    plain = OrganizationChange(
        organization_id=organization_id,
        fields=frozenset(asked),
        name="",
        plan="",
        networks=None,
        metadata={},
        etag="",
        request_id="",
        body=b"",
    )
    return replace(plain, **asked, **how)


def update_in(world: World) -> UpdateOrganization:
    """Return the use case."""
    return UpdateOrganization(world.store, world.cache, world.apis)


async def cached(world: World, text: str) -> KeyRecord:
    """Return what the data plane knows of a key."""
    bearer = await world.find(text, fresh=False)
    assert bearer is not None
    return bearer.record


async def test_a_suspension_holds_when_the_call_returns(world: World) -> None:
    """For every key that was cached, and ends likewise."""
    texts = [made.secret.reveal() for made in [await world.key(), await world.key()] if made.secret]
    foreign = await world.key(organization_id=GLOBEX_ID)
    assert foreign.secret is not None
    before = [(await cached(world, text)).organization_active for text in texts]

    suspended = await SuspendOrganization(world.store, world.cache)(world.boundless(), switch(reason="unpaid"))
    during = [(await cached(world, text)).organization_active for text in texts]
    reinstated = await ReinstateOrganization(world.store, world.cache)(world.boundless(), switch())
    after = [(await cached(world, text)).organization_active for text in texts]

    assert (before, during, after) == ([True, True], [False, False], [True, True])
    assert (suspended.value.suspended_at, suspended.value.suspend_reason) == (NOW, "unpaid")
    assert (reinstated.value.status, reinstated.value.suspended_at) == (OrganizationStatus.ACTIVE, None)
    assert (await cached(world, foreign.secret.reveal())).organization_active


async def test_keys_revoked_meanwhile_stay_revoked(world: World) -> None:
    """Reinstating an organization brings back what it had, not what it lost."""
    made = await world.key()
    await SuspendOrganization(world.store, world.cache)(world.boundless(), switch())
    world.store.alter_key(made.changed.value.record.id, revoked_at=NOW)

    await ReinstateOrganization(world.store, world.cache)(world.boundless(), switch())

    assert world.stored(made).record.revoked_at == NOW


async def test_operators_are_not_touched(world: World) -> None:
    """Neither suspended nor deleted, nor changed in what they are known or reached by."""
    before = world.store.organizations[OPERATORS_ID]
    for verb in (SuspendOrganization, DeleteOrganization):
        with pytest.raises(FailedPreconditionError):
            await verb(world.store, world.cache)(world.boundless(), switch(OPERATORS_ID))
    for asked in ({"name": "x"}, {"networks": None}, {"plan": ""}):
        with pytest.raises(FailedPreconditionError):
            await update_in(world)(world.boundless(), change(OPERATORS_ID, **asked))

    assert before == world.store.organizations[OPERATORS_ID]
    assert await update_in(world)(world.boundless(), change(OPERATORS_ID, metadata={"a": "1"}))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"organization_id": NO_ORGANIZATION}, NotFoundError, id="absent"),
        pytest.param({"organization_id": "acme"}, InvalidInputError, id="name-for-id"),
        pytest.param({"reason": "a\nb"}, InvalidInputError, id="reason"),
        pytest.param({"etag": "7"}, ConflictError, id="stale-etag"),
        pytest.param({"request_id": "r 1"}, InvalidInputError, id="request-id"),
    ],
)
async def test_what_is_refused_switches_nothing(
    world: World, verb: Verb, changes: dict[str, Any], fault: type[Exception]
) -> None:
    """Absent, malformed, or another version."""
    before = dict(world.store.organizations)

    with pytest.raises(fault):
        await verb(world.store, world.cache)(world.boundless(), switch(**changes))

    assert before == world.store.organizations


@pytest.mark.parametrize("verb", VERBS)
async def test_a_retry_switches_nothing_back(world: World, verb: Verb) -> None:
    """The first call's effect was undone by somebody else; repeating the call does not redo it."""
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.SUSPENDED)
    if verb is SuspendOrganization:
        world.store.alter_organization(ACME_ID, status=OrganizationStatus.ACTIVE)
    use, asked = verb(world.store, world.cache), switch(request_id="r1", body=b"x")
    first = await use(world.boundless(), asked)
    world.store.alter_organization(ACME_ID, name="since")

    again = await use(world.boundless(), asked)

    assert (again.revision, again.value.name) == (first.revision, "since")
    assert len(world.store.events) == 1


async def test_an_organization_with_a_living_key_stays(world: World) -> None:
    """Until the key is dead."""
    made = await world.key()
    delete = DeleteOrganization(world.store, world.cache)

    with pytest.raises(FailedPreconditionError):
        await delete(world.boundless(), switch())
    world.store.alter_key(made.changed.value.record.id, revoked_at=NOW)

    assert (await delete(world.boundless(), switch())).value.status is OrganizationStatus.DELETED


async def test_an_update_shows_in_the_next_decision() -> None:
    """Plan and networks of the organization are part of every key of it."""
    world = await World(product=shop(plans={"pro": Plan(name="pro", limits=())})).populate()
    made = await world.key()
    assert made.secret is not None
    await cached(world, made.secret.reveal())
    office = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)

    changed = await update_in(world)(
        world.boundless(), change(name="new", plan="pro", networks=office, metadata={"a": "1"})
    )

    record = await cached(world, made.secret.reveal())
    assert (record.plan, len(record.organization_networks or ())) == ("pro", 1)
    assert (changed.value.name, changed.value.metadata) == ("new", {"a": "1"})
    cleared = await update_in(world)(world.boundless(), change(plan="", networks=None))
    assert (cleared.value.plan, cleared.value.networks, cleared.value.name) == (None, None, "new")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        pytest.param({"name": "globex"}, AlreadyExistsError, id="taken"),
        pytest.param({"name": "authsvc-operators"}, AlreadyExistsError, id="the-operators-own"),
        pytest.param({"name": "a\nb"}, InvalidInputError, id="name"),
        pytest.param({"plan": "gold"}, InvalidInputError, id="plan"),
        pytest.param({"networks": WantedNetworks(cidrs=(), allow_any=False)}, InvalidInputError, id="networks"),
        pytest.param({"metadata": {"A": ""}}, InvalidInputError, id="metadata"),
        pytest.param({"metadata": {}, "etag": "7"}, ConflictError, id="stale-etag"),
        pytest.param({"organization_id": NO_ORGANIZATION}, NotFoundError, id="absent"),
    ],
)
async def test_what_is_refused_changes_nothing(world: World, asked: dict[str, Any], fault: type[Exception]) -> None:
    """Taken, malformed, late or absent."""
    before = dict(world.store.organizations)

    with pytest.raises(fault):
        await update_in(world)(world.boundless(), change(**asked))

    assert before == world.store.organizations


async def test_a_deleted_organization_does_not_change(world: World) -> None:
    """It is known by its id, and that is all."""
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.DELETED)

    with pytest.raises(FailedPreconditionError):
        await update_in(world)(world.boundless(), change(name="new"))


async def test_a_version_that_changes_all_the_time_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few attempts, not never."""

    async def stale(*_: Any) -> None:
        raise ConflictError("its etag is now 9")

    monkeypatch.setattr(world.store, "update_organization", stale)

    with pytest.raises(ConflictError):
        await update_in(world)(world.boundless(), change(name="new"))


async def test_a_retried_update_or_creation_tells_what_there_is(world: World) -> None:
    """With the position of the first call."""
    asked = change(etag="1", request_id="r1", body=b"x", name="new")
    first = await update_in(world)(world.boundless(), asked)
    create = CreateOrganization(world.store, world.apis, ids())
    wanted = OrganizationRequest(name="initech", plan="", networks=None, metadata={}, request_id="r2", body=b"x")
    made = await create(world.boundless(), wanted)

    assert first == await update_in(world)(world.boundless(), asked)
    assert made == await create(world.boundless(), wanted)
