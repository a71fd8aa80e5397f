"""
May the bearer of this credential do this? The one use case behind every door of the data plane.

`now` is a plain function, safe to call from any thread: on a cache hit it is the whole way from
question to outcome. Only what it cannot answer goes to `later`, on the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.domain.candidates import Candidates
from authsvc.domain.decision import UNKNOWN_KEY, Attempt, Bearer, Deny, Outcome, Spend, decide
from authsvc.domain.hashing import Digest
from authsvc.domain.key_text import presentable
from authsvc.domain.question import Question
from authsvc.domain.quotas import Verdict
from authsvc.domain.reasons import Reason
from authsvc.ports import ABSENT, Clock, KeyCache, Limiter

NO_CREDENTIAL = Deny(reason=Reason.UNAUTHORIZED, detail="no credential, a malformed one, or several")


@dataclass(slots=True)
class Miss:
    """A question that needs the database, with the digests to look for."""

    question: Question
    digests: tuple[Digest, ...]


def spend_nothing(_: Bearer) -> tuple[Verdict, ...]:
    """Stand in for the limiter where a question is not to count."""
    return ()


class Authorize:
    """Gather the key's record, then decide. Raises `UnavailableError` when it cannot."""

    def __init__(self, keys: KeyCache, candidates: Candidates, limiter: Limiter, clock: Clock) -> None:
        self._keys = keys
        self._candidates = candidates
        self._digest = candidates.peppers.current.digest
        self._spend: Spend = limiter.spend
        self._now = clock.now

    def now(self, question: Question) -> Outcome | Miss:
        """Answer without waiting, or say what must be loaded."""
        key = question.key
        if key is None:
            return Outcome(question.api, NO_CREDENTIAL, None, question.route, question.sender)
        digest = self._digest(key)
        known = self._keys.get(digest)
        if known is None or question.at_least is not None:
            return self._miss(question, key, digest)
        return self._decide(None if known is ABSENT else known, question)

    async def later(self, miss: Miss, budget: float) -> Outcome:
        """Load what is missing within `budget` seconds, and answer."""
        bearer = await self._keys.fetch(miss.digests, budget, miss.question.at_least)
        return self._decide(bearer, miss.question)

    def _miss(self, question: Question, key: str, digest: Digest) -> Outcome | Miss:
        # Only now is the text taken apart: a key in the cache has already proved to be one.
        if not presentable(key):
            return Outcome(question.api, NO_CREDENTIAL, None, question.route, question.sender)
        if question.api.keys.parse(key) is None:
            return Outcome(question.api, UNKNOWN_KEY, None, question.route, question.sender)
        return Miss(question, (digest, *self._candidates.others(key)))

    def _decide(self, bearer: Bearer | None, question: Question) -> Outcome:
        question.now, question.spend = self._now(), self._spend if question.spends else spend_nothing
        return Outcome(question.api, decide(bearer, question), bearer, question.route, question.sender)


def attempt_of(question: Question, now: int, spend: Spend) -> Attempt:
    """Complete a question: from here on it is what the rules look at."""
    question.now, question.spend = now, spend
    return question
