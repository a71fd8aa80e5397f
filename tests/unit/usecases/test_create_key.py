"""Creating keys: what is stored, for whom, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.administration import ADMIN_API, OrganizationStatus
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import EmptyScopes
from authsvc.domain.errors import (
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)
from authsvc.domain.inputs import WantedNetworks
from tests.support.administration import ACME_ID, GLOBEX_ID, NO_ORGANIZATION, OPERATORS_ID, World, key_request, shop
from tests.support.builders import NOW
from tests.support.fakes import PEPPERS

OFFICE = WantedNetworks(cidrs=("10.0.0.0/8",), allow_any=False)


async def test_a_key_is_stored_under_its_digest_and_never_as_text(world: World) -> None:
    """The text is found again by the current pepper's digest, and its record holds nothing of it but a hint."""
    operator = await world.operator("keys:write")

    made = await world.create_key(operator, key_request(scopes=("things:read",), metadata={"a": "1"}))

    text, key = made.secret.reveal(), made.changed.value
    assert world.store.digests[PEPPERS.current.digest(text)] == key.record.id
    assert (key.hint, key.created_by) == (text[:12], operator.record.id)
    assert (key.record.scopes, key.record.metadata, key.record.full_access) == (("things:read",), {"a": "1"}, False)
    assert text[12:] not in repr((made, world.stored(made)))


async def test_the_change_is_audited_with_its_actor(world: World) -> None:
    """One event, by the caller's key and address."""
    operator = await world.operator("keys:write")
    world.store.events.clear()

    made = await world.create_key(operator, key_request())

    (event,) = world.store.events
    assert (event.action, event.target, event.actor) == ("key.create", made.changed.value.record.id, operator.actor())


async def test_a_products_key_need_not_say_whose(world: World) -> None:
    """An empty organization is the caller's own."""
    caller = await world.product_administrator()

    made = await world.create_key(caller, key_request(organization_id="", scopes=("things:read",)))

    assert made.changed.value.record.organization_id == ACME_ID


async def test_an_operator_is_bound_by_the_catalogue_alone(world: World) -> None:
    """For a product's keys, an operator's own restrictions say nothing."""
    made = await world.operator_key("keys:write", expires_at=NOW + 1, networks=OFFICE)
    operator = await world.as_administrator(made, "10.0.0.1")

    key = (await world.create_key(operator, key_request(scopes=("things:write", "keys:write")))).changed.value

    assert (key.record.expires_at, key.record.networks) == (None, None)


@pytest.mark.parametrize(
    ("own", "asked", "dimension"),
    [
        pytest.param({}, {"scopes": ("things:write",)}, "scopes", id="a-scope-it-lacks"),
        pytest.param({"scopes": ("keys:write",)}, {"scopes": ("keys:read",)}, "scopes", id="management-it-lacks"),
        pytest.param({}, {"environment": "test"}, "environment", id="another-environment"),
        pytest.param({"environment": "test"}, {"environment": "live"}, "environment", id="live-from-test"),
        pytest.param({"expires_at": NOW + 5}, {"expires_at": NOW + 6}, "expires_at", id="a-longer-life"),
        pytest.param({"networks": OFFICE}, {}, "networks", id="any-network"),
        pytest.param({"origins": ("https://a.example",)}, {}, "origins", id="any-origin"),
        pytest.param({"rate_limits": ("1/minute",)}, {"rate_limits": ("2/minute",)}, "rate_limits", id="a-wider-limit"),
    ],
)
async def test_a_products_key_makes_no_stronger_one(
    world: World, own: dict[str, Any], asked: dict[str, Any], dimension: str
) -> None:
    """In every dimension the refusal names it, and nothing is stored."""
    made = await world.key(**{"scopes": ("keys:write", "things:read"), **own})
    caller = Administrator(api=world.product, record=world.stored(made).record, address="", as_of=None)
    stored = dict(world.store.keys)

    with pytest.raises(PermissionDeniedError, match=f"^{dimension}: "):
        await world.create_key(caller, key_request(**asked))

    assert stored == world.store.keys


@pytest.mark.parametrize(
    "asked", [pytest.param({}, id="by-naming-no-scope"), pytest.param({"full_access": True}, id="by-name")]
)
async def test_full_access_comes_from_full_access_only(asked: dict[str, Any]) -> None:
    """Where no scopes mean full access, a restricted key cannot get there either way."""
    world = await World(product=shop(empty_scopes=EmptyScopes.FULL_ACCESS)).populate()
    caller = await world.product_administrator()

    with pytest.raises(PermissionDeniedError, match=r"^full_access: "):
        await world.create_key(caller, key_request(**asked))


async def test_full_access_makes_full_access(world: World) -> None:
    """A key with full access that may manage keys hands both on, where the API has full access."""
    world = await World(product=shop(empty_scopes=EmptyScopes.FULL_ACCESS)).populate()
    caller = await world.product_administrator(scopes=("keys:write",), full_access=True)

    made = await world.create_key(caller, key_request(scopes=("keys:write",), full_access=True))

    assert made.changed.value.record.full_access


async def test_a_preset_is_stored_as_scopes_within_the_callers_reach(world: World) -> None:
    """The name is expanded first: a product's key gets no further by it than by naming the scopes."""
    caller = await world.product_administrator()

    made = await world.create_key(caller, key_request(preset="reader"))
    with pytest.raises(PermissionDeniedError, match=r"^scopes: "):
        await world.create_key(caller, key_request(preset="writer"))

    assert made.changed.value.record.scopes == ("things:read",)


@pytest.mark.parametrize("organization", [GLOBEX_ID, NO_ORGANIZATION])
async def test_another_organization_is_as_absent_as_none(world: World, organization: str) -> None:
    """A foreign id gets the answer of a random one."""
    caller = await world.product_administrator()

    with pytest.raises(NotFoundError, match=r"^no such organization$"):
        await world.create_key(caller, key_request(organization_id=organization))


@pytest.mark.parametrize("api", ["other", "unheard-of", ADMIN_API])
async def test_a_products_key_makes_keys_of_its_own_api(world: World, api: str) -> None:
    """Whether another API exists is not told."""
    caller = await world.product_administrator()

    with pytest.raises(PermissionDeniedError, match=r"^api: this key makes keys of shop only$"):
        await world.create_key(caller, key_request(api=api))


@pytest.mark.parametrize(
    ("asked", "fault", "text"),
    [
        pytest.param({"api": "unheard-of"}, InvalidInputError, "api: one of authsvc, other, shop", id="unknown-api"),
        pytest.param({"organization_id": ""}, InvalidInputError, "organization_id: an operator", id="whose"),
        pytest.param({"organization_id": "acme"}, InvalidInputError, "organization_id: ", id="name-for-id"),
        pytest.param({"organization_id": NO_ORGANIZATION}, NotFoundError, "no such organization", id="absent"),
        pytest.param({"organization_id": OPERATORS_ID}, InvalidInputError, "api: ", id="product-key-for-operators"),
        pytest.param({"api": ADMIN_API, "environment": ""}, InvalidInputError, "api: ", id="operator-for-a-customer"),
        pytest.param({"request_id": "r 1"}, InvalidInputError, "request_id: at most", id="request-id"),
        pytest.param({"name": ""}, InvalidInputError, "name: ", id="terms"),
    ],
)
async def test_what_an_operator_may_not_ask(
    world: World, asked: dict[str, Any], fault: type[Exception], text: str
) -> None:
    """An operator is told what is wrong, and nothing is stored."""
    operator = await world.operator("keys:write")
    stored = dict(world.store.keys)

    with pytest.raises(fault) as raised:
        await world.create_key(operator, key_request(**asked))

    assert str(raised.value).startswith(text)
    assert stored == world.store.keys


async def test_a_suspended_organization_can_get_keys(world: World) -> None:
    """They wait for its reinstatement like its other keys."""
    operator = await world.operator("keys:write")
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.SUSPENDED)

    made = await world.create_key(operator, key_request())

    assert not made.changed.value.record.organization_active


async def test_a_deleted_organization_cannot(world: World) -> None:
    """It is known by its id, and gets nothing more."""
    operator = await world.operator("keys:write")
    world.store.alter_organization(ACME_ID, status=OrganizationStatus.DELETED)

    with pytest.raises(FailedPreconditionError):
        await world.create_key(operator, key_request())


@pytest.mark.parametrize(
    ("asked", "dimension"),
    [
        pytest.param({"scopes": ("keys:write", "organizations:write")}, "scopes", id="scopes"),
        pytest.param({"scopes": ("keys:write",), "networks": None}, "networks", id="networks"),
    ],
)
async def test_an_operator_makes_no_stronger_operator(world: World, asked: dict[str, Any], dimension: str) -> None:
    """For its own API an operator is bound by itself, not by the catalogue."""
    made = await world.operator_key("keys:write", "keys:read", networks=OFFICE)
    operator = await world.as_administrator(made, "10.0.0.1")
    asked = {"api": ADMIN_API, "organization_id": OPERATORS_ID, "environment": "", "networks": OFFICE, **asked}

    with pytest.raises(PermissionDeniedError, match=f"^{dimension}: "):
        await world.create_key(operator, key_request(**asked))


async def test_an_operator_makes_a_weaker_operator(world: World) -> None:
    """A reader from a reader and writer."""
    operator = await world.operator("keys:write", "keys:read")
    asked = {"api": ADMIN_API, "organization_id": OPERATORS_ID, "environment": "", "scopes": ("keys:read",)}

    made = await world.create_key(operator, key_request(**asked))

    assert (await world.as_administrator(made)).is_operator
