"""The administration's services on a real listener, over a real SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from authsvc_client.v1.audit_service_pb2_grpc import AuditServiceStub
from authsvc_client.v1.decision_service_pb2_grpc import DecisionServiceStub
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, CreateKeyResponse
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from authsvc_client.v1.usage_service_pb2_grpc import UsageServiceStub

from authsvc.cache import CachedKeyStore, CacheSettings
from authsvc.clock import DatabaseClock
from authsvc.config import admin_api
from authsvc.domain.administration import ADMIN_API, OPERATORS
from authsvc.domain.api import Api, Apis
from authsvc.domain.decision import Bearer, bearer_of
from authsvc.domain.keys import KeyRecord, Revision
from authsvc.limits import LocalLimiter
from authsvc.listeners import options, standard
from authsvc.refusals import Refusals
from authsvc.servicers.administration import AdminServices, add_admin_services, admin_services, mint
from authsvc.stores.sql import SqlStore
from authsvc.telemetry import AuditCounters, CacheCounters
from authsvc.usecases.initialize import Initialize
from tests.support.administration import shop
from tests.support.fakes import PEPPERS

TIMEOUT = 10.0  # seconds
Metadata = tuple[tuple[str, str], ...]


@dataclass
class AdminServer:
    """A running administration, with clients and its first operator's key."""

    services: AdminServices
    store: SqlStore
    cache: CachedKeyStore
    refusals: Refusals
    apis: Apis
    channel: grpc.aio.Channel
    address: str
    operator: str
    operator_id: str
    operators_id: str

    @property
    def keys(self) -> Any:
        """Return the client of KeyService."""
        return KeyServiceStub(self.channel)

    @property
    def organizations(self) -> Any:
        """Return the client of OrganizationService."""
        return OrganizationServiceStub(self.channel)

    @property
    def usage(self) -> Any:
        """Return the client of UsageService."""
        return UsageServiceStub(self.channel)

    @property
    def audit(self) -> Any:
        """Return the client of AuditService."""
        return AuditServiceStub(self.channel)

    @property
    def decisions(self) -> Any:
        """Return the client of DecisionService."""
        return DecisionServiceStub(self.channel)

    async def call(self, method: Any, request: Any, key: str | None = None) -> Any:
        """Call a method with the operator's key, or another."""
        return await method(request, metadata=bearer(key or self.operator), timeout=TIMEOUT)

    async def organization(self, name: str) -> str:
        """Make an organization and return its id."""
        answer = await self.call(self.organizations.CreateOrganization, CreateOrganizationRequest(name=name))
        organization_id: str = answer.organization.id
        return organization_id

    async def key(self, organization_id: str, *scopes: str, **fields: Any) -> CreateKeyResponse:
        """Make a live key of the product."""
        fields = {"api": "shop", "environment": "live", "name": "test", **fields}
        request = CreateKeyRequest(organization_id=organization_id, scopes=scopes, **fields)
        answer: CreateKeyResponse = await self.call(self.keys.CreateKey, request)
        return answer

    async def operator_with(self, *scopes: str) -> str:
        """Make another operator and return its key."""
        made = await self.key(self.operators_id, *scopes, api=ADMIN_API, environment="")
        return made.secret


def bearer(key: str) -> Metadata:
    """Return the metadata that carries a key."""
    return (("authorization", f"Bearer {key}"),)


@asynccontextmanager
async def running_administration(
    url: str,
    product: Api | None = None,
    register: Callable[[grpc.aio.Server], None] = lambda _: None,
    admits: Callable[[Any], bool] | None = None,
) -> AsyncIterator[AdminServer]:
    """Serve on a port of its own; `register` may add what is not ours."""
    store, clock = SqlStore.open(url, PEPPERS), DatabaseClock()
    apis = Apis([product or shop(), admin_api()])

    def bearer_for(record: KeyRecord, as_of: Revision) -> Bearer | None:
        api = apis.by_name.get(record.api)
        return None if api is None else bearer_of(record, api, as_of)

    # A loaded machine must not fail tests that are not about time.
    cache = CachedKeyStore(store, bearer_for, clock, CacheSettings(load_budget=5.0), CacheCounters())
    cache.confirm((await store.head()).revision, clock.monotonic())
    refusals = Refusals(store, clock.monotonic, AuditCounters())
    services = admin_services(
        registry=store,
        usage=store,
        audit=store,
        imports=store,
        cache=cache,
        peppers=PEPPERS,
        apis=apis,
        limiter=LocalLimiter(),
        clock=clock,
        stale=lambda: False,
        admits=admits,
        note=refusals.note,
    )
    server = standard.new_server(options.ADMIN, (services.access,))
    add_admin_services(server, services)
    register(server)
    address = standard.bind(server, "127.0.0.1:0", None)
    await server.start()
    first = Initialize(store, admin_api(), mint(PEPPERS), clock)
    secret = first.draw()
    made = await first(secret)
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield AdminServer(
                services=services,
                store=store,
                cache=cache,
                refusals=refusals,
                apis=apis,
                channel=channel,
                address=address,
                operator=secret.reveal(),
                operator_id=made.value.record.id,
                operators_id=(await store.get_organization(OPERATORS)).id,
            )
    finally:
        await server.stop(None)
        await store.close()
