"""Why is this request allowed or denied? For administrators: it tells what the bearer must not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsvc.domain.api import Api, Apis, EnvironmentSource
from authsvc.domain.credentials import find_key
from authsvc.domain.decision import (
    RULES,
    UNKNOWN_KEY,
    Bearer,
    Decision,
    Deny,
    KnownSender,
    Outcome,
    Purpose,
    decide,
    explain,
)
from authsvc.domain.key_text import presentable
from authsvc.domain.question import HttpRequest, Question, Settled, environment_of, from_http
from authsvc.domain.secret import Secret
from authsvc.ports import Clock, Limiter
from authsvc.usecases.authorize import NO_CREDENTIAL, attempt_of
from authsvc.usecases.find_bearer import FindBearer

# What these rules judge is the route's; without one there is nothing to judge.
_NEED_A_ROUTE = frozenset({"kind", "scope"})


class RuleOutcome(StrEnum):
    """How a rule came out."""

    PASS = "pass"  # noqa: S105 - a word, no password
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule's verdict, with a sentence for the administrator."""

    rule: str
    outcome: RuleOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """An HTTP request, with what the caller knows better than its headers do."""

    http: HttpRequest
    credential: Secret | None  # None: the headers hold it, or nothing does
    source_ip: str | None  # of the client; None: as the proxy would find it
    organization_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The decision and every rule in the order evaluated; `key_id` is told on a denial too."""

    outcome: Outcome
    rules: tuple[Explained, ...]
    key_id: str


class ExplainDecision:
    """Decides as the data plane does, on the same records, and spends no limit."""

    def __init__(self, find: FindBearer, apis: Apis, limiter: Limiter, clock: Clock) -> None:
        self._find = find
        self._apis = apis
        self._limiter = limiter
        self._clock = clock

    async def __call__(self, request: ExplainRequest) -> Explanation:
        """Raise `UnavailableError` where the data plane would answer 503."""
        resolved = from_http(self._apis, request.http)
        if isinstance(resolved, Question):
            return await self._answered(_told(resolved, request), settled=None)
        if resolved.api is None or not isinstance(resolved.decision, Deny):
            return _unanswered(resolved)
        return await self._answered(_told(_unrouted(resolved.api, request.http), request), settled=resolved.decision)

    async def _answered(self, question: Question, settled: Deny | None) -> Explanation:
        """Explain a question; `settled` is the objection to the request as such, where there is one."""
        bearer = None if question.key is None else await self._find(question.key, fresh=False)
        attempt = attempt_of(question, self._clock.now(), self._limiter.peek)
        decision: Decision
        if settled is not None:
            decision = settled
        elif question.key is None:
            decision = NO_CREDENTIAL
        else:
            decision = decide(bearer, attempt)
        rules = [_verdict("request", settled), _passed("api", question.api.name), _credential(question)]
        rules.append(_key(question, bearer))
        if bearer is None or bearer.record.api != question.api.name:
            rules += _skipped([rule.name for rule in RULES])
        else:
            for verdict in explain(bearer, attempt):
                if _lacks(verdict.rule, question, settled):
                    rules += _skipped([verdict.rule])
                else:
                    rules.append(_verdict(verdict.rule, verdict.objection, _more(verdict.rule, question)))
        return Explanation(
            outcome=Outcome(api=question.api, decision=decision, bearer=bearer),
            rules=tuple(rules),
            key_id="" if bearer is None else bearer.record.id,
        )


def _told(question: Question, request: ExplainRequest) -> Question:
    text = question.key if request.credential is None else request.credential.reveal()
    question.key = text if text is not None and presentable(text) else None
    if request.source_ip is not None:
        question.sender = KnownSender(request.source_ip)
    question.organization_id = request.organization_id
    return question


def _unrouted(api: Api, http: HttpRequest) -> Question:
    """Read what can be read of a request whose method or path is malformed."""
    return Question(
        api=api,
        purpose=Purpose.AUTHORIZE,
        key=find_key(api.credentials, http.headers),
        route=None,
        required=None,
        environment=environment_of(api, http.extensions.get("environment"), None, http.host),
        origin=http.headers.get("origin"),
        sender=http,
        organization_id=None,
        spends=False,
        at_least=None,
    )


def _unanswered(settled: Settled) -> Explanation:
    """Explain a request that no key is looked at for: no API is known, or the way is public."""
    later = ("credential", "key", *(rule.name for rule in RULES))
    decision = settled.decision
    if settled.api is not None:
        public = "the operator's configuration lets this request pass without a key"
        rules = (_passed("request", public), _passed("api", settled.api.name), *_skipped(later))
    else:
        malformed = decision if isinstance(decision, Deny) and decision.reason.value == "bad_request" else None
        unknown = Explained("api", RuleOutcome.FAIL, "neither a name nor the host leads to an API")
        rules = (_verdict("request", malformed), unknown, *_skipped(later))
    return Explanation(outcome=Outcome(api=settled.api, decision=decision, bearer=None), rules=rules, key_id="")


def _credential(question: Question) -> Explained:
    if question.key is not None:
        return _passed("credential")
    places = " or ".join(source.header for source in question.api.credentials)
    return Explained("credential", RuleOutcome.FAIL, f"{NO_CREDENTIAL.detail}; {question.api.name} reads {places}")


def _key(question: Question, bearer: Bearer | None) -> Explained:
    if question.key is None:
        return Explained("key", RuleOutcome.SKIPPED)
    if bearer is not None:
        if bearer.record.api == question.api.name:
            return _passed("key", bearer.record.id)
        return Explained("key", RuleOutcome.FAIL, f"{bearer.record.id} is a key of {bearer.record.api}")
    if question.api.keys.parse(question.key) is None:
        return Explained("key", RuleOutcome.FAIL, "no such key can exist: prefix, length, characters or checksum")
    return Explained("key", RuleOutcome.FAIL, UNKNOWN_KEY.detail)


def _lacks(rule: str, question: Question, settled: Deny | None) -> bool:
    """Whether a rule has nothing to look at because the request led to no route."""
    if question.required is not None:
        return False
    return rule in _NEED_A_ROUTE or (settled is not None and (rule == "route" or _unknown(rule, question)))


def _unknown(rule: str, question: Question) -> bool:
    return (
        rule == "environment"
        and question.environment is None
        and question.api.environment_source is EnvironmentSource.REQUEST
    )


def _more(rule: str, question: Question) -> str:
    return question.route.name if rule == "route" and question.route is not None else ""


def _verdict(rule: str, objection: Deny | None, more: str = "") -> Explained:
    if objection is None:
        return _passed(rule, more)
    return Explained(rule, RuleOutcome.FAIL, objection.detail)


def _passed(rule: str, detail: str = "") -> Explained:
    return Explained(rule, RuleOutcome.PASS, detail)


def _skipped(rules: Sequence[str]) -> list[Explained]:
    return [Explained(rule, RuleOutcome.SKIPPED) for rule in rules]
