"""What a request costs whose key may be stored in several forms: nothing more, once it is known."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import Outcome
from authsvc.domain.hashing import Digest, Pepper, PepperSet
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.domain.question import Question, from_http
from authsvc.usecases.authorize import Authorize, Miss
from tests.support.administration import World, shop
from tests.support.builders import http_request, key_class
from tests.support.imports import old_text

BUDGET = 5.0


class CountingPepper(Pepper):
    """Counts what it computes."""

    computed = 0

    def digest(self, key: str) -> Digest:
        """Return the digest of a text."""
        self.computed += 1
        return super().digest(key)

    def fold(self, algorithm: str, digest: bytes) -> Digest:
        """Return the digest of another system's digest."""
        self.computed += 1
        return super().fold(algorithm, digest)


@pytest.fixture
async def world() -> World:
    """A product that takes keys of another system."""
    taken = key_class(
        prefix="old_",
        alphabet=Alphabet.VISIBLE,
        min_length=8,
        max_length=64,
        checksum=Checksum.NONE,
        imports=("sha256",),
    )
    return await World(product=shop(keys=KeyTable([key_class(), taken]))).populate()


def asking(world: World, text: str) -> Any:
    """Ask about a key."""
    asked = from_http(world.apis, http_request(headers={"authorization": f"Bearer {text}"}))
    assert isinstance(asked, Question)
    return asked


async def test_a_known_key_costs_one_hmac(world: World) -> None:
    """However many forms it may have; a miss costs one for each."""
    peppers = [CountingPepper(f"p{number}", bytes([number]) * 32) for number in (2, 1)]
    candidates = Candidates(PepperSet(peppers[0], [peppers[1]]), [world.product])
    made, text = await world.key(scopes=("things:read",)), old_text(1)
    world.store.digests = {candidates.all(text)[-1]: made.changed.value.record.id}
    authorize = Authorize(world.cache, candidates, world.limiter, world.clock)
    costs = []
    answers = []
    for _ in range(2):
        before = sum(pepper.computed for pepper in peppers)
        answers.append(authorize.now(asking(world, text)))
        costs.append(sum(pepper.computed for pepper in peppers) - before)
        if isinstance(answers[-1], Miss):
            answers[-1] = await authorize.later(answers[-1], BUDGET)

    assert [4, 1] == costs
    assert all(isinstance(answer, Outcome) and answer.bearer is not None for answer in answers)


async def test_a_key_is_unknown_only_under_all_its_digests(world: World) -> None:
    """Absence that is remembered is that of every form: whichever is stored, the key is found."""
    peppers = PepperSet(Pepper("p2", b"2" * 32), [Pepper("p1", b"1" * 32)])
    candidates = Candidates(peppers, [world.product])
    made = await world.key(scopes=("things:read",))
    authorize = Authorize(world.cache, candidates, world.limiter, world.clock)
    for number, text in enumerate([old_text(1), old_text(2), old_text(3), old_text(4)]):
        world.store.digests = {candidates.all(text)[number]: made.changed.value.record.id}

        missed = authorize.now(asking(world, text))
        assert isinstance(missed, Miss)
        answered = await authorize.later(missed, BUDGET)
        again = authorize.now(asking(world, text))

        assert answered.bearer is not None
        assert isinstance(again, Outcome)
        assert again.bearer is not None
