"""`Registry`: what administrators see of organizations and keys. Either database."""

from __future__ import annotations

import pytest

from authsvc.domain.administration import OPERATORS, OrganizationStatus
from authsvc.domain.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.stored import ACTOR, digest, key_id, new_key, new_organization, organization_id


async def test_an_organization_comes_back_as_it_was_stored(store: SqlStore) -> None:
    """What creating answered is what reading answers, by id and by name."""
    created = await store.create_organization(new_organization(plan="pro", metadata={"crm": "1"}), ACTOR)

    assert created.value == await store.get_organization(organization_id(1))
    assert created.value == await store.get_organization("organization 1")
    assert (
        created.value.status,
        created.value.plan,
        created.value.networks,
    ) == (OrganizationStatus.ACTIVE, "pro", None)


async def test_a_key_comes_back_as_it_was_stored(store: SqlStore) -> None:
    """What creating answered is what reading answers, by id and by digest."""
    await store.create_organization(new_organization(), ACTOR)
    created = await store.create_key(new_key(), ACTOR)

    assert created.value == await store.get_key(key_id(1))
    assert created.value == await store.find_key([digest(404), digest(1)])
    assert created.value.record == (await store.load([digest(1)])).record
    assert (ACTOR.key_id, "key 1", "vk_live_abcd") == (
        created.value.created_by,
        created.value.name,
        created.value.hint,
    )


async def test_last_use_is_told(store: SqlStore, database_url: str) -> None:
    """Use is kept apart from the key, and read with it."""
    await store.create_organization(new_organization(), ACTOR)
    created = await store.create_key(new_key(), ACTOR)
    run_sql(
        database_url,
        "INSERT INTO key_uses (key_id, last_used_at, address, agent) SELECT id, created_at, '', '' FROM keys",
    )

    assert created.value.created_at == (await store.get_key(key_id(1))).last_used_at
    assert created.value.created_at == (await store.revoke_key(key_id(1), "", ACTOR)).value.last_used_at


@pytest.mark.parametrize(
    "changes", [pytest.param({"name": "organization 1"}, id="name"), pytest.param({"id": organization_id(1)}, id="id")]
)
async def test_a_taken_name_or_id_is_refused(store: SqlStore, changes: dict[str, str]) -> None:
    """Names and ids are unique, and the text says nothing of the database."""
    await store.create_organization(new_organization(1), ACTOR)

    with pytest.raises(AlreadyExistsError, match=r"^an organization with this name or id exists already$"):
        await store.create_organization(new_organization(2, **changes), ACTOR)


async def test_names_differ_by_case(store: SqlStore) -> None:
    """Names are compared byte by byte."""
    await store.create_organization(new_organization(1, name="acme"), ACTOR)
    await store.create_organization(new_organization(2, name="Acme"), ACTOR)

    assert organization_id(2) == (await store.get_organization("Acme")).id


async def test_an_id_is_an_id_whatever_others_are_called(store: SqlStore) -> None:
    """Nobody can shadow an organization by taking its id as a name."""
    await store.create_organization(new_organization(1, name=organization_id(2)), ACTOR)
    await store.create_organization(new_organization(2), ACTOR)

    assert organization_id(2) == (await store.get_organization(organization_id(2))).id


async def test_the_name_of_a_deleted_organization_is_free(store: SqlStore, database_url: str) -> None:
    """It is found by its id only."""
    await store.create_organization(new_organization(1, name="acme"), ACTOR)
    run_sql(database_url, "UPDATE organizations SET status = 'deleted'")

    with pytest.raises(NotFoundError):
        await store.get_organization("acme")
    assert OrganizationStatus.DELETED is (await store.get_organization(organization_id(1))).status
    await store.create_organization(new_organization(2, name="acme"), ACTOR)


@pytest.mark.parametrize(
    "changes", [pytest.param({"digest": digest(1)}, id="digest"), pytest.param({"id": key_id(1)}, id="id")]
)
async def test_a_taken_key_is_refused(store: SqlStore, changes: dict[str, str]) -> None:
    """Two keys never share a text or an id."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(1), ACTOR)

    with pytest.raises(AlreadyExistsError, match=r"^a key with this id or text exists already$"):
        await store.create_key(new_key(2, **changes), ACTOR)


async def test_a_key_needs_an_organization(store: SqlStore) -> None:
    """A key nobody owns cannot be stored."""
    with pytest.raises(NotFoundError, match=r"^there is no such organization$"):
        await store.create_key(new_key(), ACTOR)


async def test_a_deleted_organization_gets_no_key(store: SqlStore, database_url: str) -> None:
    """And the attempt leaves nothing behind."""
    created = await store.create_organization(new_organization(), ACTOR)
    run_sql(database_url, "UPDATE organizations SET status = 'deleted'")

    with pytest.raises(FailedPreconditionError):
        await store.create_key(new_key(), ACTOR)

    assert (None, created.revision) == ((answer := await store.load([digest(1)])).record, answer.as_of)


@pytest.mark.parametrize("name", [key_id(404), "", "key_%", "' OR ''='"])
async def test_an_absent_key_is_not_found(store: SqlStore, name: str) -> None:
    """Reading and revoking say the same of what is not there."""
    with pytest.raises(NotFoundError, match=r"^there is no such key$"):
        await store.get_key(name)
    with pytest.raises(NotFoundError, match=r"^there is no such key$"):
        await store.revoke_key(name, "", ACTOR)
    with pytest.raises(NotFoundError, match=r"^there is no such key$"):
        await store.find_key([digest(404)])


async def test_a_deleted_key_is_found_by_its_text_only(store: SqlStore, database_url: str) -> None:
    """Who holds a text may learn what became of it; lists and ids do not show it."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, "UPDATE keys SET deleted_at = created_at")

    assert key_id(1) == (await store.find_key([digest(1)])).record.id
    assert (await store.list_keys(KeyFilter(), 10, None)).items == ()
    with pytest.raises(NotFoundError):
        await store.get_key(key_id(1))
    with pytest.raises(NotFoundError):
        await store.revoke_key(key_id(1), "", ACTOR)


async def test_revoking_is_final(store: SqlStore) -> None:
    """The second revocation keeps the first instant and reason, and moves no position."""
    await store.create_organization(new_organization(), ACTOR)
    created = await store.create_key(new_key(), ACTOR)

    first = await store.revoke_key(key_id(1), "leaked", ACTOR)
    second = await store.revoke_key(key_id(1), "another reason", ACTOR)

    assert first == second
    assert first.value == await store.get_key(key_id(1))
    assert ("leaked", created.revision.seq + 1) == (first.value.revoke_reason, first.revision.seq)
    assert created.value.etag != first.value.etag
    assert created.value.updated_at <= first.value.updated_at == first.value.record.revoked_at


async def test_a_suspension_begins_and_ends(store: SqlStore) -> None:
    """Each step shows at once in what a load says; repeating one changes nothing."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)

    suspended = await store.suspend_organization(organization_id(1), "unpaid", ACTOR)
    again = await store.suspend_organization(organization_id(1), "another reason", ACTOR)
    during = await store.load([digest(1)])
    reinstated = await store.reinstate_organization(organization_id(1), "paid", ACTOR)
    once_more = await store.reinstate_organization(organization_id(1), "paid", ACTOR)
    after = await store.load([digest(1)])

    assert (suspended, reinstated) == (again, once_more)
    assert (suspended.value.status, suspended.value.suspend_reason) == (OrganizationStatus.SUSPENDED, "unpaid")
    assert suspended.value.suspended_at == suspended.value.updated_at
    assert (
        reinstated.value.status,
        reinstated.value.suspend_reason,
        reinstated.value.suspended_at,
    ) == (OrganizationStatus.ACTIVE, "", None)
    assert (
        during.record and during.record.organization_active,
        after.record and after.record.organization_active,
    ) == (False, True)
    assert (suspended.revision, reinstated.revision) == (during.as_of, after.as_of)


async def test_operators_cannot_be_suspended(store: SqlStore) -> None:
    """Nobody locks the administrators out."""
    await store.create_organization(new_organization(name=OPERATORS), ACTOR)

    with pytest.raises(FailedPreconditionError):
        await store.suspend_organization(organization_id(1), "", ACTOR)


@pytest.mark.parametrize("verb", ["suspend_organization", "reinstate_organization"])
async def test_a_deleted_or_absent_organization_is_not_switched(store: SqlStore, database_url: str, verb: str) -> None:
    """Deleted is final, and what is not there is not found."""
    await store.create_organization(new_organization(), ACTOR)
    run_sql(database_url, "UPDATE organizations SET status = 'deleted'")

    with pytest.raises(FailedPreconditionError):
        await getattr(store, verb)(organization_id(1), "", ACTOR)
    with pytest.raises(NotFoundError):
        await getattr(store, verb)(organization_id(2), "", ACTOR)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100])
async def test_pages_neither_skip_nor_repeat(store: SqlStore, size: int) -> None:
    """Whatever the size of a page, walking them sees everything once, in the order of ids."""
    for number in range(1, 8):
        await store.create_organization(new_organization(number), ACTOR)
        await store.create_key(new_key(number), ACTOR)

    organizations, keys = [], []
    token: str | None = None
    while token != "":
        page = await store.list_organizations(size, token)
        organizations += [item.id for item in page.items]
        token = page.next_token
    token = None
    while token != "":
        found = await store.list_keys(KeyFilter(), size, token)
        keys += [item.record.id for item in found.items]
        token = found.next_token

    assert [organization_id(number) for number in range(1, 8)] == organizations
    assert [key_id(number) for number in range(1, 8)] == keys


async def test_a_key_made_between_two_pages_disturbs_neither(store: SqlStore) -> None:
    """New ids sort last, so a walk in progress sees them and misses nothing else."""
    await store.create_organization(new_organization(), ACTOR)
    for number in (1, 2, 3):
        await store.create_key(new_key(number), ACTOR)

    first = await store.list_keys(KeyFilter(), 2, None)
    await store.create_key(new_key(4), ACTOR)
    second = await store.list_keys(KeyFilter(), 2, first.next_token)

    assert [key_id(n) for n in (1, 2, 3, 4)] == [key.record.id for key in (*first.items, *second.items)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param(KeyFilter(), [1, 2, 3, 4], id="all"),
        pytest.param(KeyFilter(api="op"), [2], id="api"),
        pytest.param(KeyFilter(organization_id=organization_id(2)), [3], id="organization"),
        pytest.param(KeyFilter(kind="publishable"), [4], id="kind"),
        pytest.param(KeyFilter(environment="live"), [3, 4], id="environment"),
        pytest.param(KeyFilter(environment="LIVE"), [], id="case"),
        pytest.param(KeyFilter(environment=""), [], id="empty-text"),
        pytest.param(KeyFilter(environment="live", kind="publishable", api="verifa"), [4], id="several"),
    ],
)
async def test_filters_hold_together(store: SqlStore, where: KeyFilter, expected: list[int]) -> None:
    """Every field given must match exactly; None does not restrict."""
    for number in (1, 2):
        await store.create_organization(new_organization(number), ACTOR)
    await store.create_key(new_key(1), ACTOR)
    await store.create_key(new_key(2, api="op"), ACTOR)
    await store.create_key(new_key(3, organization_id=organization_id(2), environment="live"), ACTOR)
    await store.create_key(new_key(4, kind="publishable", environment="live"), ACTOR)

    page = await store.list_keys(where, 10, None)

    assert [key_id(number) for number in expected] == [key.record.id for key in page.items]
