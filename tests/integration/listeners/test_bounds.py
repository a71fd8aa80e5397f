"""What a listener bears: waiting calls, deadlines, cancellations, sizes, ports and paths that do not exist."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import grpc
import pytest
from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest, AuthenticateResponse
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW

from authsvc.cache import CacheSettings
from authsvc.domain.errors import StartupError
from authsvc.listeners import options, standard
from authsvc.listeners import waiting as waits
from authsvc.servicers.method import Method
from authsvc.telemetry import ListenerCounters
from tests.support.builders import record
from tests.support.doors import (
    ALLOWED,
    AUTHENTICATE,
    AUTHORIZE,
    BATCH,
    CHECK,
    KEY,
    PATIENT,
    TIMEOUT,
    UNDECIDED,
    Answer,
    Door,
    Served,
    check_request,
    door,
    new_key,
    serving,
    until,
)

WHO = AuthenticateRequest(api="shop", credential=KEY).SerializeToString()
MAY = check_request(key=KEY).SerializeToString()
MANY = replace(PATIENT, loads=2000, waiting=2000, unknown_per_second=10_000)


def stalled(settings: CacheSettings = MANY) -> Door:
    """Return a door whose database takes every question and answers none."""
    built = door(settings=settings)
    built.store.open.clear()
    return built


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls wait for as long as a busy machine may need to begin them all."""
    monkeypatch.setattr(waits, "LONGEST_BUDGET", TIMEOUT)


async def many(served: Served, payload: bytes, count: int) -> list[asyncio.Task[Answer]]:
    """Begin many Checks over several connections: one carries 256 at once."""
    calls = []
    for first in range(0, count, 200):
        channel = grpc.aio.insecure_channel(served.address, [("grpc.use_local_subchannel_pool", 1)])
        client = Served(served.address, channel)
        calls += [asyncio.create_task(client.check(payload)) for _ in range(min(200, count - first))]
    return calls


async def code_of(call: Awaitable[bytes]) -> tuple[grpc.StatusCode, str | None]:
    """Return how a call ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, None


@pytest.mark.usefixtures("listener", "patient")
async def test_the_waiting_cap_refuses_at_once() -> None:
    """With 512 calls waiting the next is refused without waiting: a Check by a denial, an RPC by an error."""
    built = stalled()
    async with serving(built) as served:
        waiting = await many(served, MAY, waits.MAX_WAITING)
        await until(lambda: built.calls.in_flight == waits.MAX_WAITING)
        check, rpc = await served.check(MAY), await code_of(served.call(AUTHENTICATE, WHO))
        overloaded = built.calls.overloaded
        built.store.open.set()
        answers = await asyncio.gather(*waiting)
        after = await served.check(MAY)

    assert check.outcome == UNDECIDED
    assert check.headers["retry-after"] == "1"
    assert rpc == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests are waiting")
    assert {answer.outcome for answer in answers} == {ALLOWED}
    assert (after.outcome, overloaded, built.calls.in_flight) == (ALLOWED, 2, 0)


@pytest.mark.usefixtures("listener", "patient")
async def test_what_is_cached_is_answered_above_the_cap() -> None:
    """Only calls that wait can pile up; a hit does not."""
    built = door(settings=MANY)
    async with serving(built) as served:
        await served.check(MAY)
        built.store.open.clear()
        cold = check_request(key=new_key(seed=3)).SerializeToString()
        waiting = await many(served, cold, waits.MAX_WAITING)
        await until(lambda: built.calls.in_flight == waits.MAX_WAITING)

        assert (await served.check(MAY)).outcome == ALLOWED
        assert (await served.check(cold)).outcome == UNDECIDED
        built.store.open.set()
        await asyncio.gather(*waiting)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("seconds", [0.001, 0.015, 0.024], ids=["1ms", "15ms", "24ms"])
@pytest.mark.parametrize("warm", [True, False], ids=["cached", "cold"])
async def test_a_deadline_that_is_too_close(seconds: float, *, warm: bool) -> None:
    """Nothing that needs the database is begun, and what comes too late is no allow to anybody."""
    built = door()
    async with serving(built) as served:
        if warm:
            await served.check(MAY)
        loads = built.store.loads
        try:
            answer = await served.check(MAY, seconds)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017 - either way is fine
        else:
            assert answer.outcome == (ALLOWED if warm else UNDECIDED)

    assert built.store.loads == loads


class AbortedError(Exception):
    """The end of a call that has a status."""


@dataclass
class Call:
    """A call with so many seconds left."""

    seconds: float

    def time_remaining(self) -> float:
        """Return them."""
        return self.seconds

    async def abort(self, code: grpc.StatusCode, text: str) -> NoReturn:
        """End it."""
        raise AbortedError(code, text)


async def asked_with(seconds: float, of: Door, *methods: Method[Any]) -> list[bytes | tuple[grpc.StatusCode, str]]:
    """Put the question to each method as the standard listener does, and return its answer or status."""
    answers: list[bytes | tuple[grpc.StatusCode, str]] = []
    for method in methods:
        handle = standard._handler(method, of.calls, None)
        try:
            answers.append(await handle(MAY if method.path == CHECK else WHO, Call(seconds)))  # type: ignore[arg-type]  # as much of a context as is used
        except AbortedError as error:
            answers.append(error.args)  # type: ignore[arg-type]  # a code and a text
    return answers


async def test_a_call_that_cannot_end_in_time_is_not_begun() -> None:
    """The method is told of no question, and a backend is told to come back."""
    built = stalled()

    check, authenticate = await asked_with(0.024, built, *built.methods[:2])

    assert isinstance(check, bytes)
    assert Answer.of(check).outcome == UNDECIDED
    assert authenticate == (grpc.StatusCode.UNAVAILABLE, "the deadline is too close")
    assert (built.store.loads, built.calls.late, built.calls.in_flight) == (0, 2, 0)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("seconds", [1.0, None], ids=["1s", "none"])
async def test_a_database_that_never_answers(seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets a denial before its deadline, and without one after our own."""
    monkeypatch.setattr(waits, "LONGEST_BUDGET", 0.3)
    built = stalled()
    async with serving(built) as served:
        answer = await served.check(MAY, seconds)
        rpc = await code_of(served.call(AUTHENTICATE, WHO, seconds))
        built.store.open.set()

    assert answer.outcome == UNDECIDED
    assert rpc == (grpc.StatusCode.UNAVAILABLE, "keys cannot be checked right now")
    assert built.calls.in_flight == 0


@pytest.mark.usefixtures("listener")
async def test_a_short_deadline_and_a_database_that_never_answers() -> None:
    """Within Envoy's usual 200 ms the caller gets a denial, or on a busy machine nothing: never an allow."""
    built = stalled()
    async with serving(built) as served:
        try:
            outcome = (await served.check(MAY, 0.2)).outcome
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017 - either way is fine
        else:
            assert outcome == UNDECIDED
        await until(lambda: built.calls.in_flight == 0)
        built.store.open.set()


async def test_an_answer_after_the_deadline_is_a_denial() -> None:
    """A load that ignores its budget is not believed any more, whatever it found."""
    built = door(settings=PATIENT)

    async def slow(_: object, budget: float) -> bytes:
        await asyncio.sleep(budget + 2 * waits.DEADLINE_MARGIN)
        return MAY

    built.check.later = slow  # type: ignore[method-assign,assignment]

    (answer,) = await asked_with(0.030, built, built.check)

    assert isinstance(answer, bytes)
    assert Answer.of(answer).outcome == UNDECIDED
    assert built.calls.late == 1


@pytest.mark.usefixtures("listener", "patient")
async def test_a_thousand_clients_give_up() -> None:
    """Every cancelled call leaves no count and no task, and the next caller gets its own answer."""
    other = new_key(seed=4)
    built = stalled()
    built.store_key(other, record(id="key_other"))
    async with serving(built) as served:
        await served.ask()  # grpc begins tasks of its own with the first call
        before = len(asyncio.all_tasks())
        for _ in range(4):
            calls = [served.channel.unary_unary(CHECK)(MAY) for _ in range(250)]
            await until(lambda: built.calls.in_flight == 250)
            for call in calls:
                call.cancel()
            await until(lambda: built.calls.in_flight == 0)
        await until(lambda: built.calls.cancelled == 1000)
        built.store.open.set()
        answers = [await served.ask(key=key) for key in (KEY, other, KEY)]
        await until(lambda: len(asyncio.all_tasks()) <= before)

    assert [answer.headers["x-authsvc-key-id"] for answer in answers] == [record().id, "key_other", record().id]
    assert built.calls.in_flight == 0


@pytest.mark.usefixtures("listener", "patient")
async def test_a_cancelled_leader_does_not_take_the_others_along() -> None:
    """The client whose call began a load may leave; those who joined are answered."""
    built = stalled()
    async with serving(built) as served:
        leader = served.channel.unary_unary(CHECK)(MAY)
        await until(lambda: built.calls.in_flight == 1)
        others = [asyncio.create_task(served.check(MAY)) for _ in range(20)]
        await until(lambda: built.calls.in_flight == 21)
        leader.cancel()
        await until(lambda: built.calls.in_flight == 20)
        built.store.open.set()
        outcomes = {answer.outcome for answer in await asyncio.gather(*others)}

    assert (outcomes, built.store.loads) == ({ALLOWED}, 1)


async def test_a_message_too_large() -> None:
    """More than 256 KiB is refused before it is read."""
    async with serving(door()) as served:
        fits = await served.ask(key=KEY, headers={"x-note": "a" * 250 * 1024})
        code, _ = await code_of(served.call(CHECK, b"\0" * (256 * 1024 + 1)))
        after = await served.check(MAY)

    assert (fits.outcome, code, after.outcome) == (ALLOWED, grpc.StatusCode.RESOURCE_EXHAUSTED, ALLOWED)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
async def test_nothing_is_inflated(compression: grpc.Compression) -> None:
    """A compressed message could be a thousand times its size."""
    async with serving(door()) as served:
        code, _ = await code_of(served.call(CHECK, b"\0" * 10_000, compression=compression))
        after = await served.check(MAY)

    assert len(gzip.compress(b"\0" * 10_000)) < 100
    assert (code, after.outcome) == (grpc.StatusCode.UNIMPLEMENTED, ALLOWED)


UNKNOWN = [
    CHECK[1:],  # K3: without its slash
    "/" + CHECK,
    CHECK + "/",
    CHECK.lower(),
    CHECK.replace("v3", "v2"),
    "/",
    "/envoy.service.auth.v3.Authorization/",
    AUTHENTICATE.replace("v1", "v2"),
    "/authsvc.v1.AuthService/Explain",
    "/authsvc.v1.KeyService/CreateKey",  # I10
    "/authsvc.v1.OrganizationService/CreateOrganization",
    "/authsvc.v1.DecisionService/ExplainDecision",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",  # K11
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/grpc.admin.v1.Admin/Get",
]


@pytest.mark.parametrize("path", UNKNOWN)
async def test_no_other_path_is_answered(path: str, listener: str) -> None:
    """Method paths are compared exactly, and nothing but the data plane is here."""
    async with serving(door()) as served:
        code, _ = await code_of(served.call(path, MAY))

    # What is no path of HTTP/2 the fast listener's library answers with a reset.
    no_path = listener == "fast" and not path.startswith("/")
    assert code is (grpc.StatusCode.INTERNAL if no_path else grpc.StatusCode.UNIMPLEMENTED)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("path", [CHECK, AUTHENTICATE, AUTHORIZE, BATCH])
async def test_the_methods_that_are_there(path: str) -> None:
    """Empty bytes get an answer of the method's own."""
    async with serving(door()) as served:
        code, _ = await code_of(served.call(path, b""))

    assert code is (grpc.StatusCode.OK if path == CHECK else grpc.StatusCode.INVALID_ARGUMENT)


async def test_a_port_in_use() -> None:
    """A second server does not silently share the port."""
    async with serving(door()) as served:
        second = standard.new_server(options.DATA)
        with pytest.raises(StartupError, match=f"cannot listen on {served.address}: the address is in use or not ours"):
            standard.bind(second, served.address, None)


@pytest.mark.parametrize("address", ["192.0.2.1:0", "nonsense", "unix:/no/such/folder/socket"])
async def test_an_address_that_is_not_ours(address: str) -> None:
    """What cannot be bound is one line for the operator."""
    with pytest.raises(StartupError, match="cannot listen on"):
        standard.bind(standard.new_server(options.DATA), address, None)


async def test_the_bound_address_is_told() -> None:
    """Port 0 becomes the real one; a socket's path stays."""
    server = standard.new_server(options.DATA)

    assert standard.bind(server, "[::1]:0", None).startswith("[::1]:")
    assert not standard.bind(server, "127.0.0.1:0", None).endswith(":0")


@pytest.mark.usefixtures("listener", "patient")
async def test_calls_of_all_methods_are_counted_together() -> None:
    """One number says how many calls wait, whatever they ask."""
    built = stalled()
    async with serving(built) as served:
        calls = [asyncio.create_task(served.call(CHECK, MAY)), asyncio.create_task(served.call(AUTHENTICATE, WHO))]
        await until(lambda: built.calls.in_flight == 2)
        built.store.open.set()
        check, who = await asyncio.gather(*calls)

    assert Answer.of(check).outcome == ALLOWED
    assert AuthenticateResponse.FromString(who).decision.verdict == VERDICT_ALLOW
    assert not any(getattr(built.calls, name) for name in ListenerCounters.__slots__)


async def test_metadata_beyond_the_hard_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 16 KiB of metadata is refused; a client that stays small is served."""
    async with serving(door()) as served:
        large = await code_of(served.call(CHECK, MAY, metadata=(("x-note", "a" * 20_000),)))
        small = await code_of(served.call(CHECK, MAY, metadata=(("x-note", "a" * 4_000),)))

    assert (large[0], small[0]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK)
