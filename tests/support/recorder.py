"""An upstream that echoes what it receives, remembers it, and answers otherwise when it is told to."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT = 1000  # requests


@dataclass(frozen=True)
class Received:
    """One request as the upstream got it; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer instead of the echo."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Upstream:
    """What the upstream has received, and what it answers to each method and target that is not echoed."""

    received: deque[Received] = field(default_factory=lambda: deque(maxlen=KEPT))
    replies: dict[tuple[str, str], Reply] = field(default_factory=dict)
    port: int = 0


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Run one on a free port of 127.0.0.1."""
    told = Upstream()

    class Handler(_Handler):
        upstream = told

    server = _Server(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    upstream: Upstream

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, body)
        self.upstream.received.append(received)
        reply = self.upstream.replies.get((self.command, self.path)) or _echo(received)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def _echo(received: Received) -> Reply:
    told = {
        "method": received.method,
        "path": received.target,
        "headers": dict(received.headers),
        "body": base64.b64encode(received.body).decode(),
    }
    return Reply(200, {"content-type": "application/json"}, json.dumps(told, indent=2).encode())
