"""
May the bearer of this credential do this? The one use case behind every door of the data plane.

`now` is a plain function, safe to call from any thread: on a cache hit it is the whole way from
question to outcome. Only what it cannot answer goes to `later`, on the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from authsvc.domain.decision import UNKNOWN_KEY, Attempt, Bearer, Decision, Deny, Outcome, Spend, decide
from authsvc.domain.hashing import Digest, PepperSet
from authsvc.domain.question import Question
from authsvc.domain.quotas import Verdict
from authsvc.domain.reasons import Reason
from authsvc.ports import Absent, Clock, KeyCache, Limiter

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

    def __init__(self, keys: KeyCache, peppers: PepperSet, limiter: Limiter, clock: Clock) -> None:
        self._keys = keys
        self._peppers = peppers
        self._digest = peppers.current.digest
        self._limiter = limiter
        self._now = clock.now

    def now(self, question: Question) -> Outcome | Miss:
        """Answer without waiting, or say what must be loaded."""
        if question.key is None:
            return _outcome(question, NO_CREDENTIAL, None)
        digest = self._digest(question.key)
        known = self._keys.get(digest)
        if known is None or question.at_least is not None:
            return self._miss(question, question.key, digest)
        return self._decide(None if isinstance(known, Absent) else known, question)

    async def later(self, miss: Miss, budget: float) -> Outcome:
        """Load what is missing within `budget` seconds, and answer."""
        bearer = await self._keys.fetch(miss.digests, budget, miss.question.at_least)
        return self._decide(bearer, miss.question)

    def _miss(self, question: Question, key: str, digest: Digest) -> Outcome | Miss:
        # Only now is the text taken apart: a key in the cache has already proved to be one.
        if question.api.keys.parse(key) is None:
            return _outcome(question, UNKNOWN_KEY, None)
        return Miss(question, (digest, *(pepper.digest(key) for pepper in self._peppers.others)))

    def _decide(self, bearer: Bearer | None, question: Question) -> Outcome:
        spend: Spend = self._limiter.spend if question.spends else spend_nothing
        decision = decide(bearer, attempt_of(question, self._now(), spend))
        return _outcome(question, decision, bearer)


def _outcome(question: Question, decision: Decision, bearer: Bearer | None) -> Outcome:
    return Outcome(api=question.api, decision=decision, bearer=bearer, route=question.route, address=question.source_ip)


def attempt_of(question: Question, now: int, spend: Spend) -> Attempt:
    """Complete a question: from here on it is what the rules look at."""
    question.now, question.spend = now, spend
    return question
