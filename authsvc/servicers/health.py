"""`grpc.health.v1`: whether to send requests here, and separately whether the database answers."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

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
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus, *names: str) -> None:
        for name in names:
            await self._servicer.set(name, status)
