"""
HTTP/2 as no library lets one speak it: every frame is put together by hand.

Header blocks are literals without indexing, which any peer must understand; answers are not decompressed.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
CANCEL = 8  # the code of a reset
INITIAL_WINDOW = 4  # the setting
PIECE = 16_384  # bytes of a frame's payload that every peer takes
WINDOW = 65_535  # bytes that may be sent before the peer says more
TIMEOUT = 5.0  # seconds, for the peer to say anything
PATIENCE = 0.5  # for it to take anything


class Kind(IntEnum):
    """The frames' types."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


@dataclass(frozen=True)
class Frame:
    """One frame of the peer's."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: Kind, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame: nine bytes of header, then the payload."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(name: int, value: int) -> bytes:
    """Return a SETTINGS frame of one entry."""
    return frame(Kind.SETTINGS, payload=struct.pack(">HI", name, value))


def reset(stream: int) -> bytes:
    """Return a frame that cancels a stream."""
    return frame(Kind.RST_STREAM, stream=stream, payload=struct.pack(">I", CANCEL))


def literal(name: str, value: str, *, kept: bool = False) -> bytes:
    """Return one header for a block; `kept`: the peer enters it in its table."""
    texts = b"".join(_length(len(text)) + text.encode() for text in (name, value))
    return (b"\x40" if kept else b"\x00") + texts


def headers(path: str, *more: tuple[str, str]) -> bytes:
    """Return the header block of a call."""
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
    return b"".join(literal(*pair) for pair in [*pairs, ("content-type", "application/grpc"), *more])


def message(payload: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """Return a gRPC message with its prefix, which may tell another length."""
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


def data(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    """Return as many DATA frames as the payload takes."""
    pieces = [payload[at : at + PIECE] for at in range(0, len(payload), PIECE)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frame(Kind.DATA, END_STREAM if end and number == last else 0, stream, piece)
        for number, piece in enumerate(pieces)
    )


def call(stream: int, path: str, payload: bytes, *more: tuple[str, str]) -> bytes:
    """Return a whole unary call whose message is no larger than a window."""
    return frame(Kind.HEADERS, END_HEADERS, stream, headers(path, *more)) + data(stream, message(payload))


def streams(count: int) -> range:
    """Return the ids of a client's first streams."""
    return range(1, 2 * count, 2)


class Connection:
    """
    A connection to a Unix socket or to `host:port`.

    The peer may close it at any time; that is no error here, but the end: `send` returns False, `frames` ends.
    """

    def __init__(self, target: str, start: bytes = PREFACE + frame(Kind.SETTINGS), *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        if target.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(TIMEOUT)  # beyond its backlog a server lets clients wait
            self._socket.connect(target.removeprefix("unix:"))
        else:
            host, _, port = target.rpartition(":")
            self._socket = socket.create_connection((host, int(port)), TIMEOUT)
        self._read = b""
        self.send(start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def send(self, *frames: bytes) -> bool:
        """Send, and return whether the peer took all of it."""
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.sendall(b"".join(frames))
        except OSError:
            return False
        return True

    def frames(self) -> Iterator[Frame]:
        """Yield what the peer says, until it closes or says nothing for `timeout` seconds."""
        while (head := self._take(9)) is not None:
            length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + head)
            payload = self._take(length)
            if payload is None:
                return
            yield Frame(kind, flags, stream, payload)

    def upload(self, stream: int, payload: bytes) -> bool:
        """Send DATA of any size as the peer opens its windows, and end the stream; False where it refuses the rest."""
        rooms = {0: WINDOW, stream: WINDOW}
        heard = self.frames()
        if not payload:
            return self.send(data(stream, b""))
        while payload:
            room = min(*rooms.values(), len(payload))
            if room > 0:
                if not self.send(data(stream, payload[:room], end=room == len(payload))):
                    return False
                payload = payload[room:]
                for of in rooms:
                    rooms[of] -= room
            else:
                said = next(heard, None)
                if not _opened(said, rooms, stream):
                    return False
                if said is not None and said.kind == Kind.SETTINGS and not said.flags & ACK:
                    self.send(frame(Kind.SETTINGS, ACK))  # before this the peer insists on the old windows
        return True

    def answers(self, wanted: Iterable[int]) -> dict[int, bytes]:
        """Return each stream's DATA once all of them have ended, or the connection has."""
        left, told = set(wanted), dict.fromkeys(wanted, b"")
        for heard in self.frames() if left else ():
            if heard.stream in left and heard.kind == Kind.DATA:
                told[heard.stream] += heard.payload
            ends = heard.kind in {Kind.DATA, Kind.HEADERS} and heard.flags & END_STREAM
            if ends or heard.kind == Kind.RST_STREAM:
                left.discard(heard.stream)
            if not left or heard.kind == Kind.GOAWAY:
                break
        return told

    def _take(self, length: int) -> bytes | None:
        while len(self._read) < length:
            try:
                self._socket.settimeout(self._timeout)
                piece = self._socket.recv(65_536)
            except OSError:
                return None
            if not piece:
                return None
            self._read += piece
        taken, self._read = self._read[:length], self._read[length:]
        return taken


def _opened(heard: Frame | None, rooms: dict[int, int], stream: int) -> bool:
    """Note a larger window; False where nothing more may be sent."""
    if heard is None or heard.kind == Kind.GOAWAY or (heard.kind == Kind.RST_STREAM and heard.stream == stream):
        return False
    if heard.kind == Kind.WINDOW_UPDATE and heard.stream in rooms:
        rooms[heard.stream] += struct.unpack(">I", heard.payload)[0]
    if heard.kind == Kind.SETTINGS:
        for name, value in struct.iter_unpack(">HI", heard.payload):
            if name == INITIAL_WINDOW:
                rooms[stream] += value - WINDOW
    return True


def _length(count: int) -> bytes:
    # An integer with a prefix of seven bits.
    if count < 0x7F:
        return bytes([count])
    rest, told = count - 0x7F, b"\x7f"
    while rest >= 0x80:
        told += bytes([rest % 0x80 + 0x80])
        rest //= 0x80
    return told + bytes([rest])
