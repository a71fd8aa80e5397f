"""BulkRevokeKeys over the wire: by ids or filter, dry or not, within the caller's reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.audit_service_pb2 import ListAuditEventsRequest
from authsvc_client.v1.key_pb2 import KEY_STATUS_ACTIVE, KEY_STATUS_REVOKED
from authsvc_client.v1.key_service_pb2 import (
    BulkRevokeKeysRequest,
    DeleteKeyRequest,
    GetKeyRequest,
    KeyFilter,
    RevokeKeyRequest,
)

from authsvc.ports import Absent
from authsvc.stores.sql import SqlStore
from tests.support.admin_server import AdminServer, running_administration
from tests.support.fakes import PEPPERS

NOBODYS = "key_" + "0" * 26


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


class Scene:
    """Two customers, the first with three keys, the second with one."""

    def __init__(self, admin: AdminServer) -> None:
        self.admin = admin

    async def set(self) -> Scene:
        """Make them."""
        self.acme, self.globex = [await self.admin.organization(name) for name in ("acme", "globex")]
        self.made = [await self.admin.key(self.acme, "things:read") for _ in range(3)]
        self.ids = [made.key.id for made in self.made]
        self.foreign = (await self.admin.key(self.globex, "things:read")).key.id
        return self

    async def revoke(self, key: str | None = None, **fields: Any) -> Any:
        """Revoke keys."""
        request = BulkRevokeKeysRequest(**{"reason": "review", **fields})
        return await self.admin.call(self.admin.keys.BulkRevokeKeys, request, key)

    async def refused(self, key: str | None = None, **fields: Any) -> tuple[grpc.StatusCode, str]:
        """Return what a call that must fail is told."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.revoke(key, **fields)
        return raised.value.code(), raised.value.details() or ""

    async def status(self, key_id: str) -> Any:
        """Return a key's status."""
        return (await self.admin.call(self.admin.keys.GetKey, GetKeyRequest(id=key_id))).key.status

    async def statuses(self) -> list[Any]:
        """Return the status of every key of the customers."""
        return [await self.status(key_id) for key_id in (*self.ids, self.foreign)]


@pytest_asyncio.fixture
async def scene(admin: AdminServer) -> Scene:
    """Give the customers."""
    return await Scene(admin).set()


async def test_a_dry_run_tells_and_changes_nothing(scene: Scene) -> None:
    """The same numbers as the run after it, without a revision."""
    where = KeyFilter(organization_id=scene.acme)

    dry = await scene.revoke(filter=where, dry_run=True)
    before = await scene.statuses()
    done = await scene.revoke(filter=where, expected_count=dry.revoked)

    assert before == [KEY_STATUS_ACTIVE] * 4
    assert (dry.revoked, dry.remaining, dry.key_ids, dry.revision) == (3, 0, done.key_ids, "")
    assert list(done.key_ids) == sorted(scene.ids)
    assert done.revision
    assert await scene.statuses() == [KEY_STATUS_REVOKED] * 3 + [KEY_STATUS_ACTIVE]


async def test_when_it_returns_the_cache_has_forgotten_them(scene: Scene) -> None:
    """No request that starts afterwards is answered from an old record."""
    digests = [PEPPERS.current.digest(made.secret) for made in scene.made]
    for digest in digests:
        assert await scene.admin.cache.fetch([digest], 5.0, None) is not None
        assert not isinstance(scene.admin.cache.get(digest), Absent | None)

    await scene.revoke(ids=scene.ids)

    assert [scene.admin.cache.get(digest) for digest in digests] == [None] * 3


async def test_those_that_are_dead_are_counted(scene: Scene) -> None:
    """They are left as they are; where all are dead nothing changes."""
    await scene.admin.call(scene.admin.keys.RevokeKey, RevokeKeyRequest(id=scene.ids[0], reason="before"))

    answer = await scene.revoke(ids=[*scene.ids, scene.ids[0]])
    again = await scene.revoke(ids=scene.ids)
    first = await scene.admin.call(scene.admin.keys.GetKey, GetKeyRequest(id=scene.ids[0]))

    assert (answer.revoked, answer.already_dead, answer.remaining) == (2, 1, 0)
    assert (again.revoked, again.already_dead, again.revision) == (0, 3, answer.revision)
    assert first.key.revoke_reason == "before"
    assert (await scene.revoke(filter=KeyFilter(statuses=[KEY_STATUS_REVOKED]))).revoked == 0


async def test_more_than_fit_remain(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, and the rest is told."""
    monkeypatch.setattr("authsvc.usecases.bulk_revoke_keys.MOST", 2)
    where = KeyFilter(organization_id=scene.acme)

    code, text = await scene.refused(filter=where, expected_count=2)
    answers = [await scene.revoke(filter=where, expected_count=3), await scene.revoke(filter=where)]

    assert (code, text) == (grpc.StatusCode.FAILED_PRECONDITION, "3 keys match and live, 2 were expected")
    assert [(answer.revoked, answer.remaining) for answer in answers] == [(2, 1), (1, 0)]
    assert list(answers[0].key_ids) == sorted(scene.ids)[:2]


async def test_what_was_made_meanwhile_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds one of the keys may make another while they are revoked: it matches, and lives."""
    revoke = SqlStore.bulk_revoke_keys

    async def overtaken(*arguments: Any, **options: Any) -> Any:
        await scene.admin.key(scene.acme, "things:read")
        return await revoke(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "bulk_revoke_keys", overtaken)
        first = await scene.revoke(filter=KeyFilter(organization_id=scene.acme))
    second = await scene.revoke(filter=KeyFilter(organization_id=scene.acme))

    assert [(3, 1), (1, 0)] == [(answer.revoked, answer.remaining) for answer in (first, second)]


async def test_a_retry_is_answered_alike(scene: Scene) -> None:
    """The same id with the same body; with another body it is refused."""
    fields: dict[str, Any] = {"ids": scene.ids, "request_id": "once"}

    answers = [await scene.revoke(**fields) for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0].revoked == 3
    code, _ = await scene.refused(**{**fields, "ids": [scene.foreign]})
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert await scene.status(scene.foreign) == KEY_STATUS_ACTIVE


async def test_a_retry_is_answered_alike_when_one_was_deleted_meanwhile(scene: Scene) -> None:
    """What it named is not looked for again."""
    first = await scene.revoke(ids=scene.ids, request_id="once")
    await scene.admin.call(scene.admin.keys.DeleteKey, DeleteKeyRequest(id=scene.ids[0]))

    assert first == await scene.revoke(ids=scene.ids, request_id="once")


async def test_a_retry_of_what_found_nothing_revokes_nothing(scene: Scene) -> None:
    """A key made since then was not meant, but is told of."""
    where = KeyFilter(organization_id=scene.acme, name_prefix="later")
    first = await scene.revoke(filter=where, request_id="once")
    later = await scene.admin.key(scene.acme, "things:read", name="later")

    again = await scene.revoke(filter=where, request_id="once")

    assert (first.revoked, first.remaining) == (0, 0)
    assert (again.revoked, again.remaining, again.revision) == (0, 1, first.revision)
    assert await scene.status(later.key.id) == KEY_STATUS_ACTIVE
    code, _ = await scene.refused(ids=[later.key.id], request_id="once")
    assert code is grpc.StatusCode.ALREADY_EXISTS


async def test_retries_at_once_are_answered_alike(scene: Scene) -> None:
    """Also one that finds the keys dead that its twin has just ended."""
    answers = await asyncio.gather(*(scene.revoke(ids=scene.ids, request_id="once") for _ in range(20)))

    assert [answers[0]] * 20 == answers
    assert answers[0].revoked == 3


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "ids: give either ids or a filter"),
        ({"ids": [NOBODYS], "filter": KeyFilter(api="shop")}, "ids: give either ids or a filter"),
        ({"filter": KeyFilter()}, "filter: at least one field"),
        ({"ids": [NOBODYS] * 1001}, "ids: at most 1000"),
        ({"ids": ["x" * 1000]}, "ids: a key's id"),
        ({"ids": [NOBODYS], "reason": ""}, "reason: 1 to 256"),
        ({"ids": [NOBODYS], "reason": "a\nb"}, "reason: at most 256 characters, no control"),
        ({"ids": [NOBODYS], "expected_count": -1}, "expected_count: 0 or above"),
        ({"ids": [NOBODYS], "request_id": "a b"}, "request_id: at most 64"),
        ({"filter": KeyFilter(organization_id="acme")}, "filter.organization_id: an organization's id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_bad_input_is_named(scene: Scene, fields: dict[str, Any], text: str, *, dry_run: bool) -> None:
    """In a dry run as well."""
    code, told = await scene.refused(**fields, dry_run=dry_run)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.startswith(text)


async def test_one_that_is_not_found_refuses_all(scene: Scene) -> None:
    """Nothing is revoked then."""
    assert await scene.refused(ids=[*scene.ids, NOBODYS]) == (grpc.StatusCode.NOT_FOUND, "no such key")
    assert await scene.statuses() == [KEY_STATUS_ACTIVE] * 4


async def test_a_product_reaches_its_own_keys_only(scene: Scene) -> None:
    """By id as if others were not there, and a filter finds its own alone, itself included."""
    manager = await scene.admin.key(scene.acme, "keys:read", "keys:write", "things:read")

    assert await scene.refused(manager.secret, ids=[scene.foreign]) == (grpc.StatusCode.NOT_FOUND, "no such key")
    code, _ = await scene.refused(manager.secret, filter=KeyFilter(organization_id=scene.globex))
    assert code is grpc.StatusCode.NOT_FOUND
    dead = KeyFilter(organization_id=scene.globex, statuses=[KEY_STATUS_REVOKED])  # which no call could end
    code, _ = await scene.refused(manager.secret, filter=dead)
    assert code is grpc.StatusCode.NOT_FOUND
    answer = await scene.revoke(manager.secret, filter=KeyFilter(kind="secret"))

    assert set(answer.key_ids) == {*scene.ids, manager.key.id}
    assert await scene.status(scene.foreign) == KEY_STATUS_ACTIVE


async def test_the_last_administrator_stays(scene: Scene) -> None:
    """Unless it is meant; nothing else is revoked either."""
    everything = KeyFilter(statuses=[KEY_STATUS_ACTIVE])

    for dry_run in (True, False):
        code, _ = await scene.refused(filter=everything, dry_run=dry_run)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert await scene.statuses() == [KEY_STATUS_ACTIVE] * 4

    assert (await scene.revoke(filter=everything, force=True)).revoked == 5


async def test_the_trail_has_one_event(scene: Scene) -> None:
    """With the keys it stands for."""
    await scene.revoke(ids=scene.ids, request_id="bulk-1")

    answer = await scene.admin.call(scene.admin.audit.ListAuditEvents, ListAuditEventsRequest(request_id="bulk-1"))

    (event,) = answer.events
    assert (event.action, event.count, event.organization_id) == ("key.bulk_revoke", 3, scene.acme)
    assert (event.target_type, event.target_id, event.reason) == ("key", "", "review")
    assert list(event.after["key_ids"]) == sorted(scene.ids)
