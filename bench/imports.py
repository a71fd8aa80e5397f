"""How many records a second come in: at the store, and through the API."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
from authsvc_client.v1.key_pb2 import KEY_ASSURANCE_DECLARED
from authsvc_client.v1.key_service_pb2 import ImportBatch as BatchMessage
from authsvc_client.v1.key_service_pb2 import ImportHeader, ImportKeysRequest, ImportRecord
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from ulid import ULID

from authsvc.cli.demo import process
from authsvc.domain.administration import Actor
from authsvc.domain.grants import Terms
from authsvc.domain.hashing import Digest
from authsvc.domain.importing import MAX_BATCH, Import
from authsvc.domain.keys import Assurance
from authsvc.ports import ImportBatch, NewOrganization
from authsvc.stores import migrate
from authsvc.stores.sql import SqlStore
from bench import databases
from bench.figures import BenchError, Column, Conditions, Figures, Goal, Measure, Samples, interleaved
from tests.support.databases import scratch_database
from tests.support.fakes import PEPPERS

STORE, API = "at the store", "through the API"

_ACTOR = Actor(key_id="bench", organization_id="", address="", request_id="")
_ORGANIZATION = "org_" + "0" * 26
_TERMS = Terms(
    kind="secret",
    environment="live",
    scopes=("sessions:read",),
    full_access=False,
    origins=None,
    networks=None,
    limits=(),
    not_before=None,
    expires_at=None,
)
_CONFIG = """
apis:
  bench:
    credential: {header: x-api-key}
    kinds: {secret: {default: true, scopes: all, origins: optional}}
    environments: from_key
    scopes: {sessions:read: {}}
    keys:
      classes:
        - {prefix: vk_live_, kind: secret, environment: live}
        - prefix: old_
          kind: secret
          environment: live
          alphabet: visible
          length: 32
          checksum: none
          imports: [sha256]
"""


def _imports(conditions: Conditions) -> Samples:
    offers = {STORE: lambda: _rate(_at_the_store, conditions), API: lambda: _rate(_through_the_api, conditions)}
    return interleaved(offers, conditions.rounds, warm_up=False)


def _rate(measure: Callable[[str, Path, int], float], conditions: Conditions) -> Figures:
    """Import into a database of its own, so that every round begins with an empty one."""
    with (
        databases.durable_postgres() as server,
        scratch_database(server) as url,
        tempfile.TemporaryDirectory(dir=conditions.folder) as folder,
    ):
        migrate.upgrade(url)
        return {"rate": conditions.keys / measure(url, Path(folder), conditions.keys)}


def _at_the_store(url: str, _: Path, records: int) -> float:
    batches = [
        ImportBatch(
            source="bench", api="bench", assurance=Assurance.DECLARED, keys=[_key(n) for n in some], digest="0" * 64
        )
        for some in _parts(records)
    ]
    return asyncio.run(_store(url, batches))


async def _store(url: str, batches: Sequence[ImportBatch]) -> float:
    store = SqlStore.open(url, PEPPERS)
    try:
        owner = NewOrganization(id=_ORGANIZATION, name="bench", plan=None, networks=None, metadata={})
        await store.create_organization(owner, _ACTOR)
        began = time.perf_counter()
        for batch in batches:
            done = await store.import_keys(batch, _ACTOR)
            if any(cause is not None for cause in done.causes):
                raise BenchError("a key was not stored")
        return time.perf_counter() - began
    finally:
        await store.close()


def _through_the_api(url: str, folder: Path, records: int) -> float:
    config = folder / "imports.yaml"
    config.write_text(_CONFIG)
    environ = process.environment(folder, config, {"AUTHSVC_DATABASE_URL": url})
    subprocess.run(process.command("init"), env=environ, check=True, capture_output=True)
    metadata = (("authorization", f"Bearer {(folder / 'admin.key').read_text().strip()}"),)
    with (
        process.service(environ, folder / "authsvc.log"),
        grpc.insecure_channel(environ["AUTHSVC_ADMIN_LISTEN"]) as channel,
    ):
        wanted = CreateOrganizationRequest(name="bench")
        made = OrganizationServiceStub(channel).CreateOrganization(
            wanted, metadata=metadata, timeout=20, wait_for_ready=True
        )
        messages = list(_messages(records, made.organization.id))
        began = time.perf_counter()
        done = KeyServiceStub(channel).ImportKeys(iter(messages), metadata=metadata)
        took = time.perf_counter() - began
    if done.imported != records:
        raise BenchError(f"{done.imported} of {records} records were imported: {done.rejected[:1]}")
    return took


def _messages(records: int, organization_id: str) -> Iterator[ImportKeysRequest]:
    yield ImportKeysRequest(header=ImportHeader(source="bench", api="bench", assurance=KEY_ASSURANCE_DECLARED))
    for some in _parts(records):
        made = [
            ImportRecord(
                alg="sha256",
                encoding="hex",
                digest=_digest(n).hex(),
                prefix_class="old_",
                organization_id=organization_id,
                scopes=["sessions:read"],
                external_id=f"customer-key-{n:08}",
                line=n,
            )
            for n in some
        ]
        yield ImportKeysRequest(batch=BatchMessage(records=made))


def _parts(records: int) -> Iterator[range]:
    for first in range(0, records, MAX_BATCH):
        yield range(first, min(first + MAX_BATCH, records))


def _digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def _key(number: int) -> Import:
    digest = Digest(_digest(number))
    return Import(
        external_id=f"customer-key-{number:08}",
        id=f"key_{ULID()}",
        digest=digest,
        digests=(digest,),
        pepper_id="p1",
        algorithm="hmac(sha256)",
        assurance=Assurance.DECLARED,
        organization_id=_ORGANIZATION,
        terms=_TERMS,
        name=f"customer-key-{number:08}",
        hint="old_",
    )


MEASURES = (
    Measure(
        name="imports",
        title="Keys imported",
        how="into an empty PostgreSQL with fsync on, by one caller",
        columns=(Column(name="rate", heading="records/s"),),
        run=_imports,
        goals=(
            Goal(text="records/s at the store", row=STORE, column="rate", bound=20_000, at_least=True),
            Goal(text="records/s through the API", row=API, column="rate", bound=10_000, at_least=True),
        ),
    ),
)
