"""Every answer as Envoy reads it: code and body together, headers, metadata, in the API's own words."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BoolValue
from google.rpc.status_pb2 import Status

from authsvc.domain.api import Api
from authsvc.domain.decision import Allow, Bearer, Decision, Deny, Outcome
from authsvc.domain.dialect import ErrorTemplate
from authsvc.domain.question import Question
from authsvc.domain.quotas import Verdict
from authsvc.domain.reasons import WORDING, Reason
from authsvc.servicers._envoy.authsvc_ext_authz_pb2 import (
    CheckResponse,
    DeniedHttpResponse,
    HeaderValue,
    HeaderValueOption,
    HttpStatus,
    OkHttpResponse,
)
from authsvc.servicers.envoy_wire import IDENTITY_HEADERS
from tests.support.builders import bearer, limit, record, verdict
from tests.support.doors import KEY, SHOP, Answer, Door, door

# google.rpc.Code of every reason, as documented.
CODES = dict.fromkeys(Reason, 7) | {
    Reason.UNAUTHORIZED: 16,
    Reason.INVALID_KEY: 16,
    Reason.BAD_REQUEST: 3,
    Reason.RATE_LIMITED: 8,
    Reason.UNAVAILABLE: 14,
}
SECOND = 1_000_000_000
EXHAUSTED = (Verdict(allowed=False, limit=limit(), remaining=0, reset_ns=60 * SECOND, retry_ns=5 * SECOND + 1),)
CUSTOM_BODY = (
    '{"error":{"code":"{{reason}}","text":"{{message}}","http":{{status}},'
    '"scope":"{{required_scope}}","trace":"{{decision_id}}","wait":"{{retry_after}}"}}'
)
CUSTOM = replace(
    SHOP,
    challenge='Bearer realm="shop"',
    errors={
        reason: ErrorTemplate(
            status=WORDING[reason].status,
            content_type="application/json; charset=utf-8",
            headers=(("x-shop-error", reason.value),),
            body=CUSTOM_BODY,
        )
        for reason in Reason
    },
)
DIALECTS = [pytest.param(SHOP, id="default"), pytest.param(CUSTOM, id="custom")]
REASONS = [pytest.param(reason, id=reason.value) for reason in Reason]
BEARERS = [pytest.param(None, id="no-bearer"), pytest.param(bearer(), id="bearer")]


@dataclass
class Scripted:
    """Answers every question with the same decision."""

    decision: Decision
    bearer: Bearer | None

    def now(self, question: Question) -> Outcome:
        """Return the decision."""
        return Outcome(api=question.api, decision=self.decision, bearer=self.bearer)


def answering(api: Api, decision: Decision, of: Bearer | None) -> Door:
    """Return a door behind which everything is already decided."""
    built = door(None, api)
    built.check._authorize = Scripted(decision, of)  # type: ignore[assignment]
    return built


def denial(reason: Reason) -> Deny:
    """Return a refusal with everything that its reason carries."""
    return Deny(
        reason=reason,
        detail="for logs only",
        required_scope="things:write" if reason is Reason.INSUFFICIENT_SCOPE else None,
        verdicts=EXHAUSTED if reason is Reason.RATE_LIMITED else (),
    )


async def denied(api: Api, reason: Reason, of: Bearer | None = None, **request: Any) -> Answer:
    """Return the answer of a door that refuses for this reason."""
    return await answering(api, denial(reason), of).ask(key=KEY, **request)


def option(name: str, value: str) -> HeaderValueOption:
    """Return a header that replaces the client's, in every release of Envoy."""
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append=BoolValue(value=False),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def struct(**values: str) -> Struct:
    """Return dynamic metadata."""
    message = Struct()
    message.update(values)
    return message


def ordered(message: CheckResponse) -> CheckResponse:
    """Return a copy with its headers in the order of their names: Envoy does not care."""
    copy = CheckResponse()
    copy.CopyFrom(message)
    response = copy.ok_response if copy.HasField("ok_response") else copy.denied_response
    for headers in (response.headers, getattr(response, "response_headers_to_add", [])):
        kept = sorted(headers, key=lambda each: each.header.key)
        del headers[:]
        headers.extend(kept)
    return copy


@pytest.mark.parametrize("of", BEARERS)
@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_a_denial_is_one_for_envoy(reason: Reason, api: Api, of: Bearer | None) -> None:
    """Code and denied_response stand together, with the HTTP status of the reason and no ok_response."""
    answer = await denied(api, reason, of)

    assert (CODES[reason], WORDING[reason].status, reason.value) == answer.outcome
    assert answer.code != 0
    assert answer.message.WhichOneof("http_response") == "denied_response"
    assert answer.message.status.message == reason.value


@pytest.mark.parametrize("of", BEARERS)
@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_headers_of_a_denial(reason: Reason, api: Api, of: Bearer | None) -> None:
    """Nothing that a client or a proxy needs is missing, and nothing else is there."""
    answer = await denied(api, reason, of)
    decision_id = answer.metadata["decision_id"]
    expected = {
        "content-type": api.error(reason).content_type,
        "cache-control": "no-store",
        "x-authsvc-decision-id": decision_id,
    }
    if WORDING[reason].status == 401:
        expected["www-authenticate"] = api.challenge
    if reason is Reason.RATE_LIMITED:
        expected |= {"retry-after": "6", "ratelimit": '"per-key";r=0;t=60', "ratelimit-policy": '"per-key";q=10;w=60'}
    if reason is Reason.UNAVAILABLE:
        expected["retry-after"] = "1"

    assert expected | dict(api.error(reason).headers) == answer.headers


@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_the_decision_id_is_the_same_everywhere(reason: Reason, api: Api) -> None:
    """Whoever reports a refusal and whoever reads the log mean the same decision."""
    answer = await denied(api, reason)
    body = json.loads(answer.body)
    in_body = body["decision_id"] if api is SHOP else body["error"]["trace"]

    assert len(in_body) == 24
    assert {in_body} == {in_body, answer.headers["x-authsvc-decision-id"], answer.metadata["decision_id"]}


@pytest.mark.parametrize("reason", REASONS)
async def test_body_by_default(reason: Reason) -> None:
    """The default body is problem details with the reason as a member of its own."""
    answer = await denied(SHOP, reason)
    expected: dict[str, object] = {
        "type": "about:blank",
        "title": WORDING[reason].message,
        "status": WORDING[reason].status,
        "reason": reason.value,
        "decision_id": answer.metadata["decision_id"],
    }
    if reason is Reason.INSUFFICIENT_SCOPE:
        expected["required_scope"] = "things:write"
    if reason is Reason.RATE_LIMITED:
        expected["retry_after"] = 6

    assert expected == json.loads(answer.body)


@pytest.mark.parametrize("reason", REASONS)
async def test_body_in_the_apis_own_words(reason: Reason) -> None:
    """A configured body has its placeholders filled and is otherwise left alone."""
    answer = await denied(CUSTOM, reason)
    waits = {Reason.RATE_LIMITED: "6", Reason.UNAVAILABLE: "1"}

    expected = {
        "code": reason.value,
        "text": WORDING[reason].message,
        "http": WORDING[reason].status,
        "scope": "things:write" if reason is Reason.INSUFFICIENT_SCOPE else "",
        "trace": answer.metadata["decision_id"],
        "wait": waits.get(reason, ""),
    }

    assert {"error": expected} == json.loads(answer.body)


@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_metadata_of_a_denial(reason: Reason, api: Api) -> None:
    """The access log learns whose key it was wherever that is known, and the client never."""
    known = await denied(api, reason, bearer())
    unknown = await denied(api, reason)
    told = {"api": "shop", "reason": reason.value, "decision_id": known.metadata["decision_id"]}
    whose = {"organization": record().organization_id, "key_id": record().id, "kind": "secret", "environment": "live"}

    assert told | whose == known.metadata
    assert told | {"decision_id": unknown.metadata["decision_id"]} == unknown.metadata
    assert not [value for value in whose.values() if value in known.message.denied_response.body.replace("live", "")]


@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_no_denial_carries_identity(reason: Reason, api: Api) -> None:
    """Of the identity headers a refusal has the decision id alone, and it echoes none of the client's."""
    forged = dict.fromkeys(IDENTITY_HEADERS, "forged-by-client") | {"x_authsvc_kind": "forged-by-client"}
    answer = await denied(api, reason, bearer(), headers=forged)

    assert set(answer.headers) & set(IDENTITY_HEADERS) == {"x-authsvc-decision-id"}
    assert b"forged-by-client" not in answer.message.SerializeToString()
    assert record().id.encode() not in answer.message.denied_response.SerializeToString()


@pytest.mark.parametrize(
    ("content_type", "grpc"),
    [
        pytest.param("application/grpc", True, id="grpc"),
        pytest.param("application/grpc+proto", True, id="grpc-proto"),
        pytest.param("application/grpc+json", True, id="grpc-json"),
        pytest.param("application/json", False, id="json"),
        pytest.param("", False, id="empty"),
        pytest.param("text/plain; x=application/grpc", False, id="elsewhere"),
        pytest.param("application/grpc-web+proto", False, id="grpc-web"),
        pytest.param("application/grpcish", False, id="longer"),
    ],
)
@pytest.mark.parametrize("reason", REASONS)
async def test_grpc_status_only_for_grpc(reason: Reason, content_type: str, *, grpc: bool) -> None:
    """A gRPC client, as Envoy tells one, gets the exact code; a browser never sees the header."""
    answer = await denied(SHOP, reason, headers={"content-type": content_type})

    assert (str(CODES[reason]) if grpc else None) == answer.headers.get("grpc-status")


@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_every_header_of_a_denial_replaces(reason: Reason, api: Api) -> None:
    """Envoy drops denied headers that ask to be appended, so none does."""
    answer = await denied(api, reason, bearer(), headers={"origin": "https://app.example", "content-type": "grpc"})

    assert all(
        not each.append.value and each.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        for each in answer.message.denied_response.headers
    )
    names = [each.header.key for each in answer.message.denied_response.headers]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("of", BEARERS)
@pytest.mark.parametrize("api", DIALECTS)
@pytest.mark.parametrize("reason", REASONS)
async def test_a_denial_equals_one_message_built_at_once(reason: Reason, api: Api, of: Bearer | None) -> None:
    """What is put together from parts is what one message would say."""
    answer = await denied(api, reason, of)
    whose = {} if of is None else {"organization": of.record.organization_id, "key_id": of.record.id}
    more = {} if of is None else {"kind": "secret", "environment": "live"}
    expected = CheckResponse(
        status=Status(code=CODES[reason], message=reason.value),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=WORDING[reason].status),
            headers=[option(*header) for header in answer.headers.items()],
            body=answer.body,
        ),
        dynamic_metadata=struct(
            decision_id=answer.headers["x-authsvc-decision-id"], reason=reason.value, api="shop", **whose, **more
        ),
    )

    assert ordered(expected) == ordered(answer.message)


@pytest.mark.parametrize("verdicts", [pytest.param((), id="no-limit"), pytest.param((verdict(),), id="limit")])
@pytest.mark.parametrize(
    "scopes", [pytest.param(("things:read", "things:create"), id="scopes"), pytest.param((), id="none")]
)
async def test_an_allow_equals_one_message_built_at_once(
    verdicts: tuple[Verdict, ...], scopes: tuple[str, ...]
) -> None:
    """What is put together from parts is what one message would say."""
    of = bearer(record(scopes=scopes))
    answer = await answering(SHOP, Allow(verdicts=verdicts), of).ask(key=KEY, headers={"x_authsvc_kind": "admin"})
    decision_id = answer.metadata["decision_id"]
    told = (of.record.organization_id, of.record.id, "secret", "live", " ".join(sorted(scopes)), decision_id)
    rates = [option("ratelimit", '"per-key";r=9;t=1'), option("ratelimit-policy", '"per-key";q=10;w=60')]
    expected = CheckResponse(
        status=Status(code=0),
        ok_response=OkHttpResponse(
            headers=[option(*header) for header in zip(IDENTITY_HEADERS, told, strict=True)],
            headers_to_remove=["authorization", "x_authsvc_kind"],
            response_headers_to_add=rates if verdicts else [],
        ),
        dynamic_metadata=struct(
            decision_id=decision_id,
            reason="ok",
            api="shop",
            organization=of.record.organization_id,
            key_id=of.record.id,
            kind="secret",
            environment="live",
        ),
    )

    assert ordered(expected) == ordered(answer.message)


async def test_full_access_is_a_star() -> None:
    """A key that may do everything says so by a name that no scope can have."""
    answer = await answering(SHOP, Allow(), bearer(record(full_access=True, scopes=()))).ask(key=KEY)

    assert answer.headers["x-authsvc-scopes"] == "*"


async def test_an_answer_is_kept_by_key_and_not_by_decision() -> None:
    """Two decisions about one bearer differ where they must: the ids, the reason, the limits."""
    of = bearer()
    first = await answering(SHOP, Allow(), of).ask(key=KEY)
    second = await answering(SHOP, denial(Reason.INSUFFICIENT_SCOPE), of).ask(key=KEY)
    third = await answering(SHOP, Allow(verdicts=(verdict(),)), of).ask(key=KEY)

    assert [each.reason for each in (first, second, third)] == ["ok", "insufficient_scope", "ok"]
    assert len({each.metadata["decision_id"] for each in (first, second, third)}) == 3
    assert not first.message.ok_response.response_headers_to_add
    assert third.message.ok_response.response_headers_to_add
