"""`grpc.health.v1`: whether to send requests here, and separately whether the database answers."""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from authsvc.servicers import faults
from authsvc.servicers.method import Refusal, Waiting

DATASTORE = "authsvc.datastore"
SERVING_NAMES = ("", "envoy.service.auth.v3.Authorization", "authsvc.v1.AuthService")


class Health:
    """
    Not serving until the database was heard from once, and while draining.

    Losing the database later does not change it: a client whose endpoints are all gone gets RPC
    errors, which Envoy may be told to let pass; a denial from here never passes.
    """

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()
        self._statuses: dict[str, health_pb2.HealthCheckResponse.ServingStatus] = {}
        self._draining = False

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def start(self) -> None:
        """Say that nothing can be answered yet."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING, *SERVING_NAMES, DATASTORE)

    async def database(self, *, answers: bool) -> None:
        """Note whether the database answers; from the first time on, requests are welcome."""
        status = health_pb2.HealthCheckResponse
        if answers:
            await self._set(status.SERVING, *SERVING_NAMES, DATASTORE)
        else:
            await self._set(status.NOT_SERVING, DATASTORE)

    async def drain(self) -> None:
        """Ask clients to go elsewhere, for good."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING, *SERVING_NAMES, DATASTORE)
        self._draining = True

    def status(self, name: str) -> health_pb2.HealthCheckResponse.ServingStatus | None:
        """Return what a name says, from any thread; None: there is no such name."""
        return self._statuses.get(name)

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus, *names: str) -> None:
        if self._draining:
            return
        for name in names:
            self._statuses[name] = status
            await self._servicer.set(name, status)


class HealthCheck:
    """`grpc.health.v1.Health/Check` as a method, for a listener that has no services. See `Method`."""

    path = "/grpc.health.v1.Health/Check"

    def __init__(self, of: Health) -> None:
        self._of = of

    def now(self, payload: bytes) -> bytes | Refusal:
        """Answer at once."""
        try:
            status = self._of.status(health_pb2.HealthCheckRequest.FromString(payload).service)
        except DecodeError:
            return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read")
        if status is None:
            return Refusal(grpc.StatusCode.NOT_FOUND, "unknown service")
        answer: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        return answer

    async def later(self, _: Waiting[None], __: float) -> Refusal:
        """Never needed: nothing here waits."""
        return self.fault(AssertionError())

    def fault(self, error: BaseException) -> Refusal:
        """Render a fault as an RPC error."""
        faults.report(error)
        return Refusal(*faults.status_of(error))
