"""`KeyStore`: the record behind a digest, with its position. Either database."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from authsvc.domain.administration import OPERATORS
from authsvc.domain.errors import UnavailableError
from authsvc.domain.hashing import Digest
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.ports import CorruptRecordError
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.mutations import furnish
from tests.support.stored import ACTOR, LIMITS, digest, key_id, new_key, new_organization, organization_id

NETWORKS = tuple(network for text in ("10.0.0.0/8", "2001:db8::/32") if (network := parse_network(text)))
ORIGINS = tuple(
    origin for text in ("https://app.example.com", "*.example.com") if (origin := parse_pattern(text)) is not None
)
FAR_INSTANT = 4_102_444_800_000_001


async def test_a_record_comes_back_as_it_was_stored(store: SqlStore) -> None:
    """Every field of policy survives the way into the database and back, to the microsecond."""
    await store.create_organization(new_organization(plan="pro", networks=NETWORKS), ACTOR)
    new = new_key(
        environment="live",
        scopes=("sessions:write", "sessions:read"),
        full_access=True,
        origins=ORIGINS,
        networks=NETWORKS,
        limits=LIMITS,
        not_before=1,
        expires_at=FAR_INSTANT,
        metadata={"tenant": "Ünïcode ☂"},
    )
    await store.create_key(new, ACTOR)

    record = (await store.load([new.digest])).record

    assert record is not None
    assert (key_id(1), "verifa", organization_id(1)) == (record.id, record.api, record.organization_id)
    assert (record.organization_active, record.organization_networks, record.plan) == (True, NETWORKS, "pro")
    assert (record.kind, record.environment) == ("secret", "live")
    assert (record.scopes, record.full_access) == (("sessions:write", "sessions:read"), True)
    assert (record.origins, record.networks, record.limits) == (ORIGINS, NETWORKS, LIMITS)
    assert (record.not_before, record.expires_at) == (1, FAR_INSTANT)
    assert (record.revoked_at, record.deleted_at, record.grace_ends_at) == (None, None, None)
    assert record.metadata == {"tenant": "Ünïcode ☂"}


@pytest.mark.parametrize("value", [pytest.param(None, id="unrestricted"), pytest.param((), id="nobody")])
async def test_no_list_and_an_empty_list_stay_apart(store: SqlStore, value: tuple[()] | None) -> None:
    """NULL is unrestricted, an empty list matches nobody, and neither turns into the other."""
    await store.create_organization(new_organization(networks=value), ACTOR)
    await store.create_key(new_key(origins=value, networks=value), ACTOR)

    record = (await store.load([digest(1)])).record

    assert record is not None
    assert (value, value, value) == (record.origins, record.networks, record.organization_networks)


@pytest.mark.parametrize("column", ["origins", "networks"])
async def test_json_null_is_no_way_to_say_unrestricted(store: SqlStore, database_url: str, column: str) -> None:
    """The literal `null` would read as "no restriction", so the database refuses it."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(origins=(), networks=()), ACTOR)

    with pytest.raises(Exception, match=r"(?i)check constraint"):
        run_sql(database_url, f"UPDATE keys SET {column} = 'null'")


async def test_an_unknown_digest_is_no_record(store: SqlStore) -> None:
    """Nothing found is an answer, with the position at which nothing was there."""
    created = await store.create_organization(new_organization(), ACTOR)

    loaded = await store.load([digest(404)])

    assert (None, created.revision) == (loaded.record, loaded.as_of)


async def test_no_digest_is_no_record(store: SqlStore) -> None:
    """A key text that no class can hold has no digest to look for."""
    assert (await store.load([])).record is None


async def test_the_first_matching_digest_wins(store: SqlStore) -> None:
    """With several matches the answer follows the order asked, not the order stored."""
    await store.create_organization(new_organization(), ACTOR)
    for number in (1, 2, 3):
        await store.create_key(new_key(number), ACTOR)

    loaded = [await store.load([digest(n) for n in order]) for order in ((2, 1, 3), (3, 2, 1), (404, 1, 2))]

    assert [key_id(2), key_id(3), key_id(1)] == [answer.record and answer.record.id for answer in loaded]


async def test_digests_are_compared_byte_by_byte(store: SqlStore) -> None:
    """A digest whose bytes are the other case of the same letters is another digest."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(digest=Digest(b"a" * 32)), ACTOR)

    assert (await store.load([Digest(b"A" * 32)])).record is None
    assert (await store.load([Digest(b"a" * 31 + b"\0")])).record is None


async def test_the_position_never_steps_back(store: SqlStore) -> None:
    """Each load is as of a position at least as new as the last acknowledged change."""
    await store.create_organization(new_organization(), ACTOR)
    positions = []
    for number in range(1, 6):
        created = await store.create_key(new_key(number), ACTOR)
        loaded = await store.load([digest(number)])

        assert created.revision == loaded.as_of
        positions.append(loaded.as_of.seq)

    assert sorted(set(positions)) == positions


async def test_a_revoked_key_is_still_a_record(store: SqlStore) -> None:
    """Policy refuses it and says why in the log; an absent record could not."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    revoked = await store.revoke_key(key_id(1), "leaked", ACTOR)

    record = (await store.load([digest(1)])).record

    assert record is not None
    assert revoked.value.record.revoked_at == record.revoked_at


async def test_a_deleted_key_is_still_a_record(store: SqlStore, database_url: str) -> None:
    """Likewise deleted ones: lists hide them, loads do not."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, "UPDATE keys SET deleted_at = created_at")

    record = (await store.load([digest(1)])).record

    assert record is not None
    assert record.deleted_at is not None


@pytest.mark.parametrize("status", ["suspended", "deleted"])
async def test_a_key_of_an_organization_that_is_not_active_says_so(
    store: SqlStore, database_url: str, status: str
) -> None:
    """Whatever is not active refuses the organization's keys."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, f"UPDATE organizations SET status = '{status}'")

    record = (await store.load([digest(1)])).record

    assert record is not None
    assert record.organization_active is False


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("UPDATE organizations SET status = 'paused'", id="status-from-the-future"),
        pytest.param("UPDATE organizations SET networks = '[\"everywhere\"]'", id="organization-network"),
        pytest.param("UPDATE organizations SET networks = '[7]'", id="network-not-a-text"),
        pytest.param("UPDATE keys SET networks = '[\"10.0.0.1/8\"]'", id="network-with-host-bits"),
        pytest.param("UPDATE keys SET origins = '[\"https://a.example/path\"]'", id="origin-with-a-path"),
        pytest.param("UPDATE keys SET origins = '[null]'", id="origin-null"),
        pytest.param("UPDATE keys SET scopes = '[\"*\"]'", id="scope-star"),
        pytest.param("UPDATE keys SET scopes = '[[\"a:b\"]]'", id="scope-not-a-text"),
        pytest.param('UPDATE keys SET limits = \'[{"name": "x"}]\'', id="limit-half"),
        pytest.param("UPDATE keys SET metadata = '{\"a\": 1}'", id="label-not-a-text"),
    ],
)
async def test_a_record_that_cannot_be_read_is_a_failure(store: SqlStore, database_url: str, damage: str) -> None:
    """No default stands in for what the code does not understand: nothing is decided from it."""
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, damage)

    with pytest.raises(CorruptRecordError):
        await store.load([digest(1)])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("algorithm", '"leaky_bucket"', id="algorithm"),
        pytest.param("subject", '"planet"', id="subject"),
        pytest.param("count", "0", id="count-zero"),
        pytest.param("count", "true", id="count-true"),
        pytest.param("burst", "1.5", id="burst-fraction"),
        pytest.param("period_ns", '"60"', id="period-text"),
    ],
)
async def test_a_limit_that_cannot_be_read_is_a_failure(
    store: SqlStore, database_url: str, field: str, value: str
) -> None:
    """A limit nobody can count by must not become no limit."""
    good = {"name": '"n"', "subject": '"key"', "algorithm": '"gcra"', "count": "1", "period_ns": "1", "burst": "1"}
    document = ", ".join(f'"{name}": {text}' for name, text in (good | {field: value}).items())
    await store.create_organization(new_organization(), ACTOR)
    await store.create_key(new_key(), ACTOR)
    run_sql(database_url, f"UPDATE keys SET limits = '[{{{document}}}]'")

    with pytest.raises(CorruptRecordError):
        await store.load([digest(1)])


async def test_the_head_tells_position_and_time(store: SqlStore) -> None:
    """The end of the log is that of the last change; the clock is a clock."""
    created = await store.create_organization(new_organization(name=OPERATORS), ACTOR)
    before = time.time_ns() // 1000
    head = await store.head()

    assert created.revision == head.revision
    # The database runs on this machine.
    assert abs(head.now - before) < 5_000_000
    assert created.value.created_at <= head.now


async def test_a_database_without_a_position_answers_nothing(store: SqlStore, database_url: str) -> None:
    """Without `change_head` no answer could be told from a stale one."""
    run_sql(database_url, "DELETE FROM change_head")

    with pytest.raises(UnavailableError):
        await store.load([digest(1)])
    with pytest.raises(UnavailableError):
        await store.head()
    with pytest.raises(UnavailableError):
        await store.create_organization(new_organization(), ACTOR)


async def test_a_load_is_planned_once(postgres_url: str) -> None:
    """PostgreSQL looks at the first five, and goes on with one plan for each number of digests."""
    store = SqlStore.open(postgres_url, PEPPERS)
    try:
        await furnish(store)
        for _ in range(12):
            await store.load([digest(1)])
            await store.load([digest(1), digest(2), digest(3)])
        async with store.database.engine.connect() as connection:
            found = await connection.execute(
                text("SELECT custom_plans FROM pg_prepared_statements WHERE statement LIKE '%pg_is_in_recovery%keys%'")
            )
            planned = [row.custom_plans for row in found]
    finally:
        await store.close()

    assert [5, 5] == planned
