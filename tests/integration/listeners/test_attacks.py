"""What somebody who can reach a listener does to it, and what everybody else notices: nothing."""

from __future__ import annotations

import gzip
import itertools
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from tests.support import attacks, doors, service
from tests.support.attacks import Siege
from tests.support.doors import ALLOWED, CHECK, INVALID_KEY, UNDECIDED, Answer
from tests.support.http2 import END_HEADERS, Connection, Kind, call, frame, headers, message
from tests.support.service import MIB, Held, Service

TIMEOUT = 20.0  # seconds; a bound, not an expectation
ROOM = 20 * MIB  # that an attack may leave in use
MEANWHILE = 20  # questions that are answered during an attack


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One process for all attacks, so that what one leaves behind adds up."""
    with ExitStack() as stack:
        with few_descriptors():  # fewer than the connections of an attack; the service must ask for more
            running = stack.enter_context(service.service(tmp_path_factory.mktemp("attacked")))
        service.warm(running)
        yield running


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Let processes that are started in this block have 256 descriptors, until they ask for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Bystander:
    """A client that behaves: it asks about a good key and about one that is none, and keeps what it is told."""

    def __init__(self, target: str, may: bytes, may_not: bytes) -> None:
        self.told: Counter[tuple[bool, object]] = Counter()
        self._target = target
        self._questions = itertools.cycle([(True, may), (False, may_not)])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def wait(self) -> None:
        """Wait until it was answered a few times more."""
        enough, end = self.told.total() + MEANWHILE, time.monotonic() + TIMEOUT
        while self.told.total() < enough:
            assert time.monotonic() < end, self.told
            self._over.wait(0.001)

    def _ask(self) -> None:
        with grpc.insecure_channel(self._target) as channel:
            ask = channel.unary_unary(CHECK)
            while not self._over.is_set():
                good, question = next(self._questions)
                try:
                    self.told[good, Answer.of(ask(question, timeout=TIMEOUT)).outcome] += 1
                except grpc.RpcError as error:
                    self.told[good, error.code()] += 1  # type: ignore[attr-defined]

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the block ends."""
        self._thread.start()
        try:
            self.wait()
            yield
        finally:
            self._over.set()
            self._thread.join()


def bystander(served: Service, listener: str) -> Bystander:
    """Return a client of a listener, with the good key of the demo and one that has a wrong checksum."""
    return Bystander(served.targets[listener], service.check(served.keys.reader), service.check("shop_" + "0" * 38))


def asked(target: str, payload: bytes) -> object:
    """Ask on a connection of its own, and return the outcome."""
    with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return Answer.of(channel.unary_unary(CHECK)(payload, timeout=TIMEOUT)).outcome


def settled(served: Service, before: Held, room: int) -> tuple[bool, bool, float]:
    """Return whether sockets and memory are back, and how many calls still wait, once all is well or time is up."""
    end = time.monotonic() + TIMEOUT
    while True:
        held = served.held()
        seen = (held.sockets <= before.sockets, held.memory <= before.memory + room)
        waiting = served.metrics()["authsvc_listener_waiting"]
        if (all(seen) and not waiting) or time.monotonic() > end:
            return *seen, waiting
        time.sleep(0.02)


# What is kept, and used again when it is repeated: see docs/fast-listener.md.
KEPT = {
    ("standard", attacks.continuation_flood): 128 * MIB,
    ("standard", attacks.hpack_bomb): 256 * MIB,
    ("standard", attacks.closed_windows): 64 * MIB,
    ("fast", attacks.closed_windows): 64 * MIB,
}


@pytest.mark.parametrize("listener", doors.LISTENERS)
@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=lambda attack: attack.__name__.replace("_", "-"))
def test_nobody_else_notices(attack: Callable[[Siege], None], listener: str, served: Service) -> None:
    """Others are answered meanwhile, and rightly, newcomers too; afterwards nothing is left of it."""
    other = bystander(served, listener)
    before, faults = served.held(), served.metrics()["authsvc_listener_faults_total"]
    siege = Siege(served.targets[listener], service.check(served.keys.reader), service.unknown, other.wait)
    with other.asking(), siege.open:
        attack(siege)
        newcomer = asked(siege.target, siege.may)
    after = settled(served, before, KEPT.get((listener, attack), ROOM))

    assert newcomer == ALLOWED
    answers = {told for told in other.told if not isinstance(told[1], grpc.StatusCode)}
    assert answers == {(True, ALLOWED), (False, INVALID_KEY)}
    # Calls that wait for long on a busy machine grpc.aio may give up; what it answers is right all the same.
    assert listener == "standard" or answers == other.told.keys()
    assert after == (True, True, 0)
    assert served.metrics()["authsvc_listener_faults_total"] == faults
    assert served.alive


def test_what_was_inflated_is_not_kept(served: Service) -> None:
    """Neither is the message of the last call, when no other comes after it."""
    bomb = message(gzip.compress(bytes(64 * MIB)), compressed=True)
    before = served.held()
    with Connection(served.targets["fast"], timeout=TIMEOUT) as connection:
        connection.send(frame(Kind.HEADERS, END_HEADERS, 1, headers(CHECK, ("grpc-encoding", "gzip"))))
        connection.upload(1, bomb)
        answer = connection.answers([1])[1]

    assert Answer.of(answer[5:]).outcome == UNDECIDED
    assert settled(served, before, ROOM) == (True, True, 0)


def larger(payload: bytes) -> bytes:
    """Return the same message with a field of 257 KiB that the protocol does not know."""
    return payload + b"\xfa\x3f" + b"\x80\x88\x10" + bytes(0x40400)


ANSWERED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "257-kib": (lambda may: message(larger(may)), ""),
    "257-kib-of-gzip": (lambda may: message(gzip.compress(larger(may)), compressed=True), "gzip"),
    "gzip-without-its-name": (lambda may: message(gzip.compress(may), compressed=True), ""),
    "no-gzip": (lambda may: message(may, compressed=True), "gzip"),
    "half": (lambda may: message(may)[: len(may) // 2], ""),
    "length-of-4-gib": (lambda may: message(may, length=2**32 - 1), ""),
    "a-byte-less": (lambda may: message(may, length=len(may) - 1), ""),
    "a-byte-more": (lambda may: message(may, length=len(may) + 1), ""),
    "nothing": (lambda _: b"", ""),
}


@pytest.mark.parametrize("listener", doors.LISTENERS)
@pytest.mark.parametrize(("sent", "encoding"), [pytest.param(*case, id=name) for name, case in ANSWERED.items()])
def test_no_allow_for_what_is_no_message(
    sent: Callable[[bytes], bytes], encoding: str, listener: str, served: Service
) -> None:
    """The same question that is allowed when it is put properly."""
    may = service.check(served.keys.reader)
    # Of half a message the standard listener says nothing until its peer leaves.
    with Connection(served.targets[listener], timeout=1) as connection:
        block = headers(CHECK, *([("grpc-encoding", encoding)] if encoding else []))
        connection.send(frame(Kind.HEADERS, END_HEADERS, 1, block))
        connection.upload(1, sent(may))
        odd = connection.answers([1])[1]
    with Connection(served.targets[listener]) as connection:
        connection.send(call(1, CHECK, may))
        proper = connection.answers([1])[1]

    assert not odd or not Answer.of(odd[5:]).allowed
    assert Answer.of(proper[5:]).allowed
