"""Reading, listing and identifying keys, and what is beyond a caller's reach."""

from __future__ import annotations

import pytest

from authsvc.domain.errors import InvalidInputError, NotFoundError
from authsvc.domain.secret import Secret
from authsvc.ports import KeyFilter
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.identify_key import IdentifyKey
from authsvc.usecases.list_keys import ListKeys
from tests.support.administration import ACME_ID, GLOBEX_ID, NO_KEY, NO_ORGANIZATION, World
from tests.support.builders import NOW
from tests.support.fakes import PEPPERS


async def test_operators_read_every_key(world: World) -> None:
    """Of any organization and API."""
    operator = await world.operator("keys:read")
    foreign = await world.key(organization_id=GLOBEX_ID)

    assert foreign.changed.value == await GetKey(world.store)(operator, foreign.changed.value.record.id)


async def test_a_products_key_reads_its_own_organizations_keys(world: World) -> None:
    """Revoked ones too."""
    caller = await world.product_administrator()
    own = await world.key()
    world.store.alter_key(own.changed.value.record.id, revoked_at=NOW)

    assert world.stored(own) == await GetKey(world.store)(caller, own.changed.value.record.id)


async def test_a_foreign_key_is_as_absent_as_none(world: World) -> None:
    """Another organization's id, an operator's and a random one get one answer."""
    caller = await world.product_administrator()
    foreign = (await world.key(organization_id=GLOBEX_ID)).changed.value.record.id
    operators = (await world.operator_key("keys:read")).changed.value.record.id
    told = set()

    for key_id in (foreign, operators, NO_KEY):
        with pytest.raises(NotFoundError) as raised:
            await GetKey(world.store)(caller, key_id)
        told.add(str(raised.value))

    assert told == {"no such key"}


async def test_a_malformed_id_is_told_apart(world: World) -> None:
    """What can be nobody's id is the caller's mistake."""
    with pytest.raises(InvalidInputError):
        await GetKey(world.store)(await world.operator("keys:read"), "key_1")


async def test_a_list_is_narrowed_to_the_callers_reach(world: World) -> None:
    """Without a filter, with its own organization, and with its own API: the same keys."""
    caller = await world.product_administrator()
    own = await world.key()
    await world.key(organization_id=GLOBEX_ID)
    await world.operator_key("keys:read")
    expected = {caller.record.id, own.changed.value.record.id}

    for where in (KeyFilter(), KeyFilter(organization_id=ACME_ID), KeyFilter(api="shop")):
        page = await ListKeys(world.store)(caller, where, 100, None)

        assert {key.record.id for key in page.items} == expected


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(KeyFilter(organization_id=GLOBEX_ID), id="foreign-organization"),
        pytest.param(KeyFilter(organization_id=NO_ORGANIZATION), id="absent-organization"),
        pytest.param(KeyFilter(api="other"), id="foreign-api"),
        pytest.param(KeyFilter(api="unheard-of"), id="absent-api"),
    ],
)
async def test_a_products_key_lists_nothing_beyond_its_reach(world: World, where: KeyFilter) -> None:
    """A foreign filter answers like one that names nothing."""
    caller = await world.product_administrator()

    with pytest.raises(NotFoundError, match=r"^no such (organization|API)$"):
        await ListKeys(world.store)(caller, where, 100, None)


async def test_operators_list_by_any_filter(world: World) -> None:
    """Also by what does not exist, which is an empty list."""
    operator = await world.operator("keys:read")
    made = await world.key(organization_id=GLOBEX_ID)
    listed = ListKeys(world.store)

    page = await listed(operator, KeyFilter(organization_id=GLOBEX_ID), 100, None)

    assert page.items == (made.changed.value,)
    assert (await listed(operator, KeyFilter(organization_id=NO_ORGANIZATION), 100, None)).items == ()
    with pytest.raises(InvalidInputError, match=r"^filter\.organization_id: "):
        await listed(operator, KeyFilter(organization_id="acme"), 100, None)


async def test_a_text_is_identified_under_any_pepper(world: World) -> None:
    """A key found somewhere leads to its record, whatever its status and whichever pepper it is stored under."""
    made = await world.key()
    key_id = made.changed.value.record.id
    world.store.alter_key(key_id, revoked_at=NOW)
    world.store.digests = {PEPPERS.others[0].digest(made.secret.reveal()): key_id}
    identify = IdentifyKey(world.store, PEPPERS, world.apis)

    assert (await identify(made.secret)).record.id == key_id


async def test_a_text_nobody_has_is_not_found(world: World) -> None:
    """Well-formed and unknown, or of no API's form: one answer, the latter without a query."""
    identify = IdentifyKey(world.store, PEPPERS, world.apis)
    made = await world.key()
    world.store.digests.clear()

    with pytest.raises(NotFoundError, match=r"^no such key$"):
        await identify(made.secret)
    world.store.fail = True
    with pytest.raises(NotFoundError, match=r"^no such key$"):
        await identify(Secret("ghp_0123456789"))


@pytest.mark.parametrize("text", ["", "a b", "x" * 129, "ключ", "a,b"])
async def test_what_no_key_can_be_is_refused(world: World, text: str) -> None:
    """Blanks, commas, other alphabets and length."""
    with pytest.raises(InvalidInputError, match=r"^secret: "):
        await IdentifyKey(world.store, PEPPERS, world.apis)(Secret(text))
