"""
Outcomes → the bytes of AuthService's answers, most of which were serialized before.

Serialized protobuf messages concatenate: parsing the concatenation merges them. An answer is a part for
its bearer or its refusal, made once, then the decision id, then what changes with each request.
`auth_wire` has the same answers as messages; a property test holds the two together.
"""

from __future__ import annotations

import secrets
import threading
from functools import lru_cache

from authsvc_client.v1.auth_service_pb2 import AuthorizeResponse, BatchAuthorizeResult
from authsvc_client.v1.decision_pb2 import Decision
from google.protobuf.duration_pb2 import Duration

from authsvc.domain.api import Api
from authsvc.domain.decision import ALLOW, Allow, Bearer, Deny, Outcome
from authsvc.domain.keys import Revision
from authsvc.domain.quotas import NANOS_PER_SECOND, Verdict
from authsvc.domain.reasons import Reason
from authsvc.servicers import auth_wire
from authsvc.servicers.decision_ids import LENGTH
from authsvc.servicers.rate_headers import retry_after

_INVALID_KEY = Reason.INVALID_KEY
_RATE_LIMITED = Reason.RATE_LIMITED
_RESULT, _CORRELATION_ID, _RESPONSE = b"\x0a", b"\x0a", b"\x12"  # fields 1, 1 and 2, each with its length
_ONE_BYTE, _TWO_BYTES = 0x80, 0x4000  # a length below them is so long
_LOW, _BITS = 0x7F, 7  # of each byte of a length


def response(outcome: Outcome, decision_id: str, *, stale: bool) -> bytes:
    """Return an outcome as an AuthorizeResponse, or an AuthenticateResponse: their fields are the same."""
    decision, bearer = outcome.decision, outcome.bearer
    verdicts = decision.verdicts
    if isinstance(decision, Allow):
        head = _PUBLIC if bearer is None else bearer.told or _tell(bearer)
    else:
        reason = decision.reason
        head = _refusal(outcome.api, reason, decision.required_scope)
        if reason is _RATE_LIMITED:
            head += _wait(retry_after(verdicts))
        if bearer is not None and reason is not _INVALID_KEY:  # a dead key must look like an unknown one
            head += _as_of(bearer.as_of)
    answer = head + _DECISION_ID + decision_id.encode()
    if verdicts:
        answer += _RATE_LIMIT.part(verdicts[0])
    return answer + _STALE if stale else answer


def result(correlation_id: str, answer: bytes) -> bytes:
    """Return an answer as one of the results of a BatchAuthorizeResponse."""
    name = correlation_id.encode()
    return _sized(_RESULT, (_sized(_CORRELATION_ID, name) if name else b"") + _sized(_RESPONSE, answer))


def failed(message: BatchAuthorizeResult) -> bytes:
    """Return a result without an answer as one of the results of a BatchAuthorizeResponse."""
    return _sized(_RESULT, message.SerializeToString())


def _sized(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    if size < _ONE_BYTE:
        return tag + bytes((size,)) + content
    if size < _TWO_BYTES:
        return tag + bytes((size & _LOW | _ONE_BYTE, size >> _BITS)) + content
    coded = bytearray(tag)
    while size >= _ONE_BYTE:
        coded.append(size & _LOW | _ONE_BYTE)
        size >>= _BITS
    coded.append(size)
    return bytes(coded) + content


def _tell(bearer: Bearer) -> bytes:
    """Serialize what every allow of a bearer says, and keep it."""
    outcome = Outcome(None, ALLOW, bearer)
    decision = auth_wire.decision(outcome, "", stale=False)
    bearer.told = AuthorizeResponse(decision=decision, principal=auth_wire.principal(outcome)).SerializeToString()
    return bearer.told


@lru_cache(maxsize=4096)
def _refusal(api: Api | None, reason: Reason, required_scope: str | None) -> bytes:
    deny = Deny(reason=reason, detail="", required_scope=required_scope)
    return _part(auth_wire.decision(Outcome(api, deny, None), "", stale=False))


@lru_cache(maxsize=1024)
def _wait(seconds: int) -> bytes:
    return _part(Decision(retry_after=Duration(seconds=seconds)))


@lru_cache(maxsize=1024)
def _as_of(revision: Revision) -> bytes:
    return _part(Decision(revision=str(revision)))


class _RateLimitPart(threading.local):
    """A limit's state as a part. Each thread fills messages that it has: making the four takes five times as long."""

    def __init__(self) -> None:
        self._whole = AuthorizeResponse()
        self._limit = self._whole.decision.rate_limit
        self._reset = self._limit.reset

    def part(self, verdict: Verdict) -> bytes:
        """Serialize what `auth_wire.rate_limit` says."""
        limit, reset = self._limit, self._reset
        limit.limit, limit.remaining = verdict.limit.count, verdict.remaining
        reset.seconds, reset.nanos = divmod(verdict.reset_ns, NANOS_PER_SECOND)
        return self._whole.SerializeToString()


_RATE_LIMIT = _RateLimitPart()


def _part(decision: Decision) -> bytes:
    return AuthorizeResponse(decision=decision).SerializeToString()


_PUBLIC = _part(auth_wire.decision(Outcome(None, ALLOW, None), "", stale=False))
_STALE = _part(Decision(stale=True))
_MARK = secrets.token_hex(LENGTH // 2)  # as long as an id, so that the lengths are right
_DECISION_ID, _NOTHING = _part(Decision(decision_id=_MARK)).split(_MARK.encode())
