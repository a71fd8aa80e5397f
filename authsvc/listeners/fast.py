"""
The fast listener: unary calls of the data plane, decided on the very thread that receives them.

For a proxy or a backend on this machine. HTTP/2 is spoken by threads of `pygrpc_native`; one thread of
ours takes their calls in batches and answers each at once. Only a call that must wait is handed to the
event loop, and answered from there. docs/decisions/0011 has the measurements.

`here` are the methods as the receiving thread asks them, `there` the same ones as the event loop does:
each counts for itself, so that no counter has two writers.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from authsvc.domain.errors import OverloadedError, StartupError
from authsvc.listeners import options, sockets
from authsvc.listeners import waiting as waits
from authsvc.servicers import faults
from authsvc.servicers.method import Method, Refusal, Waiting
from authsvc.telemetry import ListenerCounters

if TYPE_CHECKING:
    from pygrpc_native import NativeGrpcFront

_LOG = logging.getLogger(__name__)

MAX_BATCH = 64  # calls taken at once
QUIET = 0.1  # seconds without a call, after which nobody is on the way any more
_PAUSE = 0.01

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_LAST_RESORT = Refusal(*faults.status_of(BaseException()))

_Arrival = tuple[int, int, Waiting[Any], float]  # call, method, work, until when


class FastListener:
    """
    See the module. Everything but `_receive` and what it calls belongs to the event loop.

    `target` is bound when it is made (see `sockets.claimed`); with a `token` only those who present it
    may call. Raises `StartupError`.
    """

    def __init__(
        self,
        target: str,
        here: Sequence[Method[Any]],
        there: Sequence[Method[Any]],
        counters: ListenerCounters,
        *,
        token: bytes | None = None,
    ) -> None:
        self._front = bound(target, [method.path for method in here], token)
        self._target = target
        self._here = here
        self._there = there
        self._counters = counters
        self._counting = threading.Lock()  # of what both threads count
        self._thread = threading.Thread(target=self._run, name="fast-listener", daemon=True)
        self._batches = 0
        # The receiving thread adds, the event loop removes.
        self._waiting: set[int] = set()
        self._arrived: deque[_Arrival | int] = deque()  # calls that wait, and the ids of those given up
        self._woken = False
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        if self._target.startswith("unix:"):
            return self._target
        return f"{self._target.rpartition(':')[0]}:{self._front.bound_port}"

    def start(self) -> None:
        """Begin to answer; calls that wait are answered from the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._front.start()
        self._thread.start()

    async def close(self, within: float) -> None:
        """Close when no call is in flight or on its way, at the latest after `within` seconds."""
        end, seen, since = time.monotonic() + within, self._batches, time.monotonic()
        while time.monotonic() < end:
            if self._waiting or self._batches != seen:
                seen, since = self._batches, time.monotonic()
            elif time.monotonic() - since >= QUIET:
                break
            await asyncio.sleep(_PAUSE)
        self._front.close()
        await asyncio.to_thread(self._thread.join)
        self._take()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- on the receiving thread

    def _run(self) -> None:
        try:
            self._receive()
        except BaseException as error:  # noqa: BLE001 - a bug; nobody else would hear of it
            self._count_fault()
            faults.report(error)
        finally:
            # Clients must see that nobody answers any more; without this they would wait.
            self._front.close()

    def _receive(self) -> None:
        receive, respond = self._front.recv_batch, self._front.respond
        decide = [method.now for method in self._here]
        largest = options.DATA.receive_bytes
        while (events := receive(MAX_BATCH)) is not None:
            self._batches += 1
            for _, call, index, payload, timeout in events:
                if payload is None:
                    self._give_up(call)
                    continue
                try:
                    answer = decide[index](payload) if len(payload) <= largest else self._too_large(index)
                    if type(answer) is not bytes:
                        self._answer_otherwise(call, index, answer, timeout)
                    elif not respond(call, answer):
                        self._count_unsent()
                except BaseException as error:  # noqa: BLE001 - a handler that raises must answer, too
                    self._answer_fault(call, self._here[index], error)
            # Not kept until the next call comes: a message is as large as its sender likes.
            events = payload = None

    def _answer_otherwise(
        self, call: int, index: int, answer: bytes | Refusal | Waiting[Any], timeout: bytes | str | None
    ) -> None:
        if not isinstance(answer, Waiting):
            self._send(call, answer)
        elif len(self._waiting) >= waits.MAX_WAITING:
            # Only waiting calls can pile up: whatever can be answered at once was answered.
            self._counters.overloaded += 1
            self._send(call, self._here[index].fault(OverloadedError("too many requests are waiting")))
        else:
            self._waiting.add(call)
            self._hand_over((call, index, answer, time.monotonic() + waits.budget_of(_seconds(timeout))))

    def _too_large(self, index: int) -> bytes | Refusal:
        return self._here[index].fault(OverloadedError("the message is too large"))

    def _give_up(self, call: int) -> None:
        # Most were answered already, or never had to wait.
        if call in self._waiting:
            self._hand_over(call)

    def _hand_over(self, arrival: _Arrival | int) -> None:
        self._arrived.append(arrival)
        if not self._woken:  # one wake for many
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    # -- on the event loop

    def _take(self) -> None:
        # In this order: what arrives after the last look finds that it must wake us.
        self._woken = False
        while self._arrived:
            arrival = self._arrived.popleft()
            if isinstance(arrival, int):
                if (task := self._tasks.get(arrival)) is not None:
                    task.cancel()
                continue
            call, index, work, deadline = arrival
            task = self._tasks[call] = self._loop.create_task(self._wait(call, index, work, deadline))
            # Not in the task: one that is cancelled before it begins would never come to it.
            task.add_done_callback(functools.partial(self._settled, call))

    async def _wait(self, call: int, index: int, work: Waiting[Any], deadline: float) -> None:
        method = self._there[index]
        try:
            budget = deadline - time.monotonic()
            answer = await waits.answer_within(method, work, budget, self._counters)
        except BaseException as error:
            if waits.given_up(error):
                raise
            self._answer_fault(call, method, error)
        else:
            self._send(call, answer)

    def _settled(self, call: int, task: asyncio.Task[None]) -> None:
        del self._tasks[call]
        self._waiting.discard(call)
        self._counters.cancelled += task.cancelled()

    # -- on either thread

    def _answer_fault(self, call: int, method: Method[Any], error: BaseException) -> None:
        self._count_fault()
        try:
            answer = method.fault(error)
        except BaseException:  # noqa: BLE001 - the caller must be answered all the same
            answer = _LAST_RESORT
        self._send(call, answer)

    def _send(self, call: int, answer: bytes | Refusal) -> None:
        if isinstance(answer, Refusal):
            sent = self._front.fail(call, answer.code.value[0], answer.text)
        else:
            sent = self._front.respond(call, answer)
        if not sent:
            self._count_unsent()

    def _count_unsent(self) -> None:
        with self._counting:
            self._counters.unsent += 1

    def _count_fault(self) -> None:
        with self._counting:
            self._counters.faults += 1


def bound(target: str, paths: Sequence[str], token: bytes | None) -> NativeGrpcFront:
    """Bind the library's own server, which does not answer before it is started. Raises `StartupError`."""
    try:
        from pygrpc_native import NativeGrpcFront  # noqa: PLC0415 - an extra, which only this listener needs
    except ImportError:
        raise StartupError("AUTHSVC_FAST_LISTEN needs the extra `fast`: pip install 'authsvc[fast]'") from None
    try:
        with sockets.owners_mode():
            return NativeGrpcFront(
                target,
                [(path, False) for path in paths],
                client_key_metadata="grpc-timeout",  # handed over with each call, and nothing else of its metadata
                call_details=True,  # without it nobody tells of cancelled calls
                io_threads=1,  # two wake each other: a third more for each call
                bearer_token_sha256=None if token is None else [hashlib.sha256(token).digest()],
                keepalive_time_ms=60_000,
                keepalive_timeout_ms=10_000,
                max_concurrent_streams=options.STREAMS,
                max_metadata_size=options.METADATA,
            )
    except OSError:
        raise sockets.taken(target) from None


def _seconds(timeout: bytes | str | None) -> float | None:
    """Read a `grpc-timeout`; None where it is malformed or, which is told by a text, there is none."""
    match = _TIMEOUT.fullmatch(timeout) if isinstance(timeout, bytes) else None
    return None if match is None else int(match[1]) * _UNITS[match[2]]
