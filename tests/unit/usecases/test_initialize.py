"""The first administrator key."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import ANY

import pytest

from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, OPERATORS
from authsvc.domain.errors import AlreadyExistsError, NotFoundError
from authsvc.domain.secret import Secret
from authsvc.usecases.initialize import ACTOR, Initialize
from tests.support.administration import World


def initialize(world: World) -> Initialize:
    """Return the use case."""
    return Initialize(world.store, admin_api(), world.mint, world.clock)


async def test_the_first_key_is_an_ordinary_operator() -> None:
    """It holds every scope by name, belongs to the operators, and is audited as made by init."""
    world = World()
    first = initialize(world)
    secret = first.draw()

    key = (await first(secret)).value

    assert (key.record.api, set(key.record.scopes), key.record.full_access) == (
        ADMIN_API,
        set(admin_api().scopes),
        False,
    )
    assert world.store.organizations[key.record.organization_id].name == OPERATORS
    assert [(event.action, event.actor) for event in world.store.events] == [
        ("organization.create", ACTOR),
        ("key.create", replace(ACTOR, request_id="first-key", body=ANY)),
    ]
    assert (await world.administer(secret.reveal(), None)).is_operator


async def test_an_interrupted_attempt_is_completed_with_the_same_text() -> None:
    """What was drawn and written down is stored by the next attempt; the organization is made once."""
    world = World()
    secret = initialize(world).draw()
    await initialize(world)(initialize(world).draw())
    world.store.keys.clear()
    world.store.digests.clear()

    await initialize(world)(secret)

    assert len(world.store.organizations) == 1
    assert (await world.administer(secret.reveal(), None)).is_operator


async def test_the_same_text_is_not_stored_twice() -> None:
    """Two attempts with one text make one key."""
    world = World()
    secret = initialize(world).draw()
    await initialize(world)(secret)

    with pytest.raises(AlreadyExistsError):
        await initialize(world)(secret)


async def test_another_attempt_may_make_the_organization_first() -> None:
    """Losing that race is no fault."""
    world = World()
    await initialize(world)(initialize(world).draw())
    get, asked = world.store.get_organization, iter([True])

    async def late(name: str) -> object:
        if next(asked, False):
            raise NotFoundError(name)
        return await get(name)

    world.store.get_organization = late  # type: ignore[assignment, method-assign]

    await initialize(world)(initialize(world).draw())

    assert len(world.store.organizations) == 1


def test_it_knows_its_own_kind_of_text() -> None:
    """A product's key is no administrator's."""
    first = initialize(World())

    assert first.is_key(first.draw())
    assert not first.is_key(Secret("sk_live_0123456789"))
