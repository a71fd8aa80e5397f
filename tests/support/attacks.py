"""
What somebody who can reach a listener may do to it, each a function, bounded in count and time.

An attack opens connections of the `Siege` and calls `hold` when it does most harm: there others ask.
Its connections are closed afterwards, without a word.
"""

from __future__ import annotations

import gzip
import random
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.support import http2
from tests.support.doors import CHECK
from tests.support.http2 import END_HEADERS, PREFACE, Connection, Kind, call, data, frame, headers, message

KIB = 1024
STREAMS = http2.streams(250)  # as many as a listener takes at once, nearly
FIRST = http2.streams(1)[0]


@dataclass
class Siege:
    """Where an attack happens and what it may use."""

    target: str
    may: bytes  # a Check that is allowed
    unknown: Callable[[], bytes]  # makes a Check of a key that nobody has seen
    hold: Callable[[], None]  # returns when others were answered meanwhile
    open: ExitStack = field(default_factory=ExitStack)

    def connect(self, start: bytes = PREFACE + frame(Kind.SETTINGS)) -> Connection:
        """Open a connection."""
        return self.open.enter_context(Connection(self.target, start))

    def flood(self, piece: bytes, times: int, start: bytes = b"") -> None:
        """Send the same again and again on one connection, for as long as it is taken."""
        connection = self.connect()
        connection.send(start)
        for number in range(times):
            if not connection.send(piece):
                break
            if number == times // 2:
                self.hold()
        self.hold()


def rapid_reset(siege: Siege) -> None:
    """20,000 calls that are cancelled in the same breath."""
    block = headers(CHECK)
    connection = siege.connect()
    for first in range(0, 20_000, 500):
        ids = range(2 * first + 1, 2 * first + 1001, 2)
        if not connection.send(*(frame(Kind.HEADERS, END_HEADERS, at, block) + http2.reset(at) for at in ids)):
            break
        if first == 10_000:
            siege.hold()
    siege.hold()


def whole_calls_reset(siege: Siege) -> None:
    """5,000 whole calls, each cancelled before its answer is read."""
    connection = siege.connect()
    for first in range(0, 5_000, 100):
        ids = range(2 * first + 1, 2 * first + 201, 2)
        if not connection.send(*(call(at, CHECK, siege.may) + http2.reset(at) for at in ids)):
            break
    siege.hold()


def continuation_flood(siege: Siege) -> None:
    """A header block that never ends: 64 MiB of CONTINUATION."""
    siege.flood(
        frame(Kind.CONTINUATION, stream=1, payload=http2.literal("x-a", "a" * 16_000)),
        4_000,
        start=frame(Kind.HEADERS, stream=1, payload=headers(CHECK)),
    )


def empty_continuation_flood(siege: Siege) -> None:
    """100,000 CONTINUATION frames of nothing."""
    siege.flood(frame(Kind.CONTINUATION, stream=1) * 100, 1_000, frame(Kind.HEADERS, stream=1, payload=headers(CHECK)))


def settings_flood(siege: Siege) -> None:
    """50,000 SETTINGS, whose acknowledgements nobody reads."""
    siege.flood(http2.setting(http2.INITIAL_WINDOW, 65_535) * 100, 500)


def ping_flood(siege: Siege) -> None:
    """100,000 PINGs, whose answers nobody reads."""
    siege.flood(frame(Kind.PING, payload=bytes(8)) * 100, 1_000)


def priority_flood(siege: Siege) -> None:
    """100,000 PRIORITY frames."""
    siege.flood(frame(Kind.PRIORITY, stream=1, payload=struct.pack(">IB", 3, 1)) * 100, 1_000)


def hpack_bomb(siege: Siege) -> None:
    """Headers of 60 MiB in 16 KiB, twenty times: one large entry of the table, named again and again."""
    enters = headers(CHECK) + http2.literal("x-a", "a" * 3_900, kept=True)
    names = headers(CHECK) + b"\xbe" * 15_000  # the first entry of the dynamic table
    connection = siege.connect()
    connection.send(frame(Kind.HEADERS, END_HEADERS, 1, enters) + data(1, message(siege.may)))
    for at in STREAMS[1:21]:
        if not connection.send(frame(Kind.HEADERS, END_HEADERS, at, names) + data(at, message(siege.may))):
            break
    siege.hold()


def huge_length(siege: Siege) -> None:
    """Messages that are said to have 4 GiB, on every stream of four connections, and then silence."""
    for _ in range(4):
        starts = (
            frame(Kind.HEADERS, END_HEADERS, at, headers(CHECK))
            + data(at, message(bytes(200), length=2**32 - 1), end=False)
            for at in STREAMS
        )
        siege.connect().send(*starts)
    siege.hold()


def too_large(siege: Siege) -> None:
    """Twenty messages of 257 KiB, sent as the windows open; none is an allow."""
    for _ in range(20):
        connection = siege.connect()
        connection.send(frame(Kind.HEADERS, END_HEADERS, FIRST, headers(CHECK)))
        connection.upload(FIRST, message(siege.may + bytes(257 * KIB)))
    siege.hold()


def half_message(siege: Siege) -> None:
    """Half a message on every stream, then silence."""
    half = message(siege.may)[: len(siege.may) // 2]
    starts = (frame(Kind.HEADERS, END_HEADERS, at, headers(CHECK)) + data(at, half, end=False) for at in STREAMS)
    siege.connect().send(*starts)
    siege.hold()


def gzip_bomb(siege: Siege) -> None:
    """32 KiB that inflate to 32 MiB, four times at once."""
    bomb = message(gzip.compress(bytes(32 * KIB * KIB)), compressed=True)
    for _ in range(4):
        connection = siege.connect()
        connection.send(frame(Kind.HEADERS, END_HEADERS, FIRST, headers(CHECK, ("grpc-encoding", "gzip"))))
        connection.upload(FIRST, bomb)
    siege.hold()


def ten_thousand_streams(siege: Siege) -> None:
    """10,000 calls begun on one connection and never ended."""
    block = headers(CHECK)
    connection = siege.connect()
    for first in range(0, 10_000, 500):
        ids = range(2 * first + 1, 2 * first + 1001, 2)
        if not connection.send(*(frame(Kind.HEADERS, END_HEADERS, at, block) for at in ids)):
            break
    siege.hold()


def idle_connections(siege: Siege) -> None:
    """500 connections of which half say nothing at all, and half no more than that they are HTTP/2."""
    for number in range(500):
        siege.connect(b"" if number % 2 else PREFACE + frame(Kind.SETTINGS))
    siege.hold()


def slow_headers(siege: Siege) -> None:
    """Header blocks that come byte by byte on fifty connections."""
    whole = frame(Kind.HEADERS, END_HEADERS, 1, headers(CHECK))
    connections = [siege.connect() for _ in range(50)]
    for at in range(20):
        for connection in connections:
            connection.send(whole[at : at + 1])
    siege.hold()


def closed_windows(siege: Siege) -> None:
    """Calls of a peer that lets no byte of the answers through: a window of 0, on ten connections."""
    for _ in range(10):
        connection = siege.connect(PREFACE + http2.setting(http2.INITIAL_WINDOW, 0))
        connection.send(*(call(at, CHECK, siege.may) for at in STREAMS))
        siege.hold()  # so that it is no mere burst


def never_reads(siege: Siege) -> None:
    """Calls of a peer with wide open windows that reads nothing."""
    wide = PREFACE + http2.setting(http2.INITIAL_WINDOW, 2**31 - 1)
    connection = siege.connect(wide + frame(Kind.WINDOW_UPDATE, payload=struct.pack(">I", 2**31 - 1 - http2.WINDOW)))
    for first in range(0, 10_000, 200):
        ids = range(2 * first + 1, 2 * first + 401, 2)
        if not connection.send(*(call(at, CHECK, siege.may) for at in ids)):
            break
    siege.hold()


def cancelled(siege: Siege) -> None:
    """Calls that are cancelled at each moment of their life, on a connection for each moment."""
    block, sent = headers(CHECK), message(siege.may)
    opened = {at: frame(Kind.HEADERS, END_HEADERS, at, block) for at in STREAMS}
    moments: tuple[Callable[[int], bytes], ...] = (
        lambda at: frame(Kind.HEADERS, stream=at, payload=block[:40]),  # before the headers end
        lambda at: opened[at],
        lambda at: opened[at] + data(at, sent[:3], end=False),
        lambda at: opened[at] + data(at, sent[:200], end=False),
        lambda at: opened[at] + data(at, sent, end=False),
        lambda at: opened[at] + data(at, sent),
    )
    for moment in moments:
        siege.connect().send(*(moment(at) + http2.reset(at) for at in STREAMS))
    after = siege.connect()
    for at in STREAMS[:20]:
        after.send(call(at, CHECK, siege.may))
        after.answers([at])
        after.send(http2.reset(at))
    siege.hold()


def cancelled_misses(siege: Siege) -> None:
    """Calls for keys that nobody has seen, cancelled while these are loaded."""
    connection = siege.connect()
    for number, first in enumerate(range(0, 100, 5)):
        ids = STREAMS[first : first + 5]
        connection.send(*(call(at, CHECK, siege.unknown()) for at in ids))
        time.sleep(number * 0.000_25)  # a later moment each time
        connection.send(*map(http2.reset, ids))
    siege.hold()


def large_metadata(siege: Siege) -> None:
    """48 KiB and 200 KiB of metadata, in HEADERS and CONTINUATION."""
    for size in (48, 200):
        for _ in range(10):
            block = headers(CHECK, *((f"x-{number}", "v" * 1_000) for number in range(size)))
            pieces = [block[at : at + http2.PIECE] for at in range(0, len(block), http2.PIECE)]
            frames = [frame(Kind.HEADERS, stream=FIRST, payload=pieces[0])]
            frames += [frame(Kind.CONTINUATION, stream=FIRST, payload=piece) for piece in pieces[1:-1]]
            frames += [frame(Kind.CONTINUATION, END_HEADERS, FIRST, pieces[-1]), data(FIRST, message(siege.may))]
            connection = siege.connect()
            connection.send(*frames)
            connection.answers([FIRST])
    siege.hold()


TIMEOUTS = (
    "",
    "1",
    "m",
    "-1S",
    "+1S",
    "1.5S",
    "1s",
    "123456789m",
    "1S ",
    "0x1S",
    "1e9H",
    "\u00b2S",
    "99999999H",
    "0n",
    "1S1S",
)


def malformed_timeouts(siege: Siege) -> None:
    """Every way to write a grpc-timeout wrong, and the shortest and the longest right one."""
    for text in TIMEOUTS:
        connection = siege.connect()
        for at in STREAMS[:2]:
            connection.send(call(at, CHECK, siege.may, ("grpc-timeout", text)))
        connection.answers(STREAMS[:2])
    siege.hold()


def no_http2(siege: Siege) -> None:
    """Noise, HTTP/1.1, TLS, half a preface, and frames that claim more than there is, in place of a preface."""
    noise = random.Random(1).randbytes(64 * KIB)
    openings = (
        noise,
        bytes(1_000),
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"a" * 64 * KIB,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise[:500],
        PREFACE[:10],
        PREFACE + noise,
        PREFACE + b"\xff\xff\xff" + bytes(6) + noise,
        PREFACE + frame(Kind.DATA, stream=1, payload=noise[:100]),
        PREFACE + frame(Kind.WINDOW_UPDATE, payload=bytes(4)),
        PREFACE + frame(Kind.SETTINGS, payload=b"\0"),
        PREFACE + frame(Kind.SETTINGS) + frame(Kind.HEADERS, END_HEADERS, 1, noise[:200]),
        PREFACE + frame(Kind.SETTINGS) + frame(Kind.HEADERS, END_HEADERS, 2, headers(CHECK)),
    )
    for opening in openings * 5:
        siege.connect(opening)
    siege.hold()


ATTACKS: tuple[Callable[[Siege], None], ...] = (
    rapid_reset,
    whole_calls_reset,
    continuation_flood,
    empty_continuation_flood,
    settings_flood,
    ping_flood,
    priority_flood,
    hpack_bomb,
    huge_length,
    too_large,
    half_message,
    gzip_bomb,
    ten_thousand_streams,
    idle_connections,
    slow_headers,
    closed_windows,
    never_reads,
    cancelled,
    cancelled_misses,
    large_metadata,
    malformed_timeouts,
    no_http2,
)
