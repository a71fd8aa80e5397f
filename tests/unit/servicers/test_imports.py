"""ImportKeys on the wire, through the gate, into a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from authsvc_client.v1.key_pb2 import KEY_ASSURANCE_DECLARED, KEY_ASSURANCE_UNSPECIFIED, Key
from authsvc_client.v1.key_service_pb2 import (
    ImportBatch,
    ImportHeader,
    ImportKeysRequest,
    ImportKeysResponse,
    ImportRecord,
    KeyFilter,
    ListKeysRequest,
    RevokeKeyRequest,
    UpdateKeyRequest,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.domain.administration import ADMIN_API
from authsvc.domain.key_text import Alphabet, Checksum, KeyTable
from authsvc.servicers import imports
from tests.support.admin_server import AdminServer, bearer, running_administration
from tests.support.administration import shop
from tests.support.builders import key_class
from tests.support.imports import old_digest, old_text

TIMEOUT = 20.0
CLASS = key_class(
    prefix="old_", alphabet=Alphabet.VISIBLE, min_length=8, max_length=64, checksum=Checksum.NONE, imports=("sha256",)
)
HEADER = ImportKeysRequest(header=ImportHeader(source="legacy", api="shop", assurance=KEY_ASSURANCE_DECLARED))


@pytest_asyncio.fixture
async def admin(sqlite_url: str) -> AsyncIterator[AdminServer]:
    """Give a running administration of a product that takes keys of another system."""
    async with running_administration(sqlite_url, shop(keys=KeyTable([key_class(), CLASS]))) as server:
        yield server


def record(number: int, organization_id: str, **fields: Any) -> ImportRecord:
    """Give the record of a key."""
    plain = {
        "alg": "sha256",
        "encoding": "hex",
        "digest": old_digest(old_text(number), "sha256"),
        "prefix_class": "old_",
        "organization_id": organization_id,
        "external_id": f"old-{number}",
        "line": number,
    }
    return ImportRecord(**{**plain, **fields})


async def send(admin: AdminServer, *requests: ImportKeysRequest, key: str = "") -> ImportKeysResponse:
    """Make one call."""
    call: Any = admin.keys.ImportKeys(iter(requests), metadata=bearer(key or admin.operator), timeout=TIMEOUT)
    answer: ImportKeysResponse = await call
    return answer


async def refused(admin: AdminServer, *requests: ImportKeysRequest) -> tuple[grpc.StatusCode, str]:
    """Return what a call that must fail is told."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await send(admin, *requests)
    return raised.value.code(), raised.value.details() or ""


async def test_records_come_in_and_are_shown(admin: AdminServer) -> None:
    """With source and id, end and scopes; and without any part of the digest."""
    acme = await admin.organization("acme")
    ends = Timestamp(seconds=4_000_000_000)
    batch = ImportBatch(records=[record(1, acme, scopes=["things:read"], expires_at=ends, name="ci"), record(2, acme)])

    done = await send(admin, HEADER, ImportKeysRequest(batch=batch))

    where = ListKeysRequest(filter=KeyFilter(organization_id=acme))
    first, _ = (await admin.call(admin.keys.ListKeys, where)).keys
    assert (2, 0, 0) == (done.imported, done.already_present, done.rejected_count)
    assert ("legacy", "old-1", "ci", ["things:read"], ends) == (
        first.import_source,
        first.external_id,
        first.name,
        list(first.scopes),
        first.expires_at,
    )
    assert first.created_by == admin.operator_id
    assert done.revision


async def test_a_batch_with_a_bad_record(admin: AdminServer) -> None:
    """Its line and cause come back in the order of lines, an instant that is none included."""
    acme = await admin.organization("acme")
    broken = record(2, acme, expires_at=Timestamp(seconds=-5))
    batch = ImportBatch(records=[record(3, NOBODY), broken, record(1, acme)])

    done = await send(admin, HEADER, ImportKeysRequest(batch=batch))

    assert (1, [2, 3]) == (done.imported, [told.line for told in done.rejected])
    assert ["expires_at: must lie ahead", "organization_id: no such organization"] == [
        told.cause for told in done.rejected
    ]


NOBODY = "org_" + "7" * 26
HUGE = ImportBatch(records=[ImportRecord(name="x" * 1_100_000)])


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        pytest.param([], "header: is the first message", id="nothing"),
        pytest.param([ImportKeysRequest()], "header: is the first message", id="empty"),
        pytest.param([ImportKeysRequest(batch=ImportBatch())], "header: is the first message", id="no-header"),
        pytest.param([HEADER, HEADER], "header: is the first message", id="header-twice"),
        pytest.param([HEADER, ImportKeysRequest(batch=ImportBatch())], "batch.records: 1 to 1000", id="empty-batch"),
        pytest.param([HEADER, ImportKeysRequest(batch=HUGE)], "at most 1048576 bytes", id="huge-batch"),
        pytest.param(
            [HEADER, ImportKeysRequest(batch=ImportBatch(records=[ImportRecord()] * 1001))],
            "batch.records: 1 to 1000",
            id="long-batch",
        ),
    ],
)
async def test_streams_that_are_refused(admin: AdminServer, requests: list[ImportKeysRequest], told: str) -> None:
    """In their own words."""
    code, text = await refused(admin, *requests)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in text


async def test_who_says_nothing_is_not_waited_for(admin: AdminServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that stands still keeps its place no longer than half a minute."""
    monkeypatch.setattr(imports, "SILENCE", 0.01)
    stuck: Any = admin.keys.ImportKeys(metadata=bearer(admin.operator), timeout=TIMEOUT)
    await stuck.write(HEADER)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stuck

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"revoked": True}, grpc.StatusCode.UNAUTHENTICATED, id="revoked"),
        pytest.param({"scopes": ["keys:read"]}, grpc.StatusCode.PERMISSION_DENIED, id="without-the-scope"),
        pytest.param({"scopes": ["keys:import"]}, grpc.StatusCode.PERMISSION_DENIED, id="without-another-scope"),
    ],
)
async def test_who_loses_a_right_imports_no_further(
    admin: AdminServer, change: dict[str, Any], code: grpc.StatusCode
) -> None:
    """A stream that is open stores nothing that is sent once its key is revoked or narrowed."""
    acme = await admin.organization("acme")
    made = await admin.key(admin.operators_id, "keys:import", "keys:read", api=ADMIN_API, environment="")
    stream: Any = admin.keys.ImportKeys(metadata=bearer(made.secret), timeout=TIMEOUT)
    await stream.write(HEADER)
    await stream.write(ImportKeysRequest(batch=ImportBatch(records=[record(1, acme)])))
    while not await _imported(admin, acme):
        pass  # each look is a call of its own

    if change.get("revoked"):
        await admin.call(admin.keys.RevokeKey, RevokeKeyRequest(id=made.key.id, reason="left"))
    else:
        key, mask = Key(scopes=change["scopes"]), FieldMask(paths=["scopes"])
        await admin.call(admin.keys.UpdateKey, UpdateKeyRequest(id=made.key.id, key=key, update_mask=mask))
    await stream.write(ImportKeysRequest(batch=ImportBatch(records=[record(2, acme, scopes=["keys:read"])])))
    await stream.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream

    assert code is raised.value.code()
    assert ["old-1"] == await _imported(admin, acme)


async def _imported(admin: AdminServer, organization_id: str) -> list[str]:
    where = ListKeysRequest(filter=KeyFilter(organization_id=organization_id))
    return [key.external_id for key in (await admin.call(admin.keys.ListKeys, where)).keys]


async def test_an_import_again(admin: AdminServer) -> None:
    """It is safe by its records alone, and has the same name."""
    acme = await admin.organization("acme")
    batch = ImportKeysRequest(batch=ImportBatch(records=[record(1, acme)]))

    first, second = await send(admin, HEADER, batch), await send(admin, HEADER, batch)

    assert (1, 0, 1, "") == (first.imported, second.imported, second.already_present, second.revision)
    assert first.digest == second.digest


async def test_what_is_not_said_of_digests_is_not_known(admin: AdminServer) -> None:
    """Then a key without an end is rejected; a value from the future is refused; what was said is told."""
    acme = await admin.organization("acme")
    batch = ImportKeysRequest(batch=ImportBatch(records=[record(1, acme)]))

    def header(assurance: Any) -> ImportKeysRequest:
        return ImportKeysRequest(header=ImportHeader(source="legacy", api="shop", assurance=assurance))

    silent = await send(admin, header(KEY_ASSURANCE_UNSPECIFIED), batch)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await send(admin, header(99), batch)
    await send(admin, HEADER, batch)
    where = ListKeysRequest(filter=KeyFilter(organization_id=acme))
    (key,) = (await admin.call(admin.keys.ListKeys, where)).keys

    assert [1] == [told.line for told in silent.rejected if told.cause.startswith("expires_at: at most 90 days")]
    assert grpc.StatusCode.INVALID_ARGUMENT is raised.value.code()
    assert KEY_ASSURANCE_DECLARED == key.assurance
