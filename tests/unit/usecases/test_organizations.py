"""Organizations: created under a name of their own, read by either of their names, listed in pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authsvc.domain.administration import OPERATORS
from authsvc.domain.api import Plan
from authsvc.domain.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from authsvc.domain.inputs import WantedNetworks
from authsvc.usecases.create_organization import CreateOrganization, OrganizationRequest
from authsvc.usecases.get_organization import GetOrganization
from authsvc.usecases.list_organizations import ListOrganizations
from tests.support.administration import ACME_ID, GLOBEX_ID, NO_ORGANIZATION, OPERATORS_ID, World, ids, shop

PLANNED = shop(plans={"pro": Plan(name="pro", limits=())})


def request(**changes: Any) -> OrganizationRequest:
    """Ask for an organization without anything optional."""
    plain = OrganizationRequest(name="initech", plan="", networks=None, metadata={}, request_id="")
    return replace(plain, **changes)


async def test_an_organization_is_made_as_asked() -> None:
    """Its plan is one of the configuration's."""
    world = await World(product=PLANNED).populate()
    operator = await world.operator("organizations:write")
    networks = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)
    create = CreateOrganization(world.store, world.apis, ids())

    changed = await create(operator, request(plan="pro", networks=networks, metadata={"crm": "1"}))

    made = changed.value
    assert (made.id[:4], len(made.id), made.plan, made.metadata) == ("org_", 30, "pro", {"crm": "1"})
    assert [str(network) for network in made.networks or ()] == ["10.0.0.0/8"]
    assert world.store.events[-1].actor == operator.actor()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"name": "acme"}, AlreadyExistsError, id="taken"),
        pytest.param({"name": OPERATORS}, AlreadyExistsError, id="the-operators-own"),
        pytest.param({"name": "a\nb"}, InvalidInputError, id="name"),
        pytest.param({"name": ACME_ID}, InvalidInputError, id="name-like-an-id"),
        pytest.param({"plan": "unheard-of"}, InvalidInputError, id="plan"),
        pytest.param({"networks": WantedNetworks(cidrs=(), allow_any=False)}, InvalidInputError, id="networks"),
        pytest.param({"metadata": {"A": ""}}, InvalidInputError, id="metadata"),
        pytest.param({"request_id": "r 1"}, InvalidInputError, id="request-id"),
    ],
)
async def test_what_is_refused_makes_nothing(world: World, changes: dict[str, Any], fault: type[Exception]) -> None:
    """Taken or malformed, nothing is stored."""
    operator = await world.operator("organizations:write")
    stored = dict(world.store.organizations)

    with pytest.raises(fault):
        await CreateOrganization(world.store, world.apis, ids())(operator, request(**changes))

    assert stored == world.store.organizations


async def test_the_operators_name_is_reserved_before_there_are_any() -> None:
    """Nobody's organization becomes the operators' by its name."""
    world = World()

    with pytest.raises(AlreadyExistsError):
        await CreateOrganization(world.store, world.apis, ids())(world.boundless(), request(name=OPERATORS))


async def test_an_organization_is_read_by_id_or_name(world: World) -> None:
    """Names are composed before they are compared."""
    get = GetOrganization(world.store)

    assert (await get(organization_id=ACME_ID)).id == (await get(name="acme")).id == ACME_ID
    with pytest.raises(NotFoundError):
        await get(organization_id=NO_ORGANIZATION)
    with pytest.raises(InvalidInputError, match=r"^id: "):
        await get(organization_id="acme")
    with pytest.raises(InvalidInputError, match=r"^name: "):
        await get()


async def test_pages_follow_each_other(world: World) -> None:
    """In the order of ids, none twice."""
    list_ = ListOrganizations(world.store)

    first = await list_(2, None)
    rest = await list_(2, first.next_token)

    assert [o.id for o in (*first.items, *rest.items)] == [ACME_ID, GLOBEX_ID, OPERATORS_ID]
    assert rest.next_token == ""
