"""The trail is listed by filters and pages, and removed when it was kept long enough. Either database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from authsvc.domain.audit import AuditEvent, Outcome
from authsvc.domain.audit_check import Anchor
from authsvc.domain.errors import InvalidInputError, UnavailableError
from authsvc.domain.usage import DAY
from authsvc.ports import AuditFilter, Refusal
from authsvc.stores import audit
from authsvc.stores.sql import SqlStore
from tests.contract.stores.test_changes import furnish
from tests.support.databases import run_sql
from tests.support.fakes import PEPPERS
from tests.support.stored import ACTOR, key_id, new_organization, organization_id, update


@pytest_asyncio.fixture
async def filled(store: SqlStore) -> AsyncIterator[SqlStore]:
    """Three events of organizations, two of keys, a revocation and a refusal."""
    await furnish(store)
    await store.revoke_key(key_id(1), "leaked", ACTOR)
    await store.write_refusals(
        [Refusal(actor=ACTOR, action="key.create", target_kind="key", target_id="", reason="no", count=3)]
    )
    yield store


async def listed(store: SqlStore, page: int = 100, **where: Any) -> list[AuditEvent]:
    """Return the events of all pages."""
    found: list[AuditEvent] = []
    after: int | None = None
    while True:
        got = await store.list_audit_events(AuditFilter(**where), page, after)
        found += got.items
        if not got.next_token:
            return found
        after = int(got.next_token)


async def test_an_event_is_read_as_it_was_written(filled: SqlStore) -> None:
    """Every field of it."""
    revoked, refused = (await listed(filled, oldest_first=True))[-2:]
    key = await filled.get_key(key_id(1))

    assert (revoked.seq, revoked.at, revoked.action) == (6, key.record.revoked_at, "key.revoke")
    assert (revoked.actor_key_id, revoked.actor_organization_id) == (ACTOR.key_id, ACTOR.organization_id)
    assert (revoked.address, revoked.request_id, revoked.reason) == (ACTOR.address, ACTOR.request_id, "leaked")
    assert (revoked.target_kind, revoked.target_id, revoked.organization_id) == ("key", key_id(1), organization_id(1))
    assert revoked.before == {"revoked_at": None}
    assert set(revoked.after or ()) == {"revoked_at"}
    assert (revoked.outcome, revoked.count) == (Outcome.DONE, 1)
    assert revoked.revision == (await filled.head()).revision
    assert (refused.outcome, refused.count, refused.revision, refused.before) == (Outcome.REFUSED, 3, None, None)
    assert {len(event.mac or b"") for event in (revoked, refused)} == {32}


@pytest.mark.parametrize(
    ("where", "seqs"),
    [
        pytest.param({}, [7, 6, 5, 4, 3, 2, 1], id="all"),
        pytest.param({"oldest_first": True}, [1, 2, 3, 4, 5, 6, 7], id="oldest-first"),
        pytest.param({"organization_id": organization_id(1)}, [6, 5, 4, 1], id="organization"),
        pytest.param({"actor_key_id": ACTOR.key_id, "action": "key.create"}, [7, 5, 4], id="actor-and-action"),
        pytest.param({"actor_organization_id": "org_other"}, [], id="actors-organization"),
        pytest.param({"target_kind": "organization"}, [3, 2, 1], id="kind"),
        pytest.param({"target_id": key_id(1)}, [6, 4], id="target"),
        pytest.param({"request_id": ACTOR.request_id, "outcome": Outcome.REFUSED}, [7], id="outcome"),
        pytest.param({"request_id": "another"}, [], id="request"),
    ],
)
@pytest.mark.parametrize("page", [1, 2, 100])
async def test_filters_and_pages(filled: SqlStore, where: dict[str, Any], seqs: list[int], page: int) -> None:
    """Every filter that is set must hold, whatever the size of a page."""
    assert [event.seq for event in await listed(filled, page, **where)] == seqs


async def test_periods_begin_and_end(filled: SqlStore) -> None:
    """The beginning belongs to it, the end does not."""
    events = await listed(filled, oldest_first=True)
    start, end = events[2].at, events[4].at

    found = [event.seq for event in await listed(filled, oldest_first=True, start=start, end=end)]

    assert found == [event.seq for event in events if start <= event.at < end]
    assert found


async def test_pages_are_stable_while_others_write(filled: SqlStore) -> None:
    """Neither direction skips or repeats an event that was there at the beginning."""

    async def write() -> None:
        for number in range(1000):
            with suppress(UnavailableError):
                await filled.update_key(key_id(2), "", update(name=str(number)), ACTOR)

    writer = asyncio.create_task(write())
    newest_first = [event.seq for event in await listed(filled, 2)]
    oldest_first = [event.seq for event in await listed(filled, 50, oldest_first=True, end=(await filled.head()).now)]
    writer.cancel()
    await asyncio.wait([writer])

    assert newest_first == list(range(newest_first[0], 0, -1))
    assert oldest_first == list(range(1, len(oldest_first) + 1))
    assert len(oldest_first) >= 7


def age(url: str, seqs: str, days: int) -> None:
    """Make events older, behind the chain's back: their macs are made again by `reseal`."""
    if url.startswith("sqlite"):
        run_sql(url, f"UPDATE audit_events SET at = at - {days * DAY} WHERE seq {seqs}")
    else:
        run_sql(url, f"UPDATE audit_events SET at = at - interval '{days} days' WHERE seq {seqs}")


async def reseal(store: SqlStore, url: str) -> None:
    """Chain the trail anew."""
    assert store.database.audit_keys is not None
    key, mac = store.database.audit_keys.current, bytes(32)
    for row in await store.database.rows(audit._behind(0, 10**9)):
        columns = {name: value for name, value in row.items() if name != "mac"}
        mac = key.mac(mac, columns)
        literal = f"x'{mac.hex()}'" if url.startswith("sqlite") else f"'\\x{mac.hex()}'::bytea"
        run_sql(
            url,
            f"UPDATE audit_events SET mac = {literal} WHERE seq = {row['seq']}",
            f"UPDATE change_head SET audit_mac = {literal}",
        )


@pytest_asyncio.fixture
async def aged(filled: SqlStore, maintenance: SqlStore, database_url: str) -> SqlStore:
    """The same, with four events that are 100 days old, for whoever may remove them."""
    age(database_url, "<= 4", 100)
    await reseal(filled, database_url)
    return maintenance


async def test_what_was_kept_long_enough_goes(aged: SqlStore, database_url: str) -> None:
    """One event tells what is gone, and the rest verifies as before."""
    removed = await aged.prune_audit(90 * DAY)
    report = await aged.verify_audit(PEPPERS, None)
    newest = (await listed(aged))[0]

    assert removed == 4
    assert run_sql(database_url, "SELECT seq FROM audit_events ORDER BY seq") == [(5,), (6,), (7,), (8,)]
    assert (newest.action, newest.target_kind, newest.count) == ("audit.prune", "audit", 4)
    assert (newest.after or {})["through"] == 4
    assert (report.findings, report.removed, report.verified) == ([], 4, 4)


async def test_pruning_again_removes_nothing_and_writes_nothing(aged: SqlStore, database_url: str) -> None:
    """Until more is old; a trail that is old as a whole leaves what tells so."""
    await aged.prune_audit(90 * DAY)
    assert await aged.prune_audit(90 * DAY) == 0
    assert (await listed(aged))[0].seq == 8

    age(database_url, "<= 8", 200)
    assert await aged.prune_audit(90 * DAY) == 4
    assert [event.seq for event in await listed(aged)] == [9]


async def test_several_batches(aged: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as it takes."""
    monkeypatch.setattr(audit, "BATCH", 3)

    assert await aged.prune_audit(90 * DAY) == 4
    assert (await aged.verify_audit(PEPPERS, None)).sound


async def test_an_interrupted_removal_is_finished_by_the_next(
    aged: SqlStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it left behind counts as removed meanwhile."""
    whole = aged.database.transaction
    with monkeypatch.context() as patch:
        patch.setattr(aged.database, "transaction", lambda: whole() if not called.append(1) and len(called) < 3 else 1)
        called: list[int] = []
        with pytest.raises(UnavailableError):
            await aged.prune_audit(90 * DAY)
    between = await aged.verify_audit(PEPPERS, None)
    left = run_sql(database_url, "SELECT count(*) FROM audit_events WHERE seq < 5")

    assert (between.findings, between.removed, left) == ([], 4, [(4,)])
    assert await aged.prune_audit(90 * DAY) == 4
    assert (await aged.verify_audit(PEPPERS, None)).sound


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        pytest.param(["DELETE FROM audit_events WHERE seq = 5"], "1 before event 6: missing", id="one-more"),
        pytest.param(
            ['UPDATE audit_events SET after = \'{"mac": null, "through": 5}\' WHERE seq = 8'],
            "event 8: altered, or moved from another place",
            id="checkpoint",
        ),
    ],
)
async def test_retention_hides_nothing_else(
    aged: SqlStore, database_url: str, statements: list[str], found: str
) -> None:
    """Who removes more than the checkpoint tells is found, and so is who edits the checkpoint."""
    await aged.prune_audit(90 * DAY)
    run_sql(database_url, *statements)

    report = await aged.verify_audit(PEPPERS, None)
    assert found in report.findings


async def test_an_anchor_that_was_removed_is_told_as_old(aged: SqlStore) -> None:
    """It cannot be compared any more; that of the last event removed can."""
    anchors = [Anchor(seq=event.seq, mac=event.mac or b"") for event in await listed(aged, oldest_first=True)]
    await aged.prune_audit(90 * DAY)

    reports = [await aged.verify_audit(PEPPERS, anchor) for anchor in anchors[2:5]]
    wrong = await aged.verify_audit(PEPPERS, Anchor(seq=4, mac=b"x" * 32))

    assert [(report.sound, report.old_anchor) for report in reports] == [(True, True), (True, False), (True, False)]
    assert wrong.findings == ["event 4: not the one that the anchor is of"]


async def test_less_than_a_day_is_a_mistake(aged: SqlStore) -> None:
    """It would take the answers of retries away, and is hardly ever meant."""
    with pytest.raises(InvalidInputError):
        await aged.prune_audit(DAY - 1)


async def test_pruning_while_others_write_and_verify(aged: SqlStore, filled: SqlStore) -> None:
    """Everybody gets their turn, and the chain holds."""
    writing = [filled.create_organization(new_organization(number), ACTOR) for number in range(10, 20)]

    done = await asyncio.gather(aged.prune_audit(90 * DAY), aged.verify_audit(PEPPERS, None), *writing)

    assert done[0] == 4
    assert done[1].sound
    assert (await aged.verify_audit(PEPPERS, None)).sound
