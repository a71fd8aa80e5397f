"""What only the fast listener does: its thread, its address, its token, what it hands to the event loop and back."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authsvc.domain.errors import StartupError
from authsvc.listeners import fast
from authsvc.listeners import waiting as waits
from authsvc.listeners.fast import FastListener
from authsvc.servicers.health import DATASTORE, Health, HealthCheck
from authsvc.servicers.method import Refusal, Waiting
from authsvc.telemetry import ListenerCounters
from tests.integration.listeners.scripted import PATH, Scripted, call, serving
from tests.support import doors
from tests.support.doors import ALLOWED, AUTHENTICATE, CHECK, KEY, TIMEOUT, UNDECIDED, check_request, door, until

MAY = check_request(key=KEY).SerializeToString()


def failing(error: BaseException) -> Callable[[bytes], bytes]:
    """Return what raises."""

    def fail(_: bytes) -> bytes:
        raise error

    return fail


async def in_vain() -> bytes:
    """Wait for ever."""
    return await asyncio.get_running_loop().create_future()


ERRORS = [ValueError("secret"), KeyboardInterrupt("secret"), SystemExit("secret"), asyncio.CancelledError("secret")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_method_that_raises_answers(error: BaseException) -> None:
    """On the receiving thread nothing may end it: the caller gets the fault's answer, and so does the next."""
    async with serving(Scripted(failing(error))) as (counters, channel, _):
        answers = [await call(channel), await call(channel)]

    assert ([b"fault"] * 2, 2) == (answers, counters.faults)


@pytest.mark.parametrize("error", ERRORS[:1], ids=lambda error: type(error).__name__)
async def test_a_method_that_cannot_even_render_its_fault_answers(error: BaseException) -> None:
    """The caller gets a fixed text."""
    async with serving(Scripted(failing(error), fault=b"")) as (counters, channel, _):
        answers = [await call(channel), await call(channel)]

    assert [(grpc.StatusCode.INTERNAL, "internal error")] * 2 == answers
    assert counters.faults == 2


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()], ids=["value", "cancelled"])
async def test_a_wait_that_raises_answers(error: BaseException) -> None:
    """What fails on the event loop is answered, and what is cancelled there by others, too."""

    async def fail() -> bytes:
        raise error

    async with serving(Scripted(lambda _: Waiting(None), fail)) as (counters, channel, listener):
        answer = await call(channel)
        await until(lambda: not listener._waiting)

    assert (b"fault", 1, 0) == (answer, counters.faults, counters.in_flight)
    assert not listener._tasks


async def test_an_answer_that_nobody_takes_is_counted() -> None:
    """The caller left while its call was decided."""
    began, left = threading.Event(), threading.Event()

    def slow(_: bytes) -> bytes:
        began.set()
        left.wait(TIMEOUT)
        return b"late"

    async with serving(Scripted(slow)) as (counters, channel, _):
        calling = channel.unary_unary(PATH)(b"")
        waiting = asyncio.ensure_future(calling.code())
        await asyncio.to_thread(began.wait, TIMEOUT)
        calling.cancel()
        await waiting
        gone = asyncio.ensure_future(call(channel, path="/nobody.Nobody/Nobody"))  # after the cancellation, on the wire
        await gone
        left.set()
        await until(lambda: counters.unsent)

    assert (1, 0, 0) == (counters.unsent, counters.faults, counters.cancelled)


class FakeFront:
    """Hands out prepared batches, then waits to be closed; keeps what was sent."""

    def __init__(self, *batches: list[tuple[int, int, int, bytes | None, bytes | str | None]]) -> None:
        self._batches = list(batches)
        self._closed = threading.Event()
        self.sent: list[tuple[int, Any]] = []

    def start(self) -> None:
        """Do nothing."""

    def recv_batch(self, _: int) -> list[Any] | None:
        """Return the next batch."""
        if self._batches:
            return self._batches.pop(0)
        self._closed.wait(TIMEOUT)
        return None

    def respond(self, call_id: int, payload: bytes) -> bool:
        """Keep an answer."""
        self.sent.append((call_id, payload))
        return True

    def fail(self, call_id: int, code: int, message: str) -> bool:
        """Keep a refusal."""
        self.sent.append((call_id, (code, message)))
        return True

    def close(self) -> None:
        """Let the receiver go."""
        self._closed.set()


@asynccontextmanager
async def fed(
    method: Any, monkeypatch: pytest.MonkeyPatch, *batches: Any
) -> AsyncIterator[tuple[FakeFront, ListenerCounters, FastListener]]:
    """Run the listener on prepared batches."""
    front, counters = FakeFront(*batches), ListenerCounters()
    monkeypatch.setattr(fast, "bound", lambda *_: front)
    listener = FastListener("x", (method,), (method,), counters)
    listener.start()
    try:
        yield front, counters, listener
    finally:
        await listener.close(0)


@pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
async def test_a_call_that_is_cancelled_before_it_waits(monkeypatch: pytest.MonkeyPatch, *, together: bool) -> None:
    """Its task is cancelled before its first step; it still leaves every table."""
    arrives, leaves = (0, 1, 0, b"", "peer"), (1, 1, 0, None, None)
    batches = ([[arrives, leaves]],) if together else ([[arrives], [leaves]],)
    async with fed(Scripted(lambda _: Waiting(None), in_vain), monkeypatch, *batches[0]) as (front, counters, listener):
        await until(lambda: counters.cancelled)

        assert (set(), {}, 0) == (listener._waiting, listener._tasks, counters.in_flight)
        assert front.sent == []


async def test_more_calls_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The surplus is refused at once, even when the event loop does not come to look."""
    calls = [(0, number, 0, b"", "peer") for number in range(waits.MAX_WAITING + 3)]
    method = Scripted(lambda _: Waiting(None), in_vain, Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"))
    async with fed(method, monkeypatch, calls) as (front, counters, listener):
        while len(front.sent) < 3:  # the loop does not turn meanwhile
            threading.Event().wait(0.001)
        refused = list(front.sent)
        await until(lambda: counters.in_flight == waits.MAX_WAITING)

    assert [(number, (8, "full")) for number in range(waits.MAX_WAITING, waits.MAX_WAITING + 3)] == refused
    assert (3, 0, set(), {}) == (counters.overloaded, counters.in_flight, listener._waiting, listener._tasks)


async def test_one_wake_takes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop is not woken for each call."""
    woken = []
    async with fed(Scripted(lambda _: Waiting(None), in_vain), monkeypatch) as (_, counters, listener):
        take = listener._take
        monkeypatch.setattr(listener, "_take", lambda: (woken.append(1), take()))
        for number in range(10):
            listener._answer_otherwise(number, 0, Waiting(None), "peer")
        await until(lambda: counters.in_flight == 10)
        monkeypatch.undo()

    assert len(woken) == 1


class BrokenFront(FakeFront):
    """Fails at its second batch."""

    def recv_batch(self, most: int) -> list[Any] | None:
        """Return the only batch, then raise."""
        if not self._batches:
            raise ValueError("secret")
        return super().recv_batch(most)


async def test_a_bug_in_the_receiver_does_not_leave_clients_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When its thread ends, so do the connections; the log has the fault's kind and place."""
    monkeypatch.setattr(sys.modules[__name__], "FakeFront", BrokenFront)
    async with fed(Scripted(lambda _: b""), monkeypatch, [(0, 1, 0, b"", "peer")]) as (front, counters, listener):
        await asyncio.to_thread(listener._thread.join, TIMEOUT)

        assert front._closed.is_set()
    assert [(1, b"")] == front.sent
    assert counters.faults == 1
    assert "unexpected fault" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param(b"250m", 0.25, id="milliseconds"),
        pytest.param(b"2S", 2.0, id="seconds"),
        pytest.param(b"1M", 60.0, id="minutes"),
        pytest.param(b"1H", 3600.0, id="hours"),
        pytest.param(b"5000u", 0.005, id="microseconds"),
        pytest.param(b"99999999n", 0.099999999, id="nanoseconds"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"100", None, id="no-unit"),
        pytest.param(b"m", None, id="no-number"),
        pytest.param(b"-1S", None, id="negative"),
        pytest.param(b"1.5S", None, id="fraction"),
        pytest.param(b"999999999m", None, id="nine-digits"),
        pytest.param(b"1S\n", None, id="line-break"),
        pytest.param("1S", None, id="the-peer-as-text"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_what_a_timeout_says(text: bytes | str | None, seconds: float | None) -> None:
    """A malformed one counts as none, and then our own bound holds."""
    assert seconds == pytest.approx(fast._seconds(text))


async def test_a_message_too_large() -> None:
    """More than 256 KiB is refused before it is read: a Check by a denial, an RPC by an error."""
    built = door()
    listener = FastListener("127.0.0.1:0", built.methods, built.methods, built.calls)
    listener.start()
    async with grpc.aio.insecure_channel(listener.address) as channel:
        fits = check_request(key=KEY, headers={"x-note": "a" * 250 * 1024}).SerializeToString()
        large = b"\0" * (256 * 1024 + 1)
        answers = [await call(channel, payload, CHECK) for payload in (fits, large, MAY)]
        rpc = await call(channel, large, AUTHENTICATE)
    await listener.close(0)

    assert [ALLOWED, UNDECIDED, ALLOWED] == [doors.Answer.of(a).outcome for a in answers if isinstance(a, bytes)]
    assert rpc == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is too large")


async def test_only_who_has_the_token_is_answered() -> None:
    """Without it, with a part of it, and with more than it: UNAUTHENTICATED."""
    token = "t" * 40
    tried = [None, "", token, f"Bearer {token[:-1]}", f"Bearer {token}t", f"Bearer {token}"]
    async with serving(Scripted(lambda _: b"in"), token.encode()) as (_, channel, __):
        metadata = [() if value is None else (("authorization", value),) for value in tried]
        answers = [await call(channel, metadata=each) for each in metadata]

    refused = [answer[0] if isinstance(answer, tuple) else answer for answer in answers]
    assert [grpc.StatusCode.UNAUTHENTICATED] * 5 + [b"in"] == refused


async def test_health_from_start_to_drain() -> None:
    """Envoy asks here what it asks the standard listener."""
    health = Health()
    seen = []
    async with serving(HealthCheck(health)) as (_, channel, __):
        check = health_pb2_grpc.HealthStub(channel).Check

        async def status(name: str = "") -> int:
            answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT)
            return int(answer.status)

        for step in (health.start(), health.database(answers=True), health.database(answers=False), health.drain()):
            await step
            seen.append((await status(), await status(DATASTORE)))
        await health.database(answers=True)
        seen.append((await status(), await status(DATASTORE)))
        unknown = await call(channel, b"\x0a\x01x", HealthCheck.path)
        garbage = await call(channel, b"\xff", HealthCheck.path)

    assert [(2, 2), (1, 1), (1, 2), (2, 2), (2, 2)] == seen
    assert unknown == (grpc.StatusCode.NOT_FOUND, "unknown service")
    assert garbage == (grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read")


async def test_closing_waits_for_calls_in_flight() -> None:
    """A call that waits is answered; then the connection ends and the thread with it."""
    ready = asyncio.Event()

    async def wait() -> bytes:
        await ready.wait()
        return b"answered"

    async with serving(Scripted(lambda _: Waiting(None), wait)) as (counters, channel, listener):
        calling = asyncio.create_task(call(channel))
        await until(lambda: counters.in_flight == 1)
        closing = asyncio.create_task(listener.close(TIMEOUT))
        second = asyncio.create_task(call(channel))
        await until(lambda: counters.in_flight == 2)
        ready.set()
        answers = [await calling, await second]
        await closing

        assert [b"answered"] * 2 == answers
        assert not listener._thread.is_alive()


async def test_closing_does_not_wait_for_ever() -> None:
    """What is not answered within the bound is given up, and nothing stays behind."""
    async with serving(Scripted(lambda _: Waiting(None), in_vain)) as (counters, channel, listener):
        calling = asyncio.create_task(call(channel))
        await until(lambda: counters.in_flight == 1)
        await listener.close(0.05)
        answer = await calling

        assert isinstance(answer, tuple)
        assert (set(), {}, 0) == (listener._waiting, listener._tasks, counters.in_flight)


# -- the address


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start ends in one line that says what to install."""
    monkeypatch.setitem(sys.modules, "pygrpc_native", None)
    with pytest.raises(
        StartupError, match=r"AUTHSVC_FAST_LISTEN needs the extra `fast`: pip install 'authsvc\[fast\]'"
    ):
        FastListener("127.0.0.1:0", (), (), ListenerCounters())
