"""
The one gate of the administration's listener.

It knows every RPC and what each asks of its caller; an RPC it does not know is refused. The caller is
authenticated before a byte of the request is parsed. Faults leave through `faults.status_of` alone.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from authsvc.domain.administrator import KEYS_READ, KEYS_WRITE, Access, Administrator, permit
from authsvc.domain.credentials import AUTHORIZATION, CredentialSource, find_key
from authsvc.domain.errors import (
    AuthsvcError,
    InvalidInputError,
    OverloadedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from authsvc.servicers import faults
from authsvc.servicers.peer import address_of
from authsvc.usecases.administer import Administer

_LOG = logging.getLogger(__name__)

MAX_IN_FLIGHT = 64
LONGEST = 10.0  # seconds

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # quoted: generic in the stubs only

_CREDENTIAL = (CredentialSource(header=AUTHORIZATION, scheme="bearer"),)
_CALLER: ContextVar[Administrator] = ContextVar("caller")


def _own_keys(scope: str) -> Access:
    return Access(scope=scope, operators_only=False)


def _operators(scope: str) -> Access:
    return Access(scope=scope, operators_only=True)


# Every RPC of the administration. A test compares it with the services' descriptors.
ACCESS: Mapping[str, Access] = {
    "/authsvc.v1.KeyService/CreateKey": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/GetKey": _own_keys(KEYS_READ),
    "/authsvc.v1.KeyService/ListKeys": _own_keys(KEYS_READ),
    "/authsvc.v1.KeyService/UpdateKey": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/RotateKey": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/RevokeKey": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/DeleteKey": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/BulkRevokeKeys": _own_keys(KEYS_WRITE),
    "/authsvc.v1.KeyService/ImportKeys": _operators("keys:import"),
    "/authsvc.v1.OrganizationService/CreateOrganization": _operators("organizations:write"),
    "/authsvc.v1.OrganizationService/GetOrganization": _operators("organizations:read"),
    "/authsvc.v1.OrganizationService/ListOrganizations": _operators("organizations:read"),
    "/authsvc.v1.OrganizationService/UpdateOrganization": _operators("organizations:write"),
    "/authsvc.v1.OrganizationService/SuspendOrganization": _operators("organizations:write"),
    "/authsvc.v1.OrganizationService/ReinstateOrganization": _operators("organizations:write"),
    "/authsvc.v1.OrganizationService/DeleteOrganization": _operators("organizations:write"),
    "/authsvc.v1.DecisionService/ExplainDecision": _operators("decisions:explain"),
    "/authsvc.v1.DecisionService/IdentifyKey": _operators(KEYS_READ),
    "/authsvc.v1.AuditService/ListAuditEvents": _operators("audit:read"),
    "/authsvc.v1.UsageService/QueryUsage": _operators("usage:read"),
}


def caller() -> Administrator:
    """Return who makes the call that is being served; there is always one behind the gate."""
    return _CALLER.get()


class AdminAccess(grpc.aio.ServerInterceptor):
    """Lets a call through to its servicer once its caller may make it. `admits` judges the peer's certificate."""

    def __init__(self, administer: Administer, admits: Callable[[Context], bool] | None = None) -> None:
        self._administer = administer
        self._admits = admits
        self._in_flight = 0

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
            def call() -> Any:  # noqa: ANN401 - as above
                return serve(_parse(handler, payload), context)

            return await self._run(method, call, context, _time_for(context))

        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    def _guarded_stream(self, method: str, handler: Handler, serve: Callable[[Any, Any], Any]) -> Handler:
        async def guarded(payloads: AsyncIterator[bytes], context: Context) -> Any:  # noqa: ANN401 - any message
            async def requests() -> AsyncIterator[Any]:
                async for payload in payloads:
                    yield _parse(handler, payload)

            # A stream may be long; its servicer bounds each of its steps.
            return await self._run(method, lambda: serve(requests(), context), context, None)

        return grpc.stream_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    async def _run(self, method: str, call: Callable[[], Any], context: Context, seconds: float | None) -> Any:  # noqa: ANN401 - any message
        try:
            async with asyncio.timeout(seconds):
                return await self._admitted(method, call, context)
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not built yet")
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        except Exception as error:  # noqa: BLE001 - every fault has one table
            faults.report(error)
            await context.abort(*faults.status_of(error))

    async def _admitted(self, method: str, call: Callable[[], Any], context: Context) -> Any:  # noqa: ANN401 - any message
        if self._in_flight >= MAX_IN_FLIGHT:
            raise OverloadedError("too many administrative calls at once")
        self._in_flight += 1
        try:
            administrator = await self._authenticate(method, context)
            _CALLER.set(administrator)
            try:
                answer = call()
                return await answer if inspect.isawaitable(answer) else answer
            except PermissionDeniedError as error:
                _log_refusal(method, administrator.address, administrator.record.id, error)
                raise
        finally:
            self._in_flight -= 1

    async def _authenticate(self, method: str, context: Context) -> Administrator:
        address = address_of(context.peer())
        if self._admits is not None and not self._admits(context):
            raise PermissionDeniedError("this peer may not call this service")
        try:
            administrator = await self._administer(find_key(_CREDENTIAL, _headers(context)), address)
        except (UnauthenticatedError, PermissionDeniedError) as error:
            _log_refusal(method, address or "", "", error)
            raise
        try:
            permit(administrator, ACCESS.get(method))
        except PermissionDeniedError as error:
            _log_refusal(method, administrator.address, administrator.record.id, error)
            raise
        return administrator


def _log_refusal(method: str, address: str, key_id: str, error: AuthsvcError) -> None:
    detail = "; ".join((str(error), *getattr(error, "__notes__", ())))
    _LOG.info("%s was refused", method, extra={"address": address, "key_id": key_id, "detail": detail})


def _parse(handler: Handler, payload: bytes) -> Any:  # noqa: ANN401 - any message
    try:
        return payload if handler.request_deserializer is None else handler.request_deserializer(payload)
    except DecodeError:
        raise InvalidInputError("the request cannot be read") from None


def _headers(context: Context) -> dict[str, str]:
    """Return the metadata that may hold a credential; repeated entries are joined, so that none is chosen."""
    values = [value for name, value in context.invocation_metadata() or () if name == AUTHORIZATION]
    return {AUTHORIZATION: ",".join(str(value) for value in values)} if values else {}


def _time_for(context: Context) -> float:
    remaining: float | None = context.time_remaining()
    return LONGEST if remaining is None else min(remaining, LONGEST)
