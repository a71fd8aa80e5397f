"""What is done once under a request id is told again, whatever else a repeated call would meet."""

from __future__ import annotations

import pytest

from authsvc.domain.administration import Actor
from authsvc.domain.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from authsvc.ports import Recalled
from authsvc.usecases.retries import once
from tests.support.administration import NOBODY, World, key_request
from tests.support.builders import NOW
from tests.support.fake_changes import DAY, Note

ACTOR = Actor(key_id="key", organization_id="org", address="", request_id="r1", body=b"x")


async def done() -> str:
    """Do the work."""
    return "done"


async def recalled(earlier: Recalled) -> str:
    """Tell what was done."""
    return earlier.target_id


async def never() -> str:
    """Fail the test."""
    pytest.fail("the work is done twice")


async def test_without_an_id_the_work_is_done(world: World) -> None:
    """And nobody is asked whether it was."""
    world.store.fail = True

    assert await once(world.store, NOBODY, done, recalled) == "done"


async def test_what_was_done_is_not_done_again(world: World) -> None:
    """The first time it is done, and from then on recalled."""
    assert await once(world.store, ACTOR, done, recalled) == "done"
    world.store.notes["key", "r1"] = Note(ACTOR.body, "target", 7, NOW)

    assert await once(world.store, ACTOR, never, recalled) == "target"


@pytest.mark.parametrize("fault", [AlreadyExistsError, ConflictError, FailedPreconditionError, NotFoundError])
async def test_who_is_overtaken_by_the_same_call_is_told_its_result(world: World, fault: type[Exception]) -> None:
    """What it met was its own doing; met without that it is a refusal."""

    async def overtaken() -> str:
        world.store.notes["key", "r1"] = Note(ACTOR.body, "target", 7, NOW)
        raise fault("met")

    async def refused() -> str:
        raise fault("met")

    with pytest.raises(fault, match="met"):
        await once(world.store, ACTOR, refused, recalled)
    assert await once(world.store, ACTOR, overtaken, recalled) == "target"


@pytest.mark.parametrize("fault", [UnavailableError, InvalidInputError])
async def test_other_faults_are_told_as_they_are(world: World, fault: type[Exception]) -> None:
    """A retry will find out what became of it."""

    async def failing() -> str:
        world.store.notes["key", "r1"] = Note(ACTOR.body, "target", 7, NOW)
        raise fault("met")

    with pytest.raises(fault, match="met"):
        await once(world.store, ACTOR, failing, recalled)


async def test_a_repeated_creation_is_the_same_key_without_its_text(world: World) -> None:
    """For a day, by the same caller; the text was in the reply that got lost."""
    operator, other = await world.operator("keys:write"), await world.operator("keys:write")
    asked = key_request(request_id="r1", body=b"x", expires_at=NOW + DAY)
    first = await world.create_key(operator, asked)
    world.clock.micros += DAY - 1

    again = await world.create_key(operator, asked)
    others = await world.create_key(other, asked)
    world.clock.micros += 1
    next_day = await world.create_key(operator, key_request(request_id="r1", body=b"x"))

    assert (again.changed, again.secret) == (first.changed, None)
    assert len({made.changed.value.record.id for made in (first, others, next_day)}) == 3
    assert next_day.secret is not None


async def test_an_id_stands_for_one_request(world: World) -> None:
    """With another body it is refused, and nothing is made."""
    operator = await world.operator("keys:write")
    await world.create_key(operator, key_request(request_id="r1", body=b"x"))
    stored = dict(world.store.keys)

    with pytest.raises(AlreadyExistsError, match=r"^request_id: "):
        await world.create_key(operator, key_request(request_id="r1", body=b"y"))

    assert stored == world.store.keys
