"""The administration's services, put together."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from authsvc_client.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from authsvc_client.v1.decision_service_pb2_grpc import add_DecisionServiceServicer_to_server
from authsvc_client.v1.key_service_pb2_grpc import add_KeyServiceServicer_to_server
from authsvc_client.v1.organization_service_pb2_grpc import add_OrganizationServiceServicer_to_server
from authsvc_client.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from ulid import ULID

from authsvc.domain.api import Apis
from authsvc.domain.hashing import PepperSet
from authsvc.ports import (
    AuditStore,
    Clock,
    ImportStore,
    KeyCache,
    Limiter,
    RecordUsage,
    Refusal,
    Registry,
    UsageStore,
    uncounted,
    unnoted,
)
from authsvc.servicers.admin_access import AdminAccess
from authsvc.servicers.audit import AuditServicer
from authsvc.servicers.decisions import DecisionServicer
from authsvc.servicers.keys import KeyServicer, KeyUseCases
from authsvc.servicers.organizations import OrganizationServicer, OrganizationUseCases
from authsvc.servicers.page_tokens import PageTokens
from authsvc.servicers.usage import UsageServicer
from authsvc.telemetry import AuditCounters, ImportCounters
from authsvc.usecases.administer import Administer
from authsvc.usecases.bulk_revoke_keys import BulkRevokeKeys
from authsvc.usecases.create_key import CreateKey, Mint
from authsvc.usecases.create_organization import CreateOrganization
from authsvc.usecases.delete_key import DeleteKey
from authsvc.usecases.explain_decision import ExplainDecision
from authsvc.usecases.find_bearer import FindBearer
from authsvc.usecases.get_key import GetKey
from authsvc.usecases.get_organization import GetOrganization
from authsvc.usecases.identify_key import IdentifyKey
from authsvc.usecases.import_keys import ImportKeys
from authsvc.usecases.list_audit_events import ListAuditEvents
from authsvc.usecases.list_keys import ListKeys
from authsvc.usecases.list_organizations import ListOrganizations
from authsvc.usecases.query_usage import QueryUsage
from authsvc.usecases.revoke_key import RevokeKey
from authsvc.usecases.rotate_key import RotateKey
from authsvc.usecases.switch_organization import DeleteOrganization, ReinstateOrganization, SuspendOrganization
from authsvc.usecases.update_key import UpdateKey
from authsvc.usecases.update_organization import UpdateOrganization

LOAD_BUDGET = 5.0  # seconds an administrator's key may take to load, where a request gets the cache's `load_budget`


def new_id() -> str:
    """Return 26 characters that sort by time and are unique."""
    return str(ULID())


def mint(peppers: PepperSet) -> Mint:
    """Return what makes ids and keys, from the system's randomness."""
    return Mint(peppers=peppers, new_id=new_id, choice=secrets.choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminServices:
    """The servicers, and the gate before them."""

    keys: KeyServicer
    organizations: OrganizationServicer
    decisions: DecisionServicer
    usage: UsageServicer
    audit: AuditServicer
    access: AdminAccess


def admin_services(  # noqa: PLR0913 - one parameter a part
    *,
    registry: Registry,
    usage: UsageStore,
    audit: AuditStore,
    imports: ImportStore,
    cache: KeyCache,
    peppers: PepperSet,
    apis: Apis,
    limiter: Limiter,
    clock: Clock,
    stale: Callable[[], bool],
    admits: Callable[[grpc.aio.ServicerContext[Any, Any]], bool] | None = None,
    record: RecordUsage = uncounted,
    note: Callable[[Refusal], None] = unnoted,
    counters: AuditCounters | None = None,
    imported: ImportCounters | None = None,
) -> AdminServices:
    """Build the services. `apis` are the products and the administration's own; the cache must know them all."""
    find = FindBearer(cache, peppers, apis, LOAD_BUDGET)
    page_tokens = PageTokens(peppers)
    return AdminServices(
        keys=KeyServicer(
            _keys(registry, imports, cache, peppers, apis, clock),
            clock,
            page_tokens,
            imported,
        ),
        organizations=OrganizationServicer(
            OrganizationUseCases(
                create=CreateOrganization(registry, apis, new_id),
                get=GetOrganization(registry),
                list=ListOrganizations(registry),
                update=UpdateOrganization(registry, cache, apis),
                suspend=SuspendOrganization(registry, cache),
                reinstate=ReinstateOrganization(registry, cache),
                delete=DeleteOrganization(registry, cache),
            ),
            page_tokens,
        ),
        decisions=DecisionServicer(
            ExplainDecision(find, apis, limiter, clock), IdentifyKey(registry, peppers, apis), clock, stale
        ),
        usage=UsageServicer(QueryUsage(usage, clock), page_tokens),
        audit=AuditServicer(ListAuditEvents(audit), page_tokens),
        access=AdminAccess(Administer(find, apis, clock, record), counters or AuditCounters(), note, admits),
    )


def _keys(
    registry: Registry, imports: ImportStore, cache: KeyCache, peppers: PepperSet, apis: Apis, clock: Clock
) -> KeyUseCases:
    minting = mint(peppers)
    return KeyUseCases(
        create=CreateKey(registry, apis, minting, clock),
        get=GetKey(registry),
        list=ListKeys(registry),
        update=UpdateKey(registry, cache, apis, clock),
        rotate=RotateKey(registry, cache, apis, minting, clock),
        revoke=RevokeKey(registry, cache, apis, clock),
        bulk_revoke=BulkRevokeKeys(registry, cache, apis, clock),
        delete=DeleteKey(registry, cache, apis, clock),
        take_over=ImportKeys(imports, cache, peppers, apis, new_id, clock),
    )


def add_admin_services(server: grpc.aio.Server, services: AdminServices) -> None:
    """Register the services on a server that was built with `services.access` as its interceptor."""
    add_KeyServiceServicer_to_server(services.keys, server)
    add_OrganizationServiceServicer_to_server(services.organizations, server)
    add_DecisionServiceServicer_to_server(services.decisions, server)
    add_UsageServiceServicer_to_server(services.usage, server)
    add_AuditServiceServicer_to_server(services.audit, server)
