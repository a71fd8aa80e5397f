"""Many keys are revoked at one position, all of them or none. Either database."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from authsvc.domain.errors import AuthsvcError, ConflictError, UnavailableError
from authsvc.domain.lifecycle import KeyStatus
from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from tests.contract.stores.test_changes import trap
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, ASKED, key_id, new_key, new_organization, organization_id, update

TABLES = ("keys", "audit_events", "auth_change", "change_head", "idempotency")
KEYS = 6


async def furnish(store: SqlStore) -> None:
    """Two organizations with three keys each."""
    for number in (1, 2):
        await store.create_organization(new_organization(number), ACTOR)
    for number in range(1, KEYS + 1):
        await store.create_key(new_key(number, organization_id=organization_id(1 + number % 2)), ACTOR)


def snapshot(url: str) -> list[list[tuple[object, ...]]]:
    """Return all that a change could have touched."""
    return [sorted(run_sql(url, f"SELECT * FROM {table}"), key=repr) for table in TABLES]


async def test_all_are_revoked_at_one_position(store: SqlStore, database_url: str) -> None:
    """With one event that tells which, and a change row for each."""
    await furnish(store)
    before = (await store.head()).revision
    ending = await store.get_keys([key_id(n) for n in (5, 1, 2)])

    changed = await store.bulk_revoke_keys(ending, "review", ACTOR)

    after = [await store.get_key(key_id(n)) for n in (1, 2, 5)]
    assert (changed.value, changed.revision.seq) == (3, before.seq + 1)
    assert len({key.record.revoked_at for key in after}) == 1
    assert {(key.revoke_reason, key.etag) for key in after} == {("review", "2")}
    assert (await store.get_key(key_id(3))).record.revoked_at is None
    told = run_sql(
        database_url,
        "SELECT action, target_id, organization_id, count, reason FROM audit_events ORDER BY seq DESC LIMIT 1",
    )
    assert told == [("key.bulk_revoke", "", "", 3, "review")]
    dropped = run_sql(
        database_url,
        f"SELECT ordinal, kind, key_id, organization_id FROM auth_change WHERE seq = {changed.revision.seq} ORDER BY 1",
    )
    assert dropped == [(n, "key", key_id(i), organization_id(1 + i % 2)) for n, i in enumerate((1, 2, 5))]
    assert (await store.verify_audit(PEPPERS, None)).sound


async def test_of_one_organization_the_event_names_it(store: SqlStore, database_url: str) -> None:
    """So that it is found among what was done to it."""
    await furnish(store)

    await store.bulk_revoke_keys(await store.get_keys([key_id(2), key_id(4)]), "x", ACTOR)

    told = run_sql(database_url, "SELECT organization_id FROM audit_events ORDER BY seq DESC LIMIT 1")
    assert told == [(organization_id(1),)]


async def test_one_that_died_meanwhile_stops_all(store: SqlStore, database_url: str) -> None:
    """Nothing is left of the attempt."""
    await furnish(store)
    ending = await store.get_keys([key_id(n) for n in (1, 2, 3)])
    await store.revoke_key(key_id(2), "meanwhile", ACTOR)
    before = snapshot(database_url)

    with pytest.raises(ConflictError):
        await store.bulk_revoke_keys(ending, "review", ASKED)

    assert before == snapshot(database_url)


@pytest.mark.parametrize("table", ["audit_events", "auth_change"])
async def test_no_record_no_change(store: SqlStore, database_url: str, table: str) -> None:
    """When the trail or the log cannot be written nothing is left."""
    await furnish(store)
    ending = await store.get_keys([key_id(n) for n in (1, 2, 3)])
    before = snapshot(database_url)

    with trap(database_url, table), pytest.raises(UnavailableError):
        await store.bulk_revoke_keys(ending, "review", ASKED)

    assert before == snapshot(database_url)


async def test_a_retry_is_told_which_they_were(store: SqlStore) -> None:
    """From the trail, for a day."""
    await furnish(store)
    changed = await store.bulk_revoke_keys(await store.get_keys([key_id(1), key_id(4)]), "review", ASKED)

    recalled = await store.recall(ASKED)

    assert recalled is not None
    assert recalled.revision == changed.revision
    assert await store.get_bulk_revoked(recalled.target_id) == (key_id(1), key_id(4))
    with pytest.raises(UnavailableError):
        await store.get_bulk_revoked("1")


async def test_counting(store: SqlStore) -> None:
    """By any filter; and named keys are found unless they are deleted."""
    await furnish(store)
    await store.delete_key(key_id(1), "", ACTOR)
    await store.revoke_key(key_id(2), "", ACTOR)

    assert await store.count_keys(KeyFilter()) == KEYS - 1
    assert await store.count_keys(KeyFilter(statuses=frozenset({KeyStatus.ACTIVE}))) == KEYS - 2
    assert await store.count_keys(KeyFilter(organization_id=organization_id(1))) == 3
    assert [key.record.id for key in await store.get_keys([key_id(n) for n in (4, 1, 2, 9)])] == [key_id(2), key_id(4)]


async def test_a_thousand_are_one_change(store: SqlStore, database_url: str) -> None:
    """As many as a call may name, within the time that a statement has."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(1), ACTOR)
    columns = [name for (name,) in await _columns(store) if name not in ("id", "digest", "created_at")]
    joined = ", ".join(columns)
    digest = (
        "randomblob(32)" if database_url.startswith("sqlite") else "decode(md5(n::text) || md5(n::text || 'x'), 'hex')"
    )
    numbered = (
        "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000) "
        f"INSERT INTO keys (id, digest, created_at, {joined}) "
        f"SELECT 'key_' || substr('00000000000000000000000000' || n, -26), {digest}, created_at, {joined} "
        "FROM numbers, keys WHERE keys.predecessor_id IS NULL"
    )
    if not database_url.startswith("sqlite"):
        numbered = numbered.replace("substr('00000000000000000000000000' || n, -26)", "lpad(n::text, 26, '0')")
    run_sql(database_url, numbered)
    ending = (await store.list_keys(KeyFilter(), 1000, None)).items

    changed = await store.bulk_revoke_keys(ending, "review", ASKED)

    assert (len(ending), changed.value) == (1000, 1000)
    assert await store.count_keys(KeyFilter(statuses=frozenset({KeyStatus.REVOKED}))) == 1000
    assert (await store.verify_audit(PEPPERS, None)).sound


async def _columns(store: SqlStore) -> list[tuple[str]]:
    row = (await store.database.rows(text("SELECT * FROM keys")))[0]
    return [(name,) for name in row]


async def test_at_once_with_other_changes(store: SqlStore) -> None:
    """Whatever comes first, each key is revoked once, and no chain breaks."""
    await furnish(store)

    async def attempt() -> int:
        ending = [key for key in await store.get_keys([key_id(n) for n in range(1, 7)]) if not key.record.revoked_at]
        try:
            return (await store.bulk_revoke_keys(ending, "review", ACTOR)).value if ending else 0
        except AuthsvcError:
            return 0

    others = [store.update_key(key_id(n), "", update(name="new"), ACTOR) for n in (1, 2)]
    done = await asyncio.gather(*(attempt() for _ in range(4)), *others, return_exceptions=True)

    assert sum(each for each in done[:4] if isinstance(each, int)) == KEYS
    assert (await store.verify_audit(PEPPERS, None)).sound
