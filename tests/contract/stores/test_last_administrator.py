"""Two administrators that end each other at one moment: one of them stays. Either database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, OPERATORS, Key
from authsvc.domain.administrator import Administrator
from authsvc.domain.api import Apis
from authsvc.domain.errors import AdministratorsChangedError, AuthsvcError, FailedPreconditionError
from authsvc.domain.inputs import WantedNetworks
from authsvc.ports import KeyFilter
from authsvc.stores.sql import SqlStore
from authsvc.usecases.bulk_revoke_keys import BulkRevocation, BulkRevokeKeys
from authsvc.usecases.delete_key import DeleteKey, Deletion
from authsvc.usecases.last_administrator import LastAdministrator
from authsvc.usecases.revoke_key import Revocation, RevokeKey
from authsvc.usecases.update_key import KeyChange, UpdateKey
from tests.support.administration import shop, wanted
from tests.support.fakes import FakeClock, FakeStore, cache_over
from tests.support.stored import ACTOR, key_id, new_key, new_organization, update

ROUNDS = 15

End = Callable[["Scene", Administrator, str], Awaitable[Any]]


class Abreast:
    """A registry to which two have to come for a list before either gets on: both have looked before either acts."""

    def __init__(self, store: SqlStore, *, held: bool) -> None:
        self._store = store
        self._held = held
        self._looks = 0
        self._both = asyncio.Barrier(2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def list_keys(self, *arguments: Any) -> Any:
        """Look, and wait for the other; who looks again does not."""
        page = await self._store.list_keys(*arguments)
        self._looks += 1
        if self._looks <= 2:
            await self._both.wait()
        return page

    async def _change(self, name: str, arguments: Any, others: Any, **named: Any) -> Any:
        return await getattr(self._store, name)(*arguments, **named, others=others if self._held else None)

    async def revoke_keys(self, *arguments: Any, others: Any, **held_to: Any) -> Any:
        """Revoke, with what is to stay or, in the control, without."""
        return await self._change("revoke_keys", arguments, others, **held_to)

    async def delete_key(self, *arguments: Any, etag: str, others: Any) -> Any:
        """Delete, likewise."""
        return await self._change("delete_key", arguments, others, etag=etag)

    async def update_key(self, *arguments: Any, others: Any) -> Any:
        """Update, likewise."""
        return await self._change("update_key", arguments, others)

    async def bulk_revoke_keys(self, *arguments: Any, others: Any) -> Any:
        """Revoke many, likewise."""
        return await self._change("bulk_revoke_keys", arguments, others)


class Scene:
    """Two administrators and what they do."""

    def __init__(self, store: SqlStore, *, held: bool = True) -> None:
        self.store = store
        self.clock = FakeClock()
        self.apis = Apis([shop(), admin_api()])
        parts: Any = (
            Abreast(store, held=held),
            cache_over(FakeStore(self.clock), self.apis, self.clock),
            self.apis,
            self.clock,
        )
        self.revoke, self.delete, self.update = RevokeKey(*parts), DeleteKey(*parts), UpdateKey(*parts)
        self.bulk_revoke = BulkRevokeKeys(*parts)
        self.last = LastAdministrator(store, self.apis, self.clock)

    async def administrators(self, first: int) -> tuple[Administrator, Administrator]:
        """Make two, and return them."""
        for number in (first, first + 1):
            await self.store.create_key(operator(number), ACTOR)
        one, other = [self.caller(await self.store.get_key(key_id(number))) for number in (first, first + 1)]
        return one, other

    async def left(self, first: int) -> int:
        """Return how many of the two administer still; leave none, for the next round."""
        keys = [await self.store.get_tombstone(key_id(number)) for number in (first, first + 1)]
        for key in keys:
            if key.record.deleted_at is None:
                await self.store.delete_key(key.record.id, "", ACTOR)
        return sum(self.last._stays(key.record, self.caller(key)) for key in keys)

    def caller(self, key: Key) -> Administrator:
        """Return a key as the caller, whose address nobody knows."""
        return Administrator(api=self.apis.by_name[ADMIN_API], record=key.record, address="", as_of=None)


def operator(number: int) -> Any:
    """Give a key that can make keys."""
    return new_key(number, api=ADMIN_API, kind=admin_api().default_kind, scopes=("keys:write", "keys:read"))


def revoke(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Revoke a key."""
    asked = Revocation(key_id=id_, reason="", include_successor=False, etag="", force=False, request_id="")
    return scene.revoke(caller, asked)


def delete(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Delete a key."""
    return scene.delete(caller, Deletion(key_id=id_, reason="", etag="", force=False, request_id="", body=b""))


def weaken(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Take from a key what makes it an administrator; the etag must not make it a plain conflict."""
    fields, less = frozenset({"scopes"}), wanted(scopes=("keys:read",))
    return scene.update(caller, KeyChange(key_id=id_, fields=fields, wanted=less, etag="1", request_id="", body=b""))


def postpone(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Let a key begin to work much later."""
    return change(scene, caller, id_, not_before=2**52)


def shorten(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Let a key end in a moment."""
    return change(scene, caller, id_, expires_at=scene.clock.now() + 2_000_000)


def shut_out(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Bind a key to networks in which nobody is."""
    return change(scene, caller, id_, networks=WantedNetworks(cidrs=("203.0.113.0/24",), allow_any=False))


def change(scene: Scene, caller: Administrator, id_: str, **asked: Any) -> Awaitable[Any]:
    """Change one field of a key."""
    new = wanted(**asked)
    asking = KeyChange(key_id=id_, fields=frozenset(asked), wanted=new, etag="", request_id="", body=b"")
    return scene.update(caller, asking)


def bulk(scene: Scene, caller: Administrator, id_: str) -> Awaitable[Any]:
    """Revoke a key by the way for many."""
    asked = BulkRevocation(
        key_ids=(id_,),
        where=None,
        reason="x",
        expected_count=None,
        dry_run=False,
        force=False,
        request_id="",
        body=b"",
    )
    return scene.bulk_revoke(caller, asked)


# Who revokes the other is stopped by being revoked already, too; who ends oneself is stopped by nothing else.
WAYS = [
    pytest.param(revoke, False, id="revoke-each-other"),
    pytest.param(delete, False, id="delete-each-other"),
    pytest.param(bulk, False, id="bulk-revoke-each-other"),
    pytest.param(weaken, False, id="weaken-each-other"),
    pytest.param(postpone, False, id="postpone-each-other"),
    pytest.param(shorten, False, id="shorten-each-other"),
    pytest.param(shut_out, False, id="shut-out-each-other"),
    pytest.param(revoke, True, id="revoke-oneself"),
    pytest.param(delete, True, id="delete-oneself"),
    pytest.param(bulk, True, id="bulk-revoke-oneself"),
]
UNSTOPPED_OTHERWISE = [way for way in WAYS if way.values[1] or way.values[0] in (weaken, postpone, shorten, shut_out)]


async def rounds(store: SqlStore, end: End, *, oneself: bool, held: bool, number: int) -> list[tuple[int, list[Any]]]:
    """Let two administrators end each other, or themselves, many times; return who was left, and what they got."""
    await store.create_organization(new_organization(1, name=OPERATORS), ACTOR)
    outcomes = []
    for first in range(1, 2 * number, 2):
        scene = Scene(store, held=held)
        one, other = await scene.administrators(first)
        pairs = [(one, one), (other, other)] if oneself else [(one, other), (other, one)]
        told = await asyncio.gather(
            *(end(scene, caller, ended.record.id) for caller, ended in pairs), return_exceptions=True
        )
        outcomes.append((await scene.left(first), [each for each in told if isinstance(each, BaseException)]))
    return outcomes


@pytest.mark.parametrize(("end", "oneself"), WAYS)
async def test_of_two_that_end_each_other_one_stays(store: SqlStore, end: End, oneself: bool) -> None:  # noqa: FBT001
    """In every round one is refused, in words of ours, though both had seen another administrator."""
    for left, refused in await rounds(store, end, oneself=oneself, held=True, number=ROUNDS):
        assert (left, len(refused)) == (1, 1)
        assert isinstance(refused[0], AuthsvcError)
        assert not isinstance(refused[0], AdministratorsChangedError)


@pytest.mark.parametrize(("end", "oneself"), UNSTOPPED_OTHERWISE)
async def test_a_look_before_the_lock_is_not_enough(store: SqlStore, end: End, oneself: bool) -> None:  # noqa: FBT001
    """The control: what is looked at first and not held to leaves nobody."""
    assert [(0, [])] * 3 == await rounds(store, end, oneself=oneself, held=False, number=3)


@pytest.mark.parametrize("end", [revoke, delete, bulk, weaken, postpone, shorten, shut_out])
async def test_a_harmless_change_of_who_stays_is_looked_at_again(store: SqlStore, end: End) -> None:
    """The one that was counted on gets a new name in between: the change is made nonetheless."""
    await store.create_organization(new_organization(1, name=OPERATORS), ACTOR)
    scene = Scene(store)
    one, other = await scene.administrators(1)
    looked: Any = scene.revoke._registry  # the same for every use case

    async def rename() -> None:
        await looked.list_keys(KeyFilter(api=ADMIN_API), 1, None)
        await store.update_key(key_id(1), "", _named(await store.get_key(key_id(1))), ACTOR)

    await asyncio.gather(end(scene, one, other.record.id), rename())

    assert await scene.left(1) == 1


async def test_the_last_one_is_refused_as_ever(store: SqlStore) -> None:
    """Alone, without any race."""
    await store.create_organization(new_organization(1, name=OPERATORS), ACTOR)
    await store.create_key(operator(1), ACTOR)
    key = await store.get_key(key_id(1))
    scene = Scene(store)

    with pytest.raises(FailedPreconditionError, match="last key that can make keys"):
        await scene.last.keep(scene.caller(key), key)


@pytest.mark.parametrize("others", ["", "stale"])
async def test_nobody_who_stays_is_nothing_changed(store: SqlStore, others: str) -> None:
    """Of none given, or none as it was read, the store makes no change and takes no position."""
    await store.create_organization(new_organization(1, name=OPERATORS), ACTOR)
    for number in (1, 2):
        await store.create_key(operator(number), ACTOR)
    ending, other = await store.get_key(key_id(1)), await store.get_key(key_id(2))
    staying = (other,) if others else ()
    await store.update_key(key_id(2), "", _named(other), ACTOR)
    before = (await store.head()).revision

    for attempt in (
        store.revoke_keys([key_id(1)], "", ACTOR, others=staying),
        store.delete_key(key_id(1), "", ACTOR, others=staying),
        store.update_key(key_id(1), "1", update(name="new"), ACTOR, others=staying),
        store.bulk_revoke_keys([ending], "", ACTOR, others=staying),
    ):
        with pytest.raises(AdministratorsChangedError):
            await attempt

    assert before == (await store.head()).revision
    assert ending == await store.get_key(key_id(1))


def _named(key: Key) -> Any:
    return update(name="renamed", scopes=key.record.scopes)
