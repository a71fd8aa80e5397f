"""Usage from a request through a real Envoy to a row, and what a shutdown leaves."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
from authsvc_client.v1 import usage_service_pb2 as pb
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest
from authsvc_client.v1.auth_service_pb2_grpc import AuthServiceStub
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY
from authsvc_client.v1.key_service_pb2 import GetKeyRequest, KeyFilter, ListKeysRequest
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.cli.demo import process
from tests.support.databases import run_sql
from tests.support.stack import TIMEOUT, Stack, running

BEHIND = 6.0  # seconds: five at most, and one for a busy machine
BY = [pb.USAGE_DIMENSION_ROUTE, pb.USAGE_DIMENSION_REASON]
Row = tuple[str, int, str, int]


def rows(stack: Stack, key_id: str) -> list[Row]:
    """Return what was counted of a key in the last hour."""
    start = Timestamp(seconds=int(time.time()) - 3600)
    request = pb.QueryUsageRequest(start_time=start, key_id=key_id, group_by=BY)
    answer = stack.usage.QueryUsage(request, metadata=stack.metadata, timeout=TIMEOUT)
    return [(row.route, row.verdict, row.reason, row.count) for row in answer.rows]


def soon(ask: Callable[[], object], expected: object) -> object:
    """Ask until the answer is the expected one, for as long as usage may be behind; return the last answer."""
    end, answer = time.monotonic() + BEHIND, None
    while answer != expected and time.monotonic() < end:
        try:
            answer = ask()
        except grpc.RpcError as error:
            # A busy machine may be too slow for a load; that is no answer about usage.
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
    return answer


def test_a_request_is_counted_and_is_the_keys_last_use(shop: Stack) -> None:
    """Route, outcome, address and class of client are known seconds after the request."""
    created = shop.create_key("shop", scopes=["orders:read"])
    key = [("x-api-key", created.secret), ("user-agent", "curl/8.5.0")]
    for method, target in (("GET", "/v1/orders"), ("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", "/v1/else")):
        shop.send(method, target, key)
    expected = [
        ("", VERDICT_DENY, "route_not_configured", 1),
        ("GET /v1/orders", VERDICT_ALLOW, "", 2),
        ("POST /v1/orders", VERDICT_DENY, "insufficient_scope", 1),
    ]

    assert expected == soon(lambda: rows(shop, created.key.id), expected)
    request = GetKeyRequest(id=created.key.id)
    found = shop.keys.GetKey(request, metadata=shop.metadata, timeout=TIMEOUT).key
    assert (found.last_used_address, found.last_used_agent) == ("127.0.0.1", "curl")
    assert 0 <= time.time() - found.last_used_at.seconds < BEHIND + TIMEOUT


def test_an_operators_key_is_used(shop: Stack) -> None:
    """A review must not take it for one that nobody needs."""
    where = KeyFilter(api="authsvc", unused=True)

    def unused() -> list[str]:
        answer = shop.keys.ListKeys(ListKeysRequest(filter=where), metadata=shop.metadata, timeout=TIMEOUT)
        return [key.id for key in answer.keys]

    assert soon(unused, []) == []


def test_a_shutdown_loses_nothing(tmp_path: Path, config: Path, bootstrap: str) -> None:
    """What was decided a moment before SIGTERM is in the database when the process has ended."""
    with running(tmp_path, config, bootstrap) as stack:
        created = stack.create_key("shop", scopes=["orders:read"])
        for _ in range(7):
            stack.send("GET", "/v1/orders", [("x-api-key", created.secret)])
        stack.service.send_signal(signal.SIGTERM)
        status = stack.service.wait(TIMEOUT + 10)
        with closing(sqlite3.connect(tmp_path / "authsvc.db")) as database:
            asked = "SELECT sum(count) FROM usage_days WHERE key_id = ? AND outcome = 'allow'"
            counted = database.execute(asked, [created.key.id]).fetchone()

    assert (status, counted) == (0, (7,))


def test_two_processes_sum(tmp_path: Path, config: Path, bootstrap: str, postgres_url: str) -> None:
    """Both serve from one database and are asked about one key."""
    with running(tmp_path, config, bootstrap, database_url=postgres_url) as stack, ExitStack() as more:
        created = stack.create_key("shop", scopes=["orders:read"])
        other = {
            **stack.environ,
            "AUTHSVC_LISTEN": f"unix:{tmp_path}/second.sock",
            "AUTHSVC_FAST_LISTEN": f"unix:{tmp_path}/second-fast.sock",
            "AUTHSVC_ADMIN_LISTEN": f"unix:{tmp_path}/second-admin.sock",
        }
        second = more.enter_context(process.service(other, tmp_path / "second.log"))
        channel = more.enter_context(grpc.insecure_channel(other["AUTHSVC_LISTEN"]))
        ask = AuthorizeRequest(api="shop", credential=created.secret, method="GET", path="/v1/orders")
        for client, times in ((stack.auth, 3), (AuthServiceStub(channel), 4)):
            for _ in range(times):
                assert client.Authorize(ask, timeout=TIMEOUT).decision.verdict == VERDICT_ALLOW
        for serving in (stack.service, second):
            serving.send_signal(signal.SIGTERM)
            serving.wait(TIMEOUT + 10)

        assert run_sql(postgres_url, f"SELECT sum(count) FROM usage_days WHERE key_id = '{created.key.id}'") == [(7,)]
