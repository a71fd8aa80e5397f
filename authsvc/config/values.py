"""The small types of the configuration: durations, rates, names, hosts, header names. Each says what it wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from authsvc.config.problems import unknown
from authsvc.domain import routes, scopes
from authsvc.domain.candidates import ALGORITHM
from authsvc.domain.key_text import presentable
from authsvc.domain.quotas import parse_rate
from authsvc.domain.reasons import Reason

MICROS_PER_SECOND = 1_000_000
DEFAULT_ENTRY = "default"
ANY_METHOD = "ANY"

_UNITS = {
    "ms": 1000,
    "s": MICROS_PER_SECOND,
    "m": 60 * MICROS_PER_SECOND,
    "h": 3600 * MICROS_PER_SECOND,
    "d": 86_400 * MICROS_PER_SECOND,
}
_DURATION = r"(0|[1-9][0-9]{0,8})(ms|s|m|h|d)"
_RATE = r"[1-9][0-9]{0,9}/(second|minute|hour|day)"
_NAME = r"[a-z][a-z0-9_-]{0,62}"
_SCOPE = r"[a-z0-9_-]+:[a-z0-9_-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])"
_HEADER = r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,128}"
_HEADER_VALUE = r"[!-~](?:[ -~]{0,1022}[!-~])?"
_CONTENT_TYPE = r"[a-z0-9.+-]+/[a-z0-9.+-]+(?:; ?[a-z]+=[A-Za-z0-9._-]+)*"
_SCHEME = r"[a-z][a-z0-9-]{0,31}"
_PEER = rf"(?:{_LABEL}(?:\.{_LABEL})*|[a-z][a-z0-9+.-]*://[!-~]{{1,1024}})"

# Headers that a proxy or this service writes, or that frame the message.
_CLAIMED = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def refusal(message: str) -> PydanticCustomError:
    """Return the error that carries our own wording."""
    return PydanticCustomError("authsvc", "{message}", {"message": message})


def duration_text(micros: int) -> str:
    """Return a duration as an operator would write it."""
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if micros % _UNITS[unit] == 0)
    return f"{micros // _UNITS[unit]}{unit}" if micros else "0s"


def parse_duration(value: object) -> int:
    """Read `15m` as microseconds."""
    match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    if match is None:
        raise refusal("must be a duration: a whole number and ms, s, m, h or d, such as 250ms, 15m or 90d")
    return int(match[1]) * _UNITS[match[2]]


def _between(low: str, high: str) -> AfterValidator:
    def check(micros: int) -> int:
        if not parse_duration(low) <= micros <= parse_duration(high):
            raise refusal(f"must be from {low} to {high}")
        return micros

    return AfterValidator(check)


def _text(pattern: str, wanted: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise refusal(f"{value[:80]!r} is not {wanted}")
        return value

    return AfterValidator(check)


def _checked(check: Callable[[str], str | None]) -> AfterValidator:
    def validate(value: str) -> str:
        wrong = check(value)
        if wrong is not None:
            raise refusal(wrong)
        return value

    return AfterValidator(validate)


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    shown = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **shown})


def _check_prefix(prefix: str) -> str | None:
    if prefix and not presentable(prefix):
        return "a key is visible ASCII without blanks, commas, quotes, backslashes and percent signs"
    return None


def _check_method(method: str) -> str | None:
    if routes.valid_method(method):
        return None
    return f"{method[:40]!r} is not an HTTP method in capitals, or {ANY_METHOD} for all of them"


def _check_scope(name: str) -> str | None:
    if scopes.valid_name(name):
        return None
    return f"{name[:80]!r} is not a scope: resource:action in a-z, 0-9, _ and -, at most {scopes.MAX_SCOPE_LENGTH}"


def _check_own_header(name: str) -> str | None:
    lowered = name.lower()
    if lowered in _CLAIMED or lowered.startswith("x-authsvc-"):
        return f"the header {lowered!r} cannot be used here"
    return None


def _check_reason(name: str) -> str | None:
    allowed = [DEFAULT_ENTRY, *Reason]
    return None if name in allowed else unknown("reason", name, allowed)


_IS_DURATION = (BeforeValidator(parse_duration), _schema(_DURATION, "15m", "90d"))
Grace = Annotated[int, *_IS_DURATION, _between("0s", "90d")]
Lifetime = Annotated[int, *_IS_DURATION, _between("1m", "3650d")]
Staleness = Annotated[int, *_IS_DURATION, _between("0s", "300s")]
Age = Annotated[int, *_IS_DURATION, _between("1s", "1h")]
NegativeAge = Annotated[int, *_IS_DURATION, _between("1s", "60s")]
Reload = Annotated[int, *_IS_DURATION, _between("1s", "1d")]

Name = Annotated[str, _text(_NAME, "a name: a-z, 0-9, _ and -, a letter first, at most 63"), _schema(_NAME)]
ScopeName = Annotated[str, _checked(_check_scope), _schema(_SCOPE, "sessions:read")]
Host = Annotated[str, _text(_HOST, "a host name: lower case, exact, without scheme, port or wildcard"), _schema(_HOST)]
Rate = Annotated[
    str,
    _checked(
        lambda text: (
            None
            if parse_rate(text)
            else f"{text[:40]!r} is not a rate such as 10/minute: N/second, /minute, /hour or /day"
        )
    ),
    _schema(_RATE, "10/minute"),
]
HeaderName = Annotated[
    str,
    _text(_HEADER, "a header name: letters, digits and -, no underscore"),
    _checked(_check_own_header),
    AfterValidator(str.lower),
    _schema(_HEADER, "x-api-key"),
]
HeaderValue = Annotated[
    str, _text(_HEADER_VALUE, "a header value: one line of visible ASCII and inner blanks"), _schema(_HEADER_VALUE)
]
ContentType = Annotated[
    str, _text(_CONTENT_TYPE, "a media type such as application/json"), _schema(_CONTENT_TYPE, "application/json")
]
Scheme = Annotated[str, _text(_SCHEME, "an authorization scheme in lower case, such as token"), _schema(_SCHEME)]
Peer = Annotated[
    str, _text(_PEER, "the DNS name or URI of a client certificate, exact, without wildcard"), _schema(_PEER)
]
FileName = Annotated[str, _text(r"[^\x00-\x1f\x7f]{1,4096}", "the name of a file"), _schema("[^\\x00-\\x1f\\x7f]+")]
ImportAlgorithm = Annotated[
    str,
    _text(ALGORITHM, "one of sha256, sha512, hmac-sha256:NAME and hmac-sha512:NAME"),
    _schema(ALGORITHM, "sha256", "hmac-sha256:old"),
]
Prefix = Annotated[str, _checked(_check_prefix)]
Method = Annotated[str, _checked(_check_method), _schema("[A-Z]{1,20}", "GET", ANY_METHOD)]
PathTemplate = Annotated[str, _checked(routes.template_error), _schema("/.*", "/v1/items/{item}", "/v1/files/**")]
ReasonName = Annotated[
    str, _checked(_check_reason), WithJsonSchema({"type": "string", "enum": [DEFAULT_ENTRY, *map(str, Reason)]})
]
