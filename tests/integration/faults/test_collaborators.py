"""What the doors depend on fails, once or for good: every answer is a denial or a fixed error."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest, AuthorizeRequest
from authsvc_client.v1.decision_pb2 import RequestContext

from authsvc.domain import dialect, network, origins
from authsvc.domain.decision import Bearer
from authsvc.domain.errors import UnavailableError
from authsvc.domain.quotas import Verdict
from authsvc.servicers import decision_ids, envoy_wire
from authsvc.stores.sql import SqlStore
from tests.integration.faults.injection import DSN, ERRORS, SECRETS, TEXT, UNKNOWN_KEY
from tests.support.builders import limit, record
from tests.support.canaries import everything_logged, leaks
from tests.support.doors import (
    ALLOWED,
    AUTHENTICATE,
    AUTHORIZE,
    CHECK,
    KEY,
    UNDECIDED,
    Answer,
    Door,
    Served,
    check_request,
    door,
    serving,
    until,
)
from tests.support.fakes import PEPPERS

MAY = check_request(key=KEY).SerializeToString()
FROM = RequestContext(source_ip="192.0.2.1")
WHO = AuthenticateRequest(api="shop", credential=KEY, spend_rate_limit=True, context=FROM).SerializeToString()
DO = AuthorizeRequest(api="shop", credential=KEY, required_scopes=["things:read"], context=FROM).SerializeToString()
LIMITED = record(limits=(limit(count=10**6, burst=10**6),), networks=(network.parse_network("192.0.2.0/24"),))  # type: ignore[arg-type]
OUTCOMES = {
    (grpc.StatusCode.INTERNAL, "internal error"),
    (grpc.StatusCode.UNAVAILABLE, "keys cannot be checked right now"),
}


@dataclass
class FailingLimiter:
    """Raises instead of counting."""

    error: BaseException | None = None

    def spend(self, _: Bearer) -> tuple[Verdict, ...]:
        """Raise, or let pass."""
        if self.error is not None:
            raise self.error
        return ()

    peek = spend


def failing(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


Break = Callable[[Door, BaseException, pytest.MonkeyPatch], None]


def later(error: BaseException) -> Callable[..., Any]:
    """Return a coroutine function that raises after it has waited."""

    async def fail(*_: object, **__: object) -> Any:
        await asyncio.sleep(0)
        raise error

    return fail


COLLABORATORS: dict[str, Break] = {
    "cache.get": lambda built, error, patch: patch.setattr(built.cache, "get", failing(error)),
    "cache.fetch": lambda built, error, patch: patch.setattr(built.cache, "fetch", later(error)),
    "store.load": lambda built, error, patch: patch.setattr(built.store, "fault", error),
    "limiter.spend": lambda built, error, patch: patch.setattr(built.limiter, "error", error),
    "clock.now": lambda built, error, patch: patch.setattr(built.clock, "fault", error),
    "peppers": lambda built, error, patch: patch.setattr(built.authorize, "_digest", failing(error)),
    "counters": lambda _, error, patch: patch.setattr("authsvc.telemetry.DecisionCounters.count", failing(error)),
    "networks": lambda _, error, patch: patch.setattr(network, "parse_address", failing(error)),
}
# These fail for denials too, and for good.
RENDERING: dict[str, Break] = {
    "randomness": lambda _, error, patch: patch.setattr(decision_ids.os, "urandom", failing(error)),
    "dialect": lambda _, error, patch: patch.setattr(dialect, "render", failing(error)),
    "allow": lambda _, error, patch: patch.setattr(envoy_wire, "allow", failing(error)),
    "deny": lambda _, error, patch: patch.setattr(envoy_wire, "deny", failing(error)),
    "origins": lambda _, error, patch: patch.setattr(origins, "parse_origin", failing(error)),
}
KINDS = [pytest.param(make, id=name) for name, make in ERRORS.items()]


async def rpc(served: Served, path: str, payload: bytes, sent: list[bytes]) -> tuple[grpc.StatusCode, str | None]:
    """Call a backend's method, keep all that came back, and return how it ended."""
    try:
        sent.append(await served.call(path, payload))
    except grpc.aio.AioRpcError as error:
        sent.append(repr((error.details(), error.trailing_metadata(), error.initial_metadata())).encode())
        return error.code(), error.details()
    return grpc.StatusCode.OK, None


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", COLLABORATORS)
async def test_a_collaborator_fails(
    name: str, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Check is denied with 503 in the API's words, an RPC fails with a fixed text, and afterwards all is well."""
    sent: list[bytes] = []
    built = door({KEY: LIMITED}, limiter=FailingLimiter())
    with everything_logged() as log:
        async with serving(built) as served:
            with monkeypatch.context() as patch:
                COLLABORATORS[name](built, make(), patch)
                sent.append(await served.call(CHECK, MAY))
                rpcs = {await rpc(served, AUTHENTICATE, WHO, sent), await rpc(served, AUTHORIZE, DO, sent)}
            after = await served.check(MAY)
            await until(lambda: built.calls.in_flight == 0)

    assert Answer.of(sent[0]).outcome == UNDECIDED
    assert Answer.of(sent[0]).metadata["api"] in ("shop", "")
    assert rpcs <= OUTCOMES
    assert after.outcome == ALLOWED
    assert leaks(b"\n".join(sent) + log.getvalue().encode(), SECRETS) == []


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", RENDERING)
async def test_rendering_fails_for_good(
    name: str, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When not even a denial can be put together, the one that was made at the start is sent."""
    sent: list[bytes] = []
    built = door({KEY: LIMITED}, limiter=FailingLimiter())
    envoy_wire._deny_parts.cache_clear()
    browser = check_request(headers={"origin": "https://a.example"}).SerializeToString()
    with everything_logged() as log, monkeypatch.context() as patch:
        RENDERING[name](built, make(), patch)
        built.check._ids._ready.clear()
        async with serving(built) as served:
            sent += [await served.call(CHECK, payload) for payload in (MAY, browser, b"\xff")]
    envoy_wire._deny_parts.cache_clear()
    answers = [Answer.of(payload) for payload in sent]

    assert all(not answer.allowed or name in ("dialect", "deny", "origins") for answer in answers)
    assert not any(answer.allowed for answer in answers[1:])
    assert all(answer.message.denied_response.status.code >= 400 for answer in answers if not answer.allowed)
    assert leaks(b"\n".join(sent) + log.getvalue().encode(), SECRETS) == []


@pytest.mark.usefixtures("listener")
async def test_a_lost_database_is_told_as_such() -> None:
    """A fault raised on purpose is unavailability to everybody, and is not logged as a bug."""
    built = door()
    built.store.fault = UnavailableError("the database is not available")
    with everything_logged() as log:
        async with serving(built) as served:
            check = await served.check(MAY)
            code, text = await rpc(served, AUTHENTICATE, WHO, [])

    assert check.outcome == UNDECIDED
    assert check.headers["retry-after"] == "1"
    assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "the database is not available")
    assert "unexpected fault" not in log.getvalue()


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("url", ["postgresql://{}@127.0.0.1:9/authsvc", "sqlite:////nonexistent/{}/file.db"])
async def test_a_database_that_is_not_there(url: str) -> None:
    """The driver's own error names address and password; neither leaves the process."""
    built = door()
    store = SqlStore.open(url.format("authsvc:canary-password-6b1f"), PEPPERS)
    built.store.load = store.load  # type: ignore[method-assign]
    sent: list[bytes] = []
    with everything_logged() as log:
        async with serving(built) as served:
            sent.append(await served.call(CHECK, MAY))
            told = await rpc(served, AUTHENTICATE, WHO, sent)
        await store.close()

    assert Answer.of(sent[0]).outcome == UNDECIDED
    assert told == (grpc.StatusCode.UNAVAILABLE, "the database is not available")
    assert leaks(b"\n".join(sent) + log.getvalue().encode(), SECRETS) == []


async def test_a_peer_check_that_fails_admits_nobody() -> None:
    """Not knowing who calls is no reason to answer."""
    async with serving(door(), admits=failing(ValueError(TEXT))) as served:
        check = await served.check(MAY)
        code = await rpc(served, AUTHENTICATE, WHO, [])

    assert check.outcome == UNDECIDED
    assert code == (grpc.StatusCode.INTERNAL, "internal error")


@pytest.mark.usefixtures("listener")
async def test_faults_are_logged_by_type_and_place() -> None:
    """An operator finds the line; nobody finds the text."""
    built = door({KEY: LIMITED}, limiter=FailingLimiter(ERRORS["driver"]()))
    with everything_logged() as log:
        async with serving(built) as served:
            await served.check(MAY)
    (line,) = [line for line in log.getvalue().splitlines() if "unexpected fault" in line]

    assert '"fault": "OperationalError"' in line
    assert "test_collaborators.py:" in line
    assert built.calls.faults == 0  # the method itself had an answer


@pytest.mark.usefixtures("listener")
async def test_interrupts_of_the_listener_are_counted() -> None:
    """What only the listener can answer is a fault of its own, and it is answered."""
    built = door()
    built.check.later = later(KeyboardInterrupt(TEXT))  # type: ignore[method-assign]
    async with serving(built) as served:
        answer = await served.check(MAY)

    assert (answer.outcome, built.calls.faults, built.calls.in_flight) == (UNDECIDED, 1, 0)


def test_the_scanner_finds_what_is_planted() -> None:
    """The control arm: each secret in each form, in an answer and in a log line, is found."""
    forms = [
        KEY,
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        "".join(f"%{ord(c):02X}" for c in KEY),
        str(list(KEY.encode())),
    ]
    for form in forms:
        with everything_logged() as log:
            logging.getLogger("authsvc.canary").debug("a line with %s in it", form)

        assert leaks(log.getvalue().encode(), SECRETS)
    for before in ("", "a", "ab"):
        encoded = base64.b64encode(f"{before}{DSN} and more".encode())

        assert leaks(encoded, SECRETS)
    assert leaks(b"nothing to be found here", SECRETS) == []
    assert leaks(f"{UNKNOWN_KEY}".encode(), SECRETS) == [
        "unknown key in raw",
        "unknown key in quoted",
        "unknown key in escaped",
    ]


@pytest.mark.parametrize("path", [CHECK, AUTHENTICATE])
async def test_a_handler_that_let_an_exception_out_would_be_found(path: str) -> None:
    """The control arm: without our guard grpc sends an exception's text to the client."""

    async def handle(_: bytes, __: object) -> bytes:
        error = ERRORS["value"]()
        raise error

    server = grpc.aio.server()
    service, name = path[1:].split("/")
    handler = grpc.unary_unary_rpc_method_handler(handle)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(path)(MAY)
    await server.stop(None)

    assert leaks(str(raised.value.details()).encode(), SECRETS)
