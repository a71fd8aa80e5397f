"""Both doors count each decision once, with everything that usage tells apart."""

from __future__ import annotations

from typing import Any

import pytest
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest

from authsvc.domain.api import Api
from authsvc.domain.decision import Bearer
from authsvc.domain.routes import Route
from authsvc.servicers import auth_wire
from authsvc.servicers.auth import AuthDoor
from authsvc.servicers.ext_authz import Check
from authsvc.servicers.method import Waiting
from authsvc.telemetry import DecisionCounters
from authsvc.usecases.authorize import Miss
from tests.support.builders import record
from tests.support.doors import KEY, Door, check_request, door

CURL = {"user-agent": "curl/8.0"}


class Noted:
    """What was recorded, in words."""

    def __init__(self) -> None:
        self.all: list[tuple[str, ...]] = []

    def __call__(self, *what: Any) -> None:
        """Note one decision; of the sender its address and what it says it is."""
        *rest, sender = what
        client = (None, None) if sender is None else (sender.address(what[1]), sender.agent())
        self.all.append(tuple(map(self._word, (*rest, *client))))

    @staticmethod
    def _word(part: Any) -> str:
        if isinstance(part, Bearer):
            return part.record.id
        return part.name if isinstance(part, Api | Route) else str(part)


@pytest.fixture
def noted() -> Noted:
    """An empty list."""
    return Noted()


async def ask(built: Door, noted: Noted, payload: bytes) -> None:
    """Put bytes to a Check that is counted."""
    check = Check(built.apis, built.authorize, DecisionCounters("envoy"), noted)
    answer = check.now(payload)
    if isinstance(answer, Waiting):
        await check.later(answer, 1.0)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(
            {"key": KEY}, (record().id, "shop", "GET /v1/things", "None", "192.0.2.1", "curl/8.0"), id="allowed"
        ),
        pytest.param(
            {"key": KEY, "method": "POST"},
            (record().id, "shop", "None", "route_not_configured", "None", "None"),
            id="no-route",
        ),
        pytest.param({}, ("None", "shop", "GET /v1/things", "unauthorized", "None", "None"), id="no-key"),
        pytest.param(
            {"key": "sk_live_" + "x" * 30},
            ("None", "shop", "GET /v1/things", "invalid_key", "None", "None"),
            id="unknown-key",
        ),
        pytest.param({"path": "//"}, ("None", "shop", "None", "bad_request", "None", "None"), id="malformed"),
        pytest.param(
            {"extensions": {"api": "nobody"}},
            ("None", "None", "None", "route_not_configured", "None", "None"),
            id="no-api",
        ),
        pytest.param(
            {"extensions": {"api": "shop", "public": "true"}},
            ("None", "shop", "GET /v1/things", "None", "192.0.2.1", "curl/8.0"),
            id="public",
        ),
    ],
)
async def test_a_check_is_counted(noted: Noted, request_: dict[str, Any], expected: tuple[str, ...]) -> None:
    """Key, API, route and reason of every decision; address and client of an allowed one."""
    await ask(door(), noted, check_request(headers=CURL, **request_).SerializeToString())

    assert [expected] == noted.all


async def test_a_check_that_cannot_be_read_is_counted(noted: Noted) -> None:
    """It is a decision too."""
    await ask(door(), noted, b"\xff")

    assert [("None", "None", "None", "bad_request", "None", "None")] == noted.all


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/v1/things", (record().id, "shop", "GET /v1/things", "None", "192.0.2.7", "None"), id="allowed"),
        pytest.param(
            "/v1/others", (record().id, "shop", "None", "route_not_configured", "192.0.2.7", "None"), id="refused"
        ),
    ],
)
async def test_a_question_of_a_backend_is_counted(noted: Noted, path: str, expected: tuple[str, ...]) -> None:
    """The address is the one the backend names."""
    built = door()
    rpc = AuthDoor(built.apis, built.authorize, DecisionCounters("grpc"), lambda: False, noted)
    request = AuthorizeRequest(api="shop", credential=KEY, method="GET", path=path)
    request.context.source_ip = "192.0.2.7"
    answer = rpc.ask(auth_wire.authorization(built.apis, request))
    rpc.respond(await rpc.wait(answer, 1.0) if isinstance(answer, Miss) else answer)

    assert [expected] == noted.all
