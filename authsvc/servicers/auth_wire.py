"""AuthService's messages ⇄ domain values."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest, AuthorizeRequest
from authsvc_client.v1.decision_pb2 import (
    VERDICT_ALLOW,
    VERDICT_DENY,
    Decision,
    Principal,
    RateLimit,
    RequestContext,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain import routes
from authsvc.domain.api import DEFAULT_ERRORS, Api, Apis, bare_host
from authsvc.domain.decision import Allow, Bearer, Deny, KnownSender, Outcome, Purpose
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.keys import Revision
from authsvc.domain.question import MALFORMED, PUBLIC, Question, Settled, environment_of
from authsvc.domain.quotas import NANOS_PER_SECOND, Verdict
from authsvc.domain.reasons import WORDING, Reason
from authsvc.domain.routes import UNROUTABLE
from authsvc.domain.scopes import MAX_SCOPES
from authsvc.servicers.rate_headers import retry_after

# Bytes, as the .proto files promise.
_MAX_NAME = 64
_MAX_ORIGIN = 512
_MAX_ADDRESS = 45
_MICROS_PER_SECOND = 1_000_000
_NANOS_PER_MICRO = 1000
_OK = 200
_AUTHENTICATE, _AUTHORIZE = Purpose.AUTHENTICATE, Purpose.AUTHORIZE
_NO_CONTEXT = RequestContext()


def authentication(apis: Apis, request: AuthenticateRequest) -> Question | Settled:
    """Read the question: who is this? Raises `InvalidInputError`."""
    context = request.context if request.HasField("context") else _NO_CONTEXT
    api = _api(apis, request.api, context)
    return _question(api, request, context, _AUTHENTICATE, None, (), "", spends=request.spend_rate_limit)


def authorization(apis: Apis, request: AuthorizeRequest) -> Question | Settled:
    """Read the question: may they do this? Raises `InvalidInputError`."""
    context = request.context if request.HasField("context") else _NO_CONTEXT
    api = _api(apis, request.api, context)
    scopes, method, path, organization_id = (
        request.required_scopes,
        request.method,
        request.path,
        request.organization_id,
    )
    if bool(scopes) == bool(method or path):
        raise InvalidInputError("name either required_scopes, or method and path")
    if scopes:
        return _question(api, request, context, _AUTHORIZE, None, _scopes(api, scopes), organization_id, spends=True)
    route = api.routes.resolve(method, path)
    if route is UNROUTABLE:
        return Settled(api=api, decision=MALFORMED)
    if route is None:
        return _question(api, request, context, _AUTHORIZE, None, None, organization_id, spends=True)
    if route.public:
        return Settled(api=api, decision=PUBLIC, route=route)
    return _question(api, request, context, _AUTHORIZE, route, route.scopes, organization_id, spends=True)


def _api(apis: Apis, name: str, context: RequestContext) -> Api:
    api = apis.by_name.get(name) if name else apis.by_host.get(bare_host(context.host))
    if api is None:
        raise InvalidInputError("api: no such API")
    return api


def _scopes(api: Api, scopes: Sequence[str]) -> tuple[str, ...]:
    if len(scopes) > MAX_SCOPES:
        raise InvalidInputError(f"required_scopes: at most {MAX_SCOPES}")
    if not all(scope in api.scopes for scope in scopes):
        # A scope nobody can be granted would let full-access keys pass and hide the caller's typo.
        raise InvalidInputError("required_scopes: not in the API's catalogue")
    return tuple(scopes)


def _question(
    api: Api,
    request: AuthenticateRequest | AuthorizeRequest,
    context: RequestContext,
    purpose: Purpose,
    route: routes.Route | None,
    required: tuple[str, ...] | None,
    organization_id: str,
    *,
    spends: bool,
) -> Question:
    environment = origin = source_ip = None
    host = ""
    if context is not _NO_CONTEXT:
        # What is not empty is there; only of the rest it must be asked.
        environment = context.environment or ("" if context.HasField("environment") else None)
        origin = context.origin or ("" if context.HasField("origin") else None)
        source_ip = context.source_ip or ("" if context.HasField("source_ip") else None)
        host = context.host
        if environment:
            _bound("context.environment", environment, _MAX_NAME)
        if origin:
            _bound("context.origin", origin, _MAX_ORIGIN)
        if source_ip:
            _bound("context.source_ip", source_ip, _MAX_ADDRESS)
    at_least = request.at_least_revision
    if organization_id:
        _bound("organization_id", organization_id, _MAX_NAME)
    if at_least:
        _bound("at_least_revision", at_least, _MAX_NAME)
    return Question(
        api,
        purpose,
        route,
        required,
        environment_of(api, environment, route, host),
        origin,
        KnownSender(source_ip),
        organization_id or None,
        request.credential or None,
        spends,
        _revision(at_least) if at_least else None,
    )


def _bound(field: str, text: str, size: int) -> None:
    if len(text) > size or (not text.isascii() and len(text.encode()) > size):
        raise InvalidInputError(f"{field}: at most {size} bytes")


def _revision(text: str) -> Revision:
    epoch, _, seq = text.rpartition(":")
    if not epoch or not seq.isdecimal() or not seq.isascii():
        raise InvalidInputError("at_least_revision: not of the form epoch:seq")
    return Revision(epoch=epoch, seq=int(seq))


def decision(outcome: Outcome, decision_id: str, *, stale: bool) -> Decision:
    """Return the decision's message."""
    bearer, verdicts = outcome.bearer, outcome.decision.verdicts
    if isinstance(outcome.decision, Deny) and outcome.decision.reason is Reason.INVALID_KEY:
        bearer = None  # a dead key must look like an unknown one
    message = Decision(
        decision_id=decision_id,
        revision="" if bearer is None else str(bearer.as_of),
        stale=stale,
        rate_limit=rate_limit(verdicts[0]) if verdicts else None,
    )
    if isinstance(outcome.decision, Allow):
        message.verdict, message.http_status = VERDICT_ALLOW, _OK
        return message
    reason, api = outcome.decision.reason, outcome.api
    message.verdict, message.reason, message.message = VERDICT_DENY, reason.value, WORDING[reason].message
    message.http_status = (DEFAULT_ERRORS[reason] if api is None else api.error(reason)).status
    message.required_scope = outcome.decision.required_scope or ""
    if reason is Reason.RATE_LIMITED and verdicts:
        message.retry_after.seconds = retry_after(verdicts)
    return message


def principal(outcome: Outcome) -> Principal | None:
    """Return whom an allow is about; nobody on a refusal, nor on a public route."""
    bearer = outcome.bearer
    if bearer is None or not isinstance(outcome.decision, Allow):
        return None
    record = bearer.record
    expires_at = _first_end(bearer)
    return Principal(
        api=record.api,
        organization_id=record.organization_id,
        key_id=record.id,
        kind=record.kind,
        environment=record.environment or "",
        scopes=sorted(bearer.scopes or ()),
        full_access=bearer.scopes is None,
        metadata=record.metadata,
        expires_at=None if expires_at is None else timestamp(expires_at),
    )


def timestamp(micros: int) -> Timestamp:
    """Return an instant's message."""
    seconds, rest = divmod(micros, _MICROS_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=rest * _NANOS_PER_MICRO)


def _first_end(bearer: Bearer) -> int | None:
    ends = [end for end in (bearer.record.expires_at, bearer.record.grace_ends_at) if end is not None]
    return min(ends, default=None)


def rate_limit(verdict: Verdict) -> RateLimit:
    """Return a limit's state."""
    seconds, nanos = divmod(verdict.reset_ns, NANOS_PER_SECOND)
    reset = Duration(seconds=seconds, nanos=nanos)
    return RateLimit(limit=verdict.limit.count, remaining=verdict.remaining, reset=reset)
