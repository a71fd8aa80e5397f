"""Who is calling: every rule that holds for a key holds for an administrator's."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.administration import ADMIN_API, OrganizationStatus
from authsvc.domain.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from authsvc.domain.inputs import WantedNetworks
from authsvc.usecases.administer import Administer
from authsvc.usecases.find_bearer import FindBearer
from tests.support.administration import ACME_ID, World
from tests.support.builders import NOW
from tests.support.fakes import PEPPERS, cache_over


async def test_an_operator_is_known_by_its_key(world: World) -> None:
    """A key of the administration's own API makes an operator."""
    made = await world.operator_key("keys:read")

    administrator = await world.administer(made.secret.reveal(), "192.0.2.1")

    assert administrator.is_operator
    assert (administrator.record.id, administrator.address) == (made.changed.value.record.id, "192.0.2.1")


async def test_an_administrator_has_the_time_that_no_request_has(world: World) -> None:
    """Where the database is too slow for any request, an administrator's key is still looked up."""
    made = await world.operator_key("keys:read")
    text = made.secret.reveal()
    slow = cache_over(world.store, world.apis, world.clock, load_budget=0.0)
    administer = Administer(FindBearer(slow, PEPPERS, world.apis, 5.0), world.apis, world.clock)

    administrator = await administer(text, None)
    with pytest.raises(UnavailableError):
        await slow.fetch([PEPPERS.current.digest(text)], 5.0, None)

    assert administrator.record.id == made.changed.value.record.id


async def test_a_products_key_is_known_by_its_own_api(world: World) -> None:
    """The key's record says which API it is of; no caller has to."""
    made = await world.key(scopes=("keys:read",))

    administrator = await world.as_administrator(made, None)

    assert not administrator.is_operator
    assert (administrator.api, administrator.address) == (world.product, "")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"revoked_at": NOW}, id="revoked"),
        pytest.param({"deleted_at": NOW}, id="deleted"),
        pytest.param({"expires_at": NOW}, id="expired"),
        pytest.param({"not_before": NOW + 1}, id="not-yet-valid"),
        pytest.param({"grace_ends_at": NOW}, id="grace-is-over"),
        pytest.param({"api": "gone"}, id="of-an-api-that-is-gone"),
    ],
)
async def test_a_key_that_does_not_work_authenticates_nobody(world: World, changes: dict[str, Any]) -> None:
    """All of them get the text that an unknown key gets."""
    made = await world.operator_key("keys:read")
    world.store.alter_key(made.changed.value.record.id, **changes)
    with pytest.raises(UnauthenticatedError) as unknown:
        await world.administer("authsvc_" + "0" * 38, None)

    with pytest.raises(UnauthenticatedError) as raised:
        await world.as_administrator(made)

    assert str(unknown.value) == str(raised.value)


@pytest.mark.parametrize("credential", [None, "", "sk_live_0", "authsvc_", "'; DROP TABLE keys; --"])
async def test_what_cannot_be_a_key_costs_no_query(world: World, credential: str | None) -> None:
    """Text that no API's keys look like is refused without the database."""
    world.store.fail = True

    with pytest.raises(UnauthenticatedError):
        await world.administer(credential, None)


async def test_a_suspended_organization_administers_nothing(world: World) -> None:
    """A suspension holds for management too, and is told to the holder of a valid key."""
    made = await world.key(scopes=("keys:read",))
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.SUSPENDED)

    with pytest.raises(PermissionDeniedError, match="suspended"):
        await world.as_administrator(made)


@pytest.mark.parametrize("address", [None, "192.0.2.1", "not an address"])
async def test_a_key_bound_to_networks_is_bound_here_too(world: World, address: str | None) -> None:
    """An address that is elsewhere, or unknown, is refused."""
    networks = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)
    made = await world.operator_key("keys:read", networks=networks)

    assert (await world.as_administrator(made, "10.1.2.3")).address == "10.1.2.3"
    with pytest.raises(PermissionDeniedError, match="address"):
        await world.as_administrator(made, address)


async def test_a_revocation_elsewhere_counts_at_once(world: World) -> None:
    """Administrators are authenticated from the database, whatever this instance has cached."""
    made = await world.operator_key("keys:read")
    await world.as_administrator(made)
    world.store.alter_key(made.changed.value.record.id, revoked_at=NOW)

    with pytest.raises(UnauthenticatedError):
        await world.as_administrator(made)


async def test_an_old_peppers_key_is_found(world: World) -> None:
    """Keys stored under a pepper that is still accepted work."""
    made = await world.operator_key("keys:read")
    old = world.mint.peppers.others[0].digest(made.secret.reveal())
    world.store.digests = {old: made.changed.value.record.id}

    assert (await world.as_administrator(made)).api.name == ADMIN_API


async def test_a_lost_database_authenticates_nobody(world: World) -> None:
    """Neither allowed nor unknown: unavailable, for a key that was seen before too."""
    made = await world.operator_key("keys:read")
    await world.as_administrator(made)
    world.store.fail = True

    with pytest.raises(UnavailableError):
        await world.as_administrator(made)


async def test_an_unknown_key_is_asked_for_once(world: World) -> None:
    """Repeated guesses are answered from the negative cache."""
    text = (await world.operator_key("keys:read")).secret.reveal()
    world.store.digests.clear()
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await world.administer(text, None)

    assert world.store.loads == 1
