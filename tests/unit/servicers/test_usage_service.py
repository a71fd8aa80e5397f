"""UsageService through a real server, over a real SQLite file."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1 import usage_service_pb2 as pb
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW, VERDICT_DENY
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.usage import DAY, HOUR, MINUTE, Tally, floor
from tests.support.admin_server import AdminServer, running_administration
from tests.support.stored import key_id, organization_id
from tests.support.usage import batch

HOUR_, DAY_ = pb.USAGE_BUCKET_HOUR, pb.USAGE_BUCKET_DAY
MINUTE_, WHOLE = pb.USAGE_BUCKET_MINUTE, pb.USAGE_BUCKET_UNSPECIFIED
ROUTES = ("GET /v1/things", "POST /v1/things/" + "x" * 240)


def at(micros: int) -> Timestamp:
    """Return an instant as messages carry it."""
    return Timestamp(seconds=micros // 1_000_000)


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give an administration with some usage of the last hours."""
    async with running_administration(sqlite_url) as server:
        now = (await server.store.head()).now
        counts: dict[Tally, int] = {}
        for ago, key, route, outcome in itertools.product((0, HOUR), (1, 2), ROUTES, ("allow", "rate_limited")):
            start = floor(now - ago, MINUTE)
            counts[Tally(start, "shop", organization_id(1), key_id(key), route[:256], outcome)] = key
        counts[Tally(floor(now, MINUTE), "shop", "", "", "", "invalid_key")] = 5
        await server.store.write_usage(batch(counts))
        yield server


async def query(admin: AdminServer, **fields: Any) -> pb.QueryUsageResponse:
    """Ask about the last day."""
    now = (await admin.store.head()).now
    request = pb.QueryUsageRequest(**{"start_time": at(now - 23 * HOUR), **fields})
    answer: pb.QueryUsageResponse = await admin.call(admin.usage.QueryUsage, request)
    return answer


async def refused(admin: AdminServer, **fields: Any) -> str:
    """Return what a query that is refused is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await query(admin, **fields)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return raised.value.details() or ""


async def test_the_whole_period_is_one_row(admin: AdminServer) -> None:
    """Without bucket and dimensions: everything, once."""
    (row,) = (await query(admin)).rows

    assert row.count == 2 * 2 * 2 * (1 + 2) + 5
    assert (row.key_id, row.api, row.verdict, row.reason) == ("", "", 0, "")


@pytest.mark.parametrize(("bucket", "width"), [(MINUTE_, MINUTE), (HOUR_, HOUR), (DAY_, DAY)])
async def test_rows_begin_with_their_bucket(admin: AdminServer, bucket: Any, width: int) -> None:
    """Each at a whole minute, hour or day, in order; no width loses anything."""
    rows = (await query(admin, bucket=bucket)).rows
    starts = [row.time.seconds * 1_000_000 for row in rows]

    assert starts == sorted(set(starts))
    assert {start % width for start in starts} == {0}
    assert sum(row.count for row in rows) == 29


async def test_dimensions_are_told(admin: AdminServer) -> None:
    """Those that were asked for, and a reason with its verdict."""
    by = [pb.USAGE_DIMENSION_REASON, pb.USAGE_DIMENSION_KEY, pb.USAGE_DIMENSION_ORGANIZATION]
    rows = (await query(admin, group_by=by)).rows

    assert [(row.key_id, row.organization_id, row.verdict, row.reason, row.count) for row in rows] == [
        ("", "", VERDICT_DENY, "invalid_key", 5),
        (key_id(1), organization_id(1), VERDICT_ALLOW, "", 4),
        (key_id(1), organization_id(1), VERDICT_DENY, "rate_limited", 4),
        (key_id(2), organization_id(1), VERDICT_ALLOW, "", 8),
        (key_id(2), organization_id(1), VERDICT_DENY, "rate_limited", 8),
    ]


async def test_verdicts_without_reasons(admin: AdminServer) -> None:
    """All refusals together."""
    rows = (await query(admin, group_by=[pb.USAGE_DIMENSION_VERDICT])).rows

    assert [(row.verdict, row.reason, row.count) for row in rows] == [(VERDICT_ALLOW, "", 12), (VERDICT_DENY, "", 17)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param({"api": "shop"}, 29, id="api"),
        pytest.param({"api": "other"}, None, id="another-api"),
        pytest.param({"organization_id": organization_id(1)}, 24, id="organization"),
        pytest.param({"key_id": key_id(2)}, 16, id="key"),
        pytest.param({"route": ROUTES[0]}, 12, id="route"),
        pytest.param({"verdict": VERDICT_ALLOW}, 12, id="allowed"),
        pytest.param({"verdict": VERDICT_DENY}, 17, id="refused"),
        pytest.param({"reason": "invalid_key"}, 5, id="reason"),
        pytest.param({"reason": "of tomorrow"}, None, id="unknown-reason"),
    ],
)
async def test_filters_hold(admin: AdminServer, where: dict[str, Any], expected: int | None) -> None:
    """Each by itself."""
    rows = (await query(admin, **where)).rows

    assert [row.count for row in rows] == ([] if expected is None else [expected])


async def test_pages_are_complete(admin: AdminServer) -> None:
    """Row by row is all rows, with the longest route too."""
    asked = {"bucket": MINUTE_, "group_by": list(range(1, 7))}
    at_once = (await query(admin, **asked)).rows
    now = (await admin.store.head()).now
    request = pb.QueryUsageRequest(start_time=at(now - 20 * HOUR), page_size=1, **asked)
    found, lengths = [], []
    while True:
        page = await admin.call(admin.usage.QueryUsage, request)
        found += page.rows
        lengths.append(len(page.next_page_token))
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert found == list(at_once)
    assert len(found) == 17
    assert max(lengths) <= 1024


async def test_a_page_token_is_for_its_query_and_caller(admin: AdminServer) -> None:
    """Neither another query nor another operator can go on with it."""
    now = (await admin.store.head()).now
    request = pb.QueryUsageRequest(start_time=at(now - HOUR * 20), group_by=[pb.USAGE_DIMENSION_KEY], page_size=1)
    request.page_token = (await admin.call(admin.usage.QueryUsage, request)).next_page_token
    other = pb.QueryUsageRequest()
    other.CopyFrom(request)
    other.api = "shop"
    second = await admin.operator_with("usage:read")

    for asked, key in ((other, None), (request, second)):
        with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
            await admin.call(admin.usage.QueryUsage, asked, key)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"start_time": None}, "start_time", id="no-start"),
        pytest.param({"start_time": Timestamp(seconds=-1)}, "start_time", id="before-1970"),
        pytest.param({"start_time": Timestamp(seconds=4_000_000_000)}, "end_time", id="in-future"),
        pytest.param({"end_time": Timestamp(seconds=1)}, "end_time", id="backwards"),
        pytest.param({"start_time": Timestamp(seconds=1)}, "400 days", id="too-long"),
        pytest.param({"bucket": 9}, "bucket", id="bucket"),
        pytest.param({"group_by": [0]}, "group_by", id="no-dimension"),
        pytest.param({"group_by": [1, 1]}, "group_by", id="twice"),
        pytest.param({"verdict": 9}, "verdict", id="verdict"),
        pytest.param({"reason": "allow"}, "reason", id="allow-is-no-reason"),
        pytest.param({"reason": "x" * 65}, "reason", id="long-reason"),
        pytest.param({"api": "x" * 65}, "api", id="long-api"),
        pytest.param({"route": "x" * 257}, "route", id="long-route"),
        pytest.param({"route": "GET /\n"}, "route", id="control"),
        pytest.param({"key_id": "key_1"}, "key_id", id="no-key"),
        pytest.param({"organization_id": "acme"}, "organization_id", id="no-organization"),
        pytest.param({"page_size": 1001}, "page_size", id="page"),
        pytest.param({"page_token": "x" * 100}, "page_token", id="token"),
    ],
)
async def test_what_is_out_of_bounds_is_named(admin: AdminServer, fields: dict[str, Any], text: str) -> None:
    """The field, and never the value."""
    told = await refused(admin, **fields)

    assert text in told
    assert "xxx" not in told


@pytest.mark.parametrize(
    ("bucket", "days", "text"), [(MINUTE_, 2, "24 hours"), (HOUR_, 32, "31 days"), (DAY_, 402, "400 days")]
)
async def test_a_bucket_has_a_longest_period(admin: AdminServer, bucket: Any, days: int, text: str) -> None:
    """What would be more rows than anybody reads."""
    now = (await admin.store.head()).now

    assert text in await refused(admin, bucket=bucket, start_time=at(now - days * DAY))


async def test_the_scope_is_needed(admin: AdminServer) -> None:
    """An operator without it, and a product's key that manages keys, are refused."""
    organization = await admin.organization("acme")
    product = await admin.key(organization, "keys:read", "keys:write", "things:read")
    operator = await admin.operator_with("keys:read", "audit:read")
    now = (await admin.store.head()).now

    for key in (product.secret, operator):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await admin.call(admin.usage.QueryUsage, pb.QueryUsageRequest(start_time=at(now - HOUR)), key)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    answer = await admin.call(
        admin.usage.QueryUsage,
        pb.QueryUsageRequest(start_time=at(now - HOUR)),
        await admin.operator_with("usage:read"),
    )
    assert answer.rows
