"""The trail is chained: what was edited, removed or moved in the database is found. Either database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from alembic import command

from authsvc.domain.audit import AuditKey, AuditKeys
from authsvc.domain.audit_check import Anchor, Report
from authsvc.domain.errors import AlreadyExistsError, UnavailableError
from authsvc.domain.hashing import Pepper, PepperSet
from authsvc.ports import Refusal
from authsvc.stores import migrate
from authsvc.stores.sql import SqlStore
from authsvc.stores.tables import audit_events
from authsvc.stores.trail import CHAINED
from tests.contract.stores.test_changes import MUTATIONS, OF_TWO, furnish
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, key_id, new_organization, update

P1, P2, P3 = Pepper("p1", b"1" * 32), Pepper("p2", b"2" * 32), Pepper("p3", b"3" * 32)
EVENTS = 7  # that `some_events` leaves


async def some_events(store: SqlStore) -> None:
    """Leave changes of several kinds, with documents of several kinds, and a refusal."""
    await furnish(store)
    await store.revoke_key(key_id(1), "gefunden: \N{SNOWMAN}", ACTOR)
    await store.write_refusals(
        [Refusal(actor=ACTOR, action="key.create", target_kind="key", target_id="", reason="no", count=3)]
    )


async def verified(store: SqlStore, anchor: Anchor | None = None) -> Report:
    """Verify with the peppers the store was opened with."""
    return await store.verify_audit(PEPPERS, anchor)


@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWO])
async def test_whatever_is_changed_is_authentic(
    store: SqlStore, mutation: Callable[[SqlStore], Awaitable[Any]]
) -> None:
    """What is read back is what was authenticated, to the last column, and the end is remembered."""
    await furnish(store)
    before = (await verified(store)).verified

    await mutation(store)
    report = await verified(store)

    assert (report.findings, report.unchained, report.removed) == ([], 0, 0)
    assert before < report.verified
    assert report.anchor is not None
    assert report.anchor.seq == report.verified


async def test_nothing_is_sound(store: SqlStore) -> None:
    """A trail that nobody has written into has no end to keep either."""
    report = await verified(store)

    assert (report.sound, report.verified, report.anchor) == (True, 0, None)


def test_every_column_is_chained() -> None:
    """One that is added later too."""
    assert set(audit_events.c.keys()) - {"mac"} == set(CHAINED)


EDITS = {
    "at": "1",
    "actor_key_id": "'x'",
    "actor_organization_id": "'x'",
    "address": "'x'",
    "action": "'x'",
    "target_kind": "'x'",
    "target_id": "'x'",
    "organization_id": "'x'",
    "before": "NULL",
    "after": "NULL",
    "reason": "'x'",
    "request_id": "'x'",
    "revision_epoch": "'x'",
    "revision_seq": "9",
    "outcome": "'x'",
    "count": "9",
}


@pytest.mark.parametrize("column", EDITS)
async def test_an_edit_is_found(store: SqlStore, database_url: str, column: str) -> None:
    """Of any column, and it is told where."""
    await some_events(store)
    value = EDITS[column]
    if column == "at" and not database_url.startswith("sqlite"):
        value = "now()"

    run_sql(database_url, f"UPDATE audit_events SET {column} = {value} WHERE seq = 6")
    report = await verified(store)

    assert report.findings == ["event 6: altered, or moved from another place"]
    assert (report.verified, report.anchor) == (EVENTS - 1, None)


def test_no_column_is_left_out_of_the_edits() -> None:
    """Position, key and mac have tests of their own."""
    assert set(CHAINED) - {"seq", "mac_key"} == set(EDITS)


TAMPERED = [
    pytest.param(["DELETE FROM audit_events WHERE seq = 3"], ["1 before event 4: missing"], id="removed"),
    pytest.param(["DELETE FROM audit_events WHERE seq < 3"], ["2 before event 3: missing"], id="beginning"),
    pytest.param(
        ["DELETE FROM audit_events WHERE seq = 3", "UPDATE audit_events SET seq = 3 WHERE seq = 4"],
        ["event 3: altered, or moved from another place", "1 before event 5: missing"],
        id="removed-and-moved-up",
    ),
    pytest.param(
        [
            "UPDATE audit_events SET seq = 99 WHERE seq = 3",
            "UPDATE audit_events SET seq = 3 WHERE seq = 4",
            "UPDATE audit_events SET seq = 4 WHERE seq = 99",
        ],
        [f"event {seq}: altered, or moved from another place" for seq in (3, 4, 5)],
        id="swapped",
    ),
    pytest.param(["DELETE FROM audit_events WHERE seq > 5"], ["2 behind event 5: missing"], id="end"),
    pytest.param(["DELETE FROM audit_events"], [f"{EVENTS} behind event 0: missing"], id="everything"),
    pytest.param(
        ["DELETE FROM audit_events WHERE seq > 5", "UPDATE change_head SET audit_seq = 5"],
        ["event 5: not the last that was written"],
        id="end-and-number",
    ),
    pytest.param(
        ["UPDATE audit_events SET mac = NULL WHERE seq = 4"],
        [
            "event 4: not authenticated, unlike those before it",
            "event 5: altered, or moved from another place",
        ],
        id="unchained",
    ),
    pytest.param(
        ["UPDATE audit_events SET mac = NULL, mac_key = NULL WHERE seq < 4"],
        ["event 4: altered, or moved from another place"],
        id="passed-off-as-old",
    ),
    pytest.param(
        ["UPDATE audit_events SET mac = NULL"], [f"event {EVENTS}: not the last that was written"], id="all-unchained"
    ),
    pytest.param(
        ["UPDATE audit_events SET mac_key = 'other' WHERE seq = 4"],
        ["event 4: its key is not here; the pepper file may lack a pepper"],
        id="another-key",
    ),
]


@pytest.mark.parametrize(("statements", "found"), TAMPERED)
async def test_tampering_is_found(store: SqlStore, database_url: str, statements: list[str], found: list[str]) -> None:
    """Removed, moved, cut off or stripped of what authenticates it."""
    await some_events(store)

    run_sql(database_url, *statements)

    assert (await verified(store)).findings == found


CUT = (
    "DELETE FROM audit_events WHERE seq > 5",
    "UPDATE change_head SET audit_seq = 5, audit_mac = (SELECT mac FROM audit_events WHERE seq = 5)",
)


async def test_an_end_that_was_cut_carefully_is_found_by_an_anchor(store: SqlStore, database_url: str) -> None:
    """Without one nothing is to be seen; with one it is, and after it has grown again too."""
    await some_events(store)
    anchor = (await verified(store)).anchor
    assert anchor == Anchor.parsed(str(anchor))

    run_sql(database_url, *CUT)

    assert (await verified(store)).sound
    assert (await verified(store, anchor)).findings == [
        f"the anchor is of event {EVENTS}, and the trail ends at 5: its end is cut"
    ]
    for _ in range(3):
        await store.update_key(key_id(2), "", update(name="new"), ACTOR)
    assert (await verified(store)).sound
    assert (await verified(store, anchor)).findings == [f"event {EVENTS}: not the one that the anchor is of"]


async def test_an_anchor_stays_good(store: SqlStore) -> None:
    """The trail grows behind it."""
    await some_events(store)
    anchor = (await verified(store)).anchor

    await store.update_key(key_id(2), "", update(name="new"), ACTOR)

    assert (await verified(store, anchor)).sound


async def test_events_from_before_the_chain_are_told_apart(store: SqlStore, database_url: str) -> None:
    """They are counted, not called false; and what follows begins the chain."""
    await some_events(store)
    run_sql(
        database_url,
        "UPDATE audit_events SET mac = NULL, mac_key = NULL",
        "UPDATE change_head SET audit_mac = NULL",
    )
    before = await verified(store)
    await store.update_key(key_id(2), "", update(name="new"), ACTOR)
    after = await verified(store)

    assert (before.sound, before.unchained, before.verified, before.anchor) == (True, EVENTS, 0, None)
    assert (after.sound, after.unchained, after.verified) == (True, EVENTS, 1)


async def test_a_trail_from_before_the_migration_is_continued(empty_database_url: str) -> None:
    """Its events stay as they are, and new ones are chained behind them."""
    with migrate._migrating(empty_database_url) as connection:
        command.upgrade(migrate._config(connection), "0001")
    run_sql(
        empty_database_url,
        """INSERT INTO audit_events (seq, at, actor_key_id, actor_organization_id, address, action, target_kind,
                                     target_id, organization_id, reason, request_id, outcome, count)
           VALUES (1, CURRENT_TIMESTAMP, '', '', '', 'key.create', 'key', '', '', '', '', 'done', 1)""".replace(
            "CURRENT_TIMESTAMP", "1" if empty_database_url.startswith("sqlite") else "now()"
        ),
        "UPDATE change_head SET audit_seq = 1",
    )
    migrate.upgrade(empty_database_url)
    store = SqlStore.open(empty_database_url, PEPPERS)
    await store.create_organization(new_organization(), ACTOR)
    report = await verified(store)
    await store.close()

    assert (report.findings, report.unchained, report.verified) == ([], 1, 1)


async def test_another_pepper_cannot_verify(store: SqlStore) -> None:
    """Nor could it have written."""
    await some_events(store)

    report = await store.verify_audit(PepperSet(P1, []), None)

    assert len(report.findings) == EVENTS
    assert "its key is not here" in report.findings[0]


async def started(url: str, accepted: PepperSet) -> SqlStore:
    """Do what a process does at its start."""
    store = SqlStore.open(url, accepted)
    await store.verify_peppers(accepted)
    return store


async def test_events_outlive_their_peppers(database_url: str) -> None:
    """Each pepper is added, becomes current and is retired; the last one leads to the keys of all."""
    steps = [PepperSet(P1, []), PepperSet(P1, [P2]), PepperSet(P2, [P1]), PepperSet(P2, []), PepperSet(P2, [P3])]
    steps += [PepperSet(P3, [P2]), PepperSet(P3, [])]
    for number, accepted in enumerate(steps):
        store = await started(database_url, accepted)
        await store.create_organization(new_organization(number), ACTOR)
        report = await store.verify_audit(accepted, None)
        await store.close()

        assert (report.findings, report.verified) == ([], number + 1)
    keys = run_sql(database_url, "SELECT DISTINCT mac_key FROM audit_events")
    secrets = [AuditKey.of(pepper)._secret for pepper in (P1, P2, P3)]
    assert len(keys) == 3
    assert all(
        secret not in bytes(row[0])
        for row in run_sql(database_url, "SELECT wrapped FROM audit_keys")
        for secret in secrets
    )


async def test_processes_with_different_current_peppers_share_a_chain(database_url: str) -> None:
    """While a pepper is rotated, one after the other."""
    one, other = await started(database_url, PepperSet(P1, [P2])), await started(database_url, PepperSet(P2, [P1]))
    for number in range(6):
        await (one, other)[number % 2].create_organization(new_organization(number), ACTOR)
    reports = [await store.verify_audit(PepperSet(P1, [P2]), None) for store in (one, other)]
    await one.close()
    await other.close()

    assert [(report.findings, report.verified) for report in reports] == [([], 6), ([], 6)]


async def test_many_at_once_are_one_chain(store: SqlStore, database_url: str) -> None:
    """Changes and refusals of two processes, and those that fail in between."""
    other = SqlStore.open(database_url, PEPPERS)
    refusal = Refusal(actor=ACTOR, action="key.revoke", target_kind="key", target_id="", reason="no such key")
    await store.create_organization(new_organization(), ACTOR)
    work: list[Awaitable[Any]] = []
    for number in range(24):
        one = (store, other)[number % 2]
        work += [one.create_organization(new_organization(number), ACTOR), one.write_refusals([refusal] * 3)]
    done = await asyncio.gather(*work, return_exceptions=True)
    report = await verified(store)
    await other.close()

    assert {type(each) for each in done if isinstance(each, BaseException)} <= {AlreadyExistsError, UnavailableError}
    assert (report.findings, report.unchained) == ([], 0)
    assert report.verified == run_sql(database_url, "SELECT audit_seq FROM change_head")[0][0] > 10


async def test_the_trail_of_refusals_moves_no_cache(store: SqlStore, database_url: str) -> None:
    """It is written with its count, outside the change log."""
    await furnish(store)
    before = await store.head()
    refusals = [
        Refusal(actor=ACTOR, action="key.revoke", target_kind="key", target_id=key_id(n), reason="no such key", count=n)
        for n in (1, 2)
    ]

    await store.write_refusals(refusals)
    await store.write_refusals([])

    assert before.revision == (await store.head()).revision
    told = run_sql(
        database_url,
        "SELECT action, target_id, outcome, reason, count, revision_seq FROM audit_events WHERE outcome = 'refused'",
    )
    assert [("key.revoke", key_id(n), "refused", "no such key", n, None) for n in (1, 2)] == told
    assert (await verified(store)).sound


def test_keys_show_nothing() -> None:
    """Neither in logs nor in tracebacks; and a wrapped key opens with its pepper only."""
    keys = AuditKeys(PepperSet(P1, [P2]))
    wrapped = keys.current.wrapped(P2, b"n" * 16)
    opened = AuditKey.unwrapped(P2, wrapped)

    assert opened is not None
    assert opened.id == keys.current.id
    assert AuditKey.unwrapped(P3, wrapped) is None
    assert AuditKey.unwrapped(P2, wrapped[:-1] + b"x") is None
    assert keys.current._secret.hex() not in repr(keys) + repr(keys.current)
    assert keys.current._secret not in wrapped
