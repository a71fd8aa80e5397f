"""
Domain values → Envoy's CheckResponse.

Which combination of status and body means what to Envoy is easy to get wrong: an empty response, a
denial with code 0, an RPC error and an `error_response` can all be an allow. So two functions build
answers, `allow` and `deny`, and each sets code and body together.

Serialized protobuf messages concatenate: parsing the concatenation merges them. An answer is put
together from parts that were serialized once: per API, per group of like keys, per key, and a tail
in which only the decision id changes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.wrappers_pb2 import BoolValue
from google.rpc.status_pb2 import Status

from authsvc.domain import dialect, origins
from authsvc.domain.api import DEFAULT_ERRORS, Api
from authsvc.domain.decision import Allow, Bearer, Deny
from authsvc.domain.reasons import WORDING, Reason
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import (
    CheckResponse,
    DeniedHttpResponse,
    HeaderValue,
    HeaderValueOption,
    HttpStatus,
    OkHttpResponse,
)
from authsvc.servicers.decision_ids import LENGTH
from authsvc.servicers.rate_headers import rate_header_names, rate_headers, rate_states, retry_after

# What the upstream is told; on every allow all of them are set, so that no client can set any.
IDENTITY_HEADERS = (
    "x-authsvc-organization",
    "x-authsvc-key-id",
    "x-authsvc-kind",
    "x-authsvc-environment",
    "x-authsvc-scopes",
    "x-authsvc-decision-id",
)
DECISION_ID = IDENTITY_HEADERS[-1]
ALLOWED = "ok"  # the reason of an allow, in metrics and metadata

# google.rpc.Code by the reason, whatever HTTP status an API words it with. Every other reason is 7.
_GRPC_CODE = {
    Reason.UNAUTHORIZED: 16,
    Reason.INVALID_KEY: 16,
    Reason.BAD_REQUEST: 3,
    Reason.RATE_LIMITED: 8,
    Reason.UNAVAILABLE: 14,
}
# Reading a member through its class takes a while.
_RATE_LIMITED, _INVALID_KEY = Reason.RATE_LIMITED, Reason.INVALID_KEY
_PERMISSION_DENIED = 7
_UNAUTHENTICATED_STATUS = 401
_UNAVAILABLE_RETRY_AFTER = 1  # seconds

# Stands for the decision id while a part is serialized, and is as long, so that every length is right.
# Random, so that no configured text contains it.
_MARK = secrets.token_hex(LENGTH // 2)


def allow(api: Api, decision: Allow, bearer: Bearer | None, decision_id: str, forged: Sequence[str]) -> bytes:
    """Return the answer that lets a request pass; `forged` are client headers that must not."""
    if bearer is None:
        answer = _public(api) + decision_id.encode().join(_METADATA_TAIL)
        return answer + _remove(forged) if forged else answer
    shared, own, metadata = bearer.rendered or _render(api, bearer)
    rate = _allow_rate(api, rate_states(decision.verdicts)) if decision.verdicts else b""
    id_ = decision_id.encode()
    answer = b"".join((shared, own, metadata, _TAIL_HEADER, id_, _TAIL_METADATA, id_, _TAIL_END, rate))
    return answer + _remove(forged) if forged else answer


def deny(
    api: Api | None, decision: Deny, bearer: Bearer | None, decision_id: str, *, origin: str | None, grpc: bool
) -> bytes:
    """Return the answer that stops a request. `origin` is the browser's; `grpc` tells a gRPC client."""
    reason, verdicts = decision.reason, decision.verdicts
    wait = retry_after(verdicts) if reason is _RATE_LIMITED else None
    parts = [decision_id.encode().join(_deny_parts(api, reason, decision.required_scope, wait, grpc=grpc))]
    if bearer is not None:
        parts.append(bearer.described or _describe(bearer))
    if api is not None:
        if verdicts:
            parts.append(_deny_rate(api, rate_states(verdicts)))
        if origin is not None:
            # A dead key must look like an unknown one, here too.
            kind = None if bearer is None or reason is _INVALID_KEY else bearer.record.kind
            parts.append(_cors(api, reason, kind, origin))
    return b"".join(parts)


@lru_cache(maxsize=4096)
def _deny_parts(
    api: Api | None, reason: Reason, required_scope: str | None, wait: int | None, *, grpc: bool
) -> tuple[bytes, ...]:
    template = DEFAULT_ERRORS[reason] if api is None else api.error(reason)
    wait = _UNAVAILABLE_RETRY_AFTER if reason is Reason.UNAVAILABLE else wait
    values = {
        "reason": reason.value,
        "message": WORDING[reason].message,
        "status": str(template.status),
        "required_scope": required_scope or "",
        "decision_id": _MARK,
        "retry_after": "" if wait is None else str(wait),
    }
    headers = [("content-type", template.content_type), ("cache-control", "no-store"), (DECISION_ID, _MARK)]
    if template.status == _UNAUTHENTICATED_STATUS:
        headers.append(("www-authenticate", "Bearer" if api is None else api.challenge))
    if wait is not None:
        headers.append(("retry-after", str(wait)))
    code = _GRPC_CODE.get(reason, _PERMISSION_DENIED)
    if grpc:
        # Without it Envoy derives the code from the HTTP status, and makes UNAVAILABLE of 429.
        headers.append(("grpc-status", str(code)))
    response = CheckResponse(
        status=Status(code=code, message=reason.value),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=template.status),
            headers=map(_option, (*headers, *template.headers)),
            body=dialect.render(template, values),
        ),
        dynamic_metadata=_metadata(
            {"decision_id": _MARK, "reason": reason.value, "api": "" if api is None else api.name}
        ),
    )
    return tuple(response.SerializeToString(deterministic=True).split(_MARK.encode()))


@lru_cache(maxsize=1024)
def _allow_head(api: Api) -> bytes:
    return CheckResponse(
        status=Status(code=0),
        ok_response=OkHttpResponse(headers_to_remove=_credential_headers(api)),
        dynamic_metadata=_metadata({"api": api.name, "reason": ALLOWED}),
    ).SerializeToString()


@lru_cache(maxsize=16_384)
def _allow_rate(api: Api, states: tuple[tuple[str, int, int, int, int], ...]) -> bytes:
    # Most clients stay well below their limits, and then the numbers repeat.
    headers = map(_option, rate_headers(api.rate_headers, states))
    return CheckResponse(ok_response=OkHttpResponse(response_headers_to_add=headers)).SerializeToString()


@lru_cache(maxsize=16_384)
def _deny_rate(api: Api, states: tuple[tuple[str, int, int, int, int], ...]) -> bytes:
    return _denied_headers(rate_headers(api.rate_headers, states))


@lru_cache(maxsize=1024)
def _public(api: Api) -> bytes:
    headers = CheckResponse(ok_response=OkHttpResponse(headers=[_option((name, "")) for name in IDENTITY_HEADERS]))
    return _allow_head(api) + headers.SerializeToString()


def _render(api: Api, bearer: Bearer) -> tuple[bytes, bytes, bytes]:
    """Serialize a key's part of an allow and keep it: (shared by like keys, its own headers, its metadata)."""
    record = bearer.record
    scopes = "*" if bearer.scopes is None else " ".join(sorted(bearer.scopes))
    organization, key_id = IDENTITY_HEADERS[:2]
    own = [_option((organization, record.organization_id)), _option((key_id, record.id))]
    bearer.rendered = (
        _group(api, record.kind, record.environment or "", scopes),
        CheckResponse(ok_response=OkHttpResponse(headers=own)).SerializeToString(),
        bearer.described or _describe(bearer),
    )
    return bearer.rendered


def _describe(bearer: Bearer) -> bytes:
    """Serialize whom an answer is about, for the access log, refusals included, and keep it."""
    record = bearer.record
    bearer.described = CheckResponse(
        dynamic_metadata=_metadata(
            {
                "organization": record.organization_id,
                "key_id": record.id,
                "kind": record.kind,
                "environment": record.environment or "",
            }
        )
    ).SerializeToString()
    return bearer.described


@lru_cache(maxsize=16_384)
def _group(api: Api, kind: str, environment: str, scopes: str) -> bytes:
    headers = [_option(header) for header in zip(IDENTITY_HEADERS[2:5], (kind, environment, scopes), strict=True)]
    return _allow_head(api) + CheckResponse(ok_response=OkHttpResponse(headers=headers)).SerializeToString()


@lru_cache(maxsize=4096)
def _cors(api: Api, reason: Reason, kind: str | None, origin: str) -> bytes:
    """Let a browser read the refusal, where keys of this kind, or of any for None, are meant for browsers."""
    kinds = [of for of in api.kinds.values() if kind in (None, of.name)]
    if not any(of.cors for of in kinds) or origins.parse_origin(origin) is None:
        return b""
    return _denied_headers(
        [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _exposed(api, reason)),
            ("vary", "origin"),
        ]
    )


def _denied_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    return CheckResponse(denied_response=DeniedHttpResponse(headers=map(_option, headers))).SerializeToString()


@lru_cache(maxsize=4096)
def _exposed(api: Api, reason: Reason) -> str:
    """Name the headers of a refusal that a page could not read otherwise."""
    own = (name for name, _ in api.error(reason).headers)
    return ", ".join((DECISION_ID, "retry-after", "www-authenticate", *rate_header_names(api.rate_headers), *own))


def _credential_headers(api: Api) -> list[str]:
    return [source.header for source in api.credentials] if api.hide_credential else []


def _remove(names: Iterable[str]) -> bytes:
    # Envoy removes after setting, so a name that is also set must not be listed.
    removed = [name for name in names if name not in IDENTITY_HEADERS]
    return CheckResponse(ok_response=OkHttpResponse(headers_to_remove=removed)).SerializeToString()


def _option(header: tuple[str, str]) -> HeaderValueOption:
    # Both fields: Envoy 1.37.0 read `append_action` where others read `append`.
    return HeaderValueOption(
        header=HeaderValue(key=header[0], value=header[1]),
        append=BoolValue(value=False),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _metadata(values: Mapping[str, str]) -> Struct:
    return Struct(fields={name: Value(string_value=value) for name, value in values.items()})


_METADATA_TAIL = tuple(
    CheckResponse(dynamic_metadata=_metadata({"decision_id": _MARK})).SerializeToString().split(_MARK.encode())
)
_TAIL_HEADER, _TAIL_METADATA, _TAIL_END = (
    CheckResponse(
        ok_response=OkHttpResponse(headers=[_option((DECISION_ID, _MARK))]),
        dynamic_metadata=_metadata({"decision_id": _MARK}),
    )
    .SerializeToString()
    .split(_MARK.encode())
)
