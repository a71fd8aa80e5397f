"""DecisionService over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY
from authsvc_client.v1.decision_service_pb2 import (
    RULE_OUTCOME_FAIL,
    RULE_OUTCOME_PASS,
    RULE_OUTCOME_SKIPPED,
    ExplainDecisionRequest,
    Header,
    IdentifyKeyRequest,
)
from authsvc_client.v1.key_service_pb2 import RevokeKeyRequest

from authsvc.servicers.decisions import MAX_HEADERS
from tests.support.admin_server import AdminServer, running_administration


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration."""
    async with running_administration(sqlite_url) as server:
        yield server


def request(**fields: Any) -> ExplainDecisionRequest:
    """Ask about `GET /v1/things`, live."""
    fields = {"api": "shop", "method": "GET", "path": "/v1/things", "environment": "live", **fields}
    return ExplainDecisionRequest(**fields)


async def explain(admin: AdminServer, asked: ExplainDecisionRequest) -> Any:
    """Ask for an explanation."""
    return await admin.call(admin.decisions.ExplainDecision, asked)


async def test_an_allow_names_the_bearer(admin: AdminServer) -> None:
    """Every rule passes, and the principal is told."""
    made = await admin.key(await admin.organization("acme"), "things:read")

    answer = await explain(admin, request(credential=made.secret))

    assert (answer.decision.verdict, answer.key_id) == (VERDICT_ALLOW, made.key.id)
    assert answer.principal.key_id == made.key.id
    assert {rule.outcome for rule in answer.rules} == {RULE_OUTCOME_PASS}
    assert answer.decision.decision_id


async def test_the_key_may_be_in_the_headers(admin: AdminServer) -> None:
    """Header names in any case, as a client sends them."""
    made = await admin.key(await admin.organization("acme"), "things:read")
    headers = [
        Header(name="Authorization", value=f"Bearer {made.secret}"),
        Header(name="Origin", value="https://x.example"),
    ]

    answer = await explain(admin, request(headers=headers))
    twice = await explain(admin, request(headers=headers[:1] * 2))

    assert answer.decision.verdict == VERDICT_ALLOW
    assert (twice.decision.verdict, twice.decision.reason) == (VERDICT_DENY, "unauthorized")


async def test_a_denial_says_why_and_not_who_it_would_have_been(admin: AdminServer) -> None:
    """The key's id is told, the principal is not."""
    made = await admin.key(await admin.organization("acme"), "things:write")
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))

    answer = await explain(admin, request(credential=made.secret, required_scopes=["things:create"]))

    failed = [(rule.rule, rule.detail) for rule in answer.rules if rule.outcome == RULE_OUTCOME_FAIL]
    assert (answer.decision.reason, answer.key_id) == ("invalid_key", made.key.id)
    assert failed == [("key_status", "revoked"), ("scope", "lacks things:read")]
    assert not answer.HasField("principal")


async def test_a_scope_that_does_not_exist_denies_as_on_the_data_plane(admin: AdminServer) -> None:
    """A typo in a proxy's configuration lets nobody pass."""
    made = await admin.key(await admin.organization("acme"), "things:read")

    answer = await explain(admin, request(credential=made.secret, required_scopes=["things:red"]))

    outcomes = {rule.rule: rule.outcome for rule in answer.rules}
    assert answer.decision.reason == "route_not_configured"
    assert (outcomes["route"], outcomes["scope"]) == (RULE_OUTCOME_FAIL, RULE_OUTCOME_SKIPPED)


async def test_what_the_request_says_reaches_the_rules(admin: AdminServer) -> None:
    """Host, environment, address and the resource's organization."""
    made = await admin.key(await admin.organization("acme"), "things:read")
    by_host = ExplainDecisionRequest(
        host="API.shop.example:443", method="GET", path="/v1/things?a=1", credential=made.secret
    )

    assert (await explain(admin, by_host)).decision.verdict == VERDICT_ALLOW
    for fields, reason in (
        ({"environment": "test"}, "wrong_environment"),
        ({"organization_id": admin.operators_id}, "wrong_organization"),
        ({"path": "/v1//things"}, "bad_request"),
        ({"method": "get"}, "bad_request"),
        ({"api": "unheard-of"}, "route_not_configured"),
        ({"credential": "a b"}, "unauthorized"),
    ):
        answer = await explain(admin, request(**{"credential": made.secret, **fields}))

        assert answer.decision.reason == reason


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"method": "A" * 33}, "method", id="method"),
        pytest.param({"path": "/" * 8193}, "path", id="path"),
        pytest.param({"host": "a" * 256}, "host", id="host"),
        pytest.param({"source_ip": "1" * 46}, "source_ip", id="source-ip"),
        pytest.param({"environment": "a\nb"}, "environment", id="environment"),
        pytest.param({"required_scopes": ["a:b"] * 65}, "required_scopes", id="many-scopes"),
        pytest.param({"required_scopes": ["a:b public:true"]}, "required_scopes", id="two-in-one"),
        pytest.param({"headers": [Header(name="a")] * (MAX_HEADERS + 1)}, "headers", id="many-headers"),
        pytest.param({"headers": [Header(name="")]}, "headers[0]", id="nameless-header"),
        pytest.param({"headers": [Header(name="a", value="x" * 8193)]}, "headers[0]", id="long-header"),
    ],
)
async def test_bounds(admin: AdminServer, fields: dict[str, Any], field: str) -> None:
    """Whatever is too long is refused by its name."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await explain(admin, request(**fields))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(raised.value.details()).startswith(f"{field}: ")


async def test_a_key_is_identified_by_its_text(admin: AdminServer) -> None:
    """A revoked one too."""
    made = await admin.key(await admin.organization("acme"))
    await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id))

    answer = await admin.call(admin.decisions.IdentifyKey, IdentifyKeyRequest(secret=made.secret))

    assert answer.key.id == made.key.id


@pytest.mark.parametrize(
    ("secret", "code"),
    [
        pytest.param("sk_live_" + "0" * 38, grpc.StatusCode.NOT_FOUND, id="nobodys"),
        pytest.param("", grpc.StatusCode.INVALID_ARGUMENT, id="empty"),
        pytest.param("a b", grpc.StatusCode.INVALID_ARGUMENT, id="malformed"),
    ],
)
async def test_a_text_that_is_no_key(admin: AdminServer, secret: str, code: grpc.StatusCode) -> None:
    """Unknown, or not possible."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await admin.call(admin.decisions.IdentifyKey, IdentifyKeyRequest(secret=secret))

    assert raised.value.code() is code
