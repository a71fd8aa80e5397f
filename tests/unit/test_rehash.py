"""Keys come into their newest form: noticed at a load, replaced slowly, and never against anybody's will."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from authsvc import rehash
from authsvc.domain.hashing import Digest, Pepper, PepperSet
from authsvc.rehash import RehashingStore
from authsvc.telemetry import RehashCounters
from tests.support.administration import World
from tests.support.fakes import PEPPERS, FakeStore

OLD, NEW = PEPPERS.others[0], PEPPERS.current


@dataclass
class Setting:
    """A key that is stored under the old pepper, seen through the store that notices it."""

    store: FakeStore
    text: str
    key_id: str
    counters: RehashCounters = field(default_factory=RehashCounters)

    def over(self, peppers: PepperSet = PEPPERS) -> RehashingStore:
        """Return the store that notices."""
        return RehashingStore(self.store, peppers, self.counters)

    @property
    def digests(self) -> tuple[Digest, Digest]:
        """The newest form's digest and the old one's."""
        return NEW.digest(self.text), OLD.digest(self.text)


@pytest.fixture
async def setting() -> Setting:
    """Give a key stored under the old pepper."""
    world = await World().populate()
    made = await world.key()
    text, key_id = made.secret.reveal(), made.changed.value.record.id
    world.store.digests = {OLD.digest(text): key_id}
    world.store.forms[OLD.digest(text)] = ("p1", "hmac")
    return Setting(world.store, text, key_id)


async def test_a_key_in_an_older_form_is_noticed_and_replaced(setting: Setting) -> None:
    """The load answers as ever; the next step stores the newest form."""
    store = setting.over()

    loaded = await store.load(setting.digests)
    await store.step()

    assert loaded.record is not None
    assert {NEW.digest(setting.text): setting.key_id} == setting.store.digests
    assert ("p2", "hmac") == setting.store.forms[NEW.digest(setting.text)]
    assert (1, 0) == (setting.counters.done, len(store))


async def test_a_key_in_the_newest_form_is_left_alone(setting: Setting) -> None:
    """Nothing waits, and a step does nothing."""
    setting.store.digests = {NEW.digest(setting.text): setting.key_id}
    store = setting.over()

    await store.load(setting.digests)
    await store.step()

    assert (0, 0) == (len(store), setting.counters.done)


async def test_a_form_that_others_made_current_is_left_alone(setting: Setting) -> None:
    """While a rotation is deployed nobody takes back what another instance has done."""
    current, newer = Pepper("p0", b"0" * 32), setting.over(PepperSet(Pepper("p0", b"0" * 32), [OLD], newer=["p1"]))

    await newer.load([current.digest(setting.text), OLD.digest(setting.text)])

    assert len(newer) == 0


@pytest.mark.parametrize("dead", ["revoked_at", "deleted_at"])
async def test_a_dead_key_is_left_alone(setting: Setting, dead: str) -> None:
    """It needs no form any more."""
    setting.store.alter_key(setting.key_id, **{dead: 1})
    store = setting.over()

    await store.load(setting.digests)

    assert len(store) == 0


async def test_a_key_is_noticed_once(setting: Setting) -> None:
    """However often it is loaded before its turn."""
    store = setting.over()

    for _ in range(3):
        await store.load(setting.digests)

    assert len(store) == 1


async def test_what_changed_meanwhile_is_not_overwritten(setting: Setting) -> None:
    """Another instance was first: the second finds nothing to replace."""
    store = setting.over()
    await store.load(setting.digests)
    setting.store.digests = {}

    await store.step()

    assert ({}, 1) == (setting.store.digests, setting.counters.overtaken)


async def test_a_lost_database_is_tried_again_at_the_next_load(setting: Setting) -> None:
    """Nothing waits for it in memory."""
    store = setting.over()
    await store.load(setting.digests)
    setting.store.fail = True

    await store.step()

    assert (0, 1) == (len(store), setting.counters.failed)


async def test_memory_has_an_end(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is counted, and noticed again later."""
    monkeypatch.setattr(rehash, "MOST_WAITING", 0)
    store = setting.over()

    await store.load(setting.digests)

    assert (0, 1) == (len(store), setting.counters.dropped)


async def test_it_runs_beside_the_service(setting: Setting) -> None:
    """In the background, and not for longer than the service."""
    store = setting.over()
    done = asyncio.Event()
    replace_form = setting.store.replace_form

    async def told(*arguments: object) -> bool:
        replaced = await replace_form(*arguments)  # type: ignore[arg-type]  # as they come
        done.set()
        return replaced

    setting.store.replace_form = told  # type: ignore[method-assign]  # to be told of it
    async with store.running():
        await store.load(setting.digests)
        async with asyncio.timeout(10):
            await done.wait()

    assert {NEW.digest(setting.text): setting.key_id} == setting.store.digests


async def test_a_bug_does_not_end_it(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """The next key has its turn, and the log names the kind of fault only."""
    store, turns = setting.over(), asyncio.Semaphore(0)

    async def broken(*_: object) -> bool:
        turns.release()
        raise RuntimeError(setting.text)

    setting.store.replace_form = broken  # type: ignore[method-assign]  # to break it
    async with store.running():
        for _ in range(2):
            await store.load(setting.digests)
            async with asyncio.timeout(10):
                await turns.acquire()

    assert "a key could not be brought into its newest form: RuntimeError" in caplog.text
    assert setting.text not in caplog.text
