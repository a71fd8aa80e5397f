"""
The one gate of the administration's listener.

It knows every RPC and what each asks of its caller; an RPC it does not know is refused. The caller is
authenticated before a byte of the request is parsed. Faults leave through `faults.status_of` alone.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from authsvc.domain import inputs
from authsvc.domain.administrator import KEYS_READ, KEYS_WRITE, Access, Administrator, permit
from authsvc.domain.credentials import AUTHORIZATION, CredentialSource, find_key
from authsvc.domain.errors import (
    AuthsvcError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from authsvc.domain.grants import terms_of
from authsvc.ports import Refusal
from authsvc.servicers import faults
from authsvc.servicers.peer import address_of
from authsvc.servicers.shares import Place, Shares
from authsvc.telemetry import AuditCounters
from authsvc.usecases.administer import Administer, RefusedKeyError

_LOG = logging.getLogger(__name__)

LONGEST = 10.0  # seconds

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # quoted: generic in the stubs only

# What a known caller is not let do; another version, a taken name or a bad field is no such thing.
_REFUSALS = (PermissionDeniedError, NotFoundError, FailedPreconditionError)

_CREDENTIAL = (CredentialSource(header=AUTHORIZATION, scheme="bearer"),)
_CALLER: ContextVar[Administrator] = ContextVar("caller")


def _own_keys(action: str, scope: str) -> Access:
    return Access(action=action, scope=scope, operators_only=False)


def _operators(action: str, scope: str) -> Access:
    return Access(action=action, scope=scope, operators_only=True)


# Every RPC of the administration. A test compares it with the services' descriptors.
ACCESS: Mapping[str, Access] = {
    "/authsvc.v1.KeyService/CreateKey": _own_keys("key.create", KEYS_WRITE),
    "/authsvc.v1.KeyService/GetKey": _own_keys("key.get", KEYS_READ),
    "/authsvc.v1.KeyService/ListKeys": _own_keys("key.list", KEYS_READ),
    "/authsvc.v1.KeyService/UpdateKey": _own_keys("key.update", KEYS_WRITE),
    "/authsvc.v1.KeyService/RotateKey": _own_keys("key.rotate", KEYS_WRITE),
    "/authsvc.v1.KeyService/RevokeKey": _own_keys("key.revoke", KEYS_WRITE),
    "/authsvc.v1.KeyService/DeleteKey": _own_keys("key.delete", KEYS_WRITE),
    "/authsvc.v1.KeyService/BulkRevokeKeys": _own_keys("key.bulk_revoke", KEYS_WRITE),
    "/authsvc.v1.KeyService/ImportKeys": _operators("key.import", "keys:import"),
    "/authsvc.v1.OrganizationService/CreateOrganization": _operators("organization.create", "organizations:write"),
    "/authsvc.v1.OrganizationService/GetOrganization": _operators("organization.get", "organizations:read"),
    "/authsvc.v1.OrganizationService/ListOrganizations": _operators("organization.list", "organizations:read"),
    "/authsvc.v1.OrganizationService/UpdateOrganization": _operators("organization.update", "organizations:write"),
    "/authsvc.v1.OrganizationService/SuspendOrganization": _operators("organization.suspend", "organizations:write"),
    "/authsvc.v1.OrganizationService/ReinstateOrganization": _operators(
        "organization.reinstate", "organizations:write"
    ),
    "/authsvc.v1.OrganizationService/DeleteOrganization": _operators("organization.delete", "organizations:write"),
    "/authsvc.v1.DecisionService/ExplainDecision": _operators("decision.explain", "decisions:explain"),
    "/authsvc.v1.DecisionService/IdentifyKey": _operators("decision.identify", KEYS_READ),
    "/authsvc.v1.AuditService/ListAuditEvents": _operators("audit.list", "audit:read"),
    "/authsvc.v1.UsageService/QueryUsage": _operators("usage.query", "usage:read"),
}


def caller() -> Administrator:
    """Return who makes the call that is being served; there is always one behind the gate."""
    return _CALLER.get()


@dataclass(slots=True)
class _Call:
    """One call; what it asks is read only once its caller is known."""

    method: str
    read: Callable[[], Any]
    serve: Callable[[Any, Any], Any]
    context: Context
    request: Any = None


class AdminAccess(grpc.aio.ServerInterceptor):
    """
    Lets a call through to its servicer once its caller may make it.

    `admits` judges the peer's certificate; `note` hears of every refusal of a caller that is known.
    """

    def __init__(
        self,
        administer: Administer,
        counters: AuditCounters,
        note: Callable[[Refusal], None],
        admits: Callable[[Context], bool] | None = None,
    ) -> None:
        self._administer = administer
        self._counters = counters
        self._note = note
        self._admits = admits
        self.shares = Shares(secrets.token_bytes(32))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the gate before a handler. None is UNIMPLEMENTED, also for a shape of call that no RPC here has."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        if handler.stream_unary is not None:
            return self._guarded_stream(method, handler, handler.stream_unary)
        return None if handler.unary_unary is None else self._guarded(method, handler, handler.unary_unary)

    def _guarded(self, method: str, handler: Handler, serve: Callable[[Any, Any], Any]) -> Handler:
        async def guarded(payload: bytes, context: Context) -> Any:  # noqa: ANN401 - any message
            call = _Call(method, lambda: _parse(handler, payload), serve, context)
            return await self._run(call, _time_for(context))

        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    def _guarded_stream(self, method: str, handler: Handler, serve: Callable[[Any, Any], Any]) -> Handler:
        async def guarded(payloads: AsyncIterator[bytes], context: Context) -> Any:  # noqa: ANN401 - any message
            async def requests() -> AsyncIterator[Any]:
                async for payload in payloads:
                    await self._check_again(call)
                    yield _parse(handler, payload)

            # A stream may be long; its servicer bounds each of its steps.
            call = _Call(method, requests, serve, context)
            return await self._run(call, None)

        return grpc.stream_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    async def _run(self, call: _Call, seconds: float | None) -> Any:  # noqa: ANN401 - any message
        try:
            async with asyncio.timeout(seconds):
                return await self._admitted(call)
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:
            await self._abort(call, grpc.StatusCode.UNIMPLEMENTED, "not built yet")
        except TimeoutError:
            await self._abort(call, grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        except Exception as error:  # noqa: BLE001 - every fault has one table
            faults.report(error)
            await self._abort(call, *faults.status_of(error))

    async def _abort(self, call: _Call, code: grpc.StatusCode, text: str) -> None:
        self._counters.refused(code.name.lower())
        await call.context.abort(code, text)

    async def _admitted(self, call: _Call) -> Any:  # noqa: ANN401 - any message
        self._check_peer(call)
        try:
            administrator = await self._known(call, self._enter(call))
        except OverloadedError as error:
            _log_refusal(call.method, address_of(call.context.peer()) or "", "", error)
            raise
        try:
            permit(administrator, ACCESS.get(call.method))
            return await self._serve(call, administrator)
        except RefusedKeyError:  # in the midst of a stream: noted where it was found out
            raise
        except _REFUSALS as error:
            self._refuse(call, administrator, error)
            raise

    def _enter(self, call: _Call) -> Place:
        credential = find_key(_CREDENTIAL, _headers(call.context))
        place = self.shares.enter(credential, address_of(call.context.peer()) or "")

        def leave(_: Context) -> None:
            place.leave()

        # Not when it is answered: who takes no answers would begin calls until grpcio's own bound refuses everybody.
        call.context.add_done_callback(leave)  # type: ignore[arg-type]  # the stub's class stands for a callable
        return place

    async def _known(self, call: _Call, place: Place) -> Administrator:
        try:
            administrator = await self._authenticate(call)
        except UnauthenticatedError:
            place.unknown()
            raise
        place.known(administrator)
        return administrator

    async def _serve(self, call: _Call, administrator: Administrator) -> Any:  # noqa: ANN401 - any message
        _CALLER.set(administrator)
        call.request = call.read()
        answer = call.serve(call.request, call.context)
        return await answer if inspect.isawaitable(answer) else answer

    async def _check_again(self, call: _Call) -> None:
        """Hold every message of a stream to its caller as of now: who is revoked or narrowed goes no further."""
        administrator = await self._authenticate(call)
        permit(administrator, ACCESS.get(call.method))
        if terms_of(administrator.record) != terms_of(caller().record):
            raise PermissionDeniedError("the key has changed since the call began: begin anew")

    def _check_peer(self, call: _Call) -> None:
        if self._admits is not None and not self._admits(call.context):
            raise PermissionDeniedError("this peer may not call this service")

    async def _authenticate(self, call: _Call) -> Administrator:
        self._check_peer(call)
        address = address_of(call.context.peer())
        try:
            return await self._administer(find_key(_CREDENTIAL, _headers(call.context)), address)
        except RefusedKeyError as error:
            self._refuse(call, error.caller, error)
            raise
        except (UnauthenticatedError, PermissionDeniedError) as error:
            _log_refusal(call.method, address or "", "", error)
            raise

    def _refuse(self, call: _Call, administrator: Administrator, error: AuthsvcError) -> None:
        if isinstance(error, PermissionDeniedError):
            _log_refusal(call.method, administrator.address, administrator.record.id, error)
        access = ACCESS.get(call.method)
        if access is None:
            return
        if call.request is None:
            with suppress(InvalidInputError):  # refused before it was looked at; who is refused is known
                call.request = call.read()
        id_ = getattr(call.request, "id", "")
        request_id = getattr(call.request, "request_id", "")
        self._note(
            Refusal(
                actor=administrator.actor(request_id if inputs.is_request_id(request_id) else ""),
                action=access.action,
                target_kind=access.action.partition(".")[0],
                target_id=id_ if inputs.is_id(id_) else "",
                reason=str(error)[: inputs.MAX_REASON_LENGTH],
            )
        )


def _log_refusal(method: str, address: str, key_id: str, error: AuthsvcError) -> None:
    detail = "; ".join((str(error), *getattr(error, "__notes__", ())))
    _LOG.info("%s was refused", method, extra={"address": address, "key_id": key_id, "detail": detail})


def _parse(handler: Handler, payload: bytes) -> Any:  # noqa: ANN401 - any message
    if handler.request_deserializer is None:
        return payload
    try:
        request = handler.request_deserializer(payload)
    except DecodeError:
        raise InvalidInputError("the request cannot be read") from None
    whole = request.ByteSize()
    request.DiscardUnknownFields()
    # What is not understood may be a restriction, without which a filter matches more and a key can do more.
    if request.ByteSize() != whole:
        raise InvalidInputError("the request has a field that this server does not know")
    return request


def _headers(context: Context) -> dict[str, str]:
    """Return the metadata that may hold a credential; repeated entries are joined, so that none is chosen."""
    values = [value for name, value in context.invocation_metadata() or () if name == AUTHORIZATION]
    return {AUTHORIZATION: ",".join(str(value) for value in values)} if values else {}


def _time_for(context: Context) -> float:
    remaining: float | None = context.time_remaining()
    return LONGEST if remaining is None else min(remaining, LONGEST)
