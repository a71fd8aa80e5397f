"""The whole product as a user runs it: the service as a process, a real Envoy, an upstream that echoes."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from authsvc_client.v1.auth_service_pb2_grpc import AuthServiceStub
from authsvc_client.v1.decision_service_pb2_grpc import DecisionServiceStub
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, CreateKeyResponse
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from authsvc_client.v1.usage_service_pb2_grpc import UsageServiceStub

from authsvc.cli.demo import envoy, process, upstream

TIMEOUT = 10.0  # seconds
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def received(self) -> dict[str, str]:
        """Return the headers that the upstream received; fails when the request never got there."""
        headers: dict[str, str] = self.json()["headers"]
        return headers


@dataclass
class Stack:
    """A running service behind Envoy, with clients for both of its listeners."""

    home: Path
    environ: dict[str, str]
    service: subprocess.Popen[bytes]
    address: str  # host:port of Envoy
    channel: grpc.Channel
    admin: grpc.Channel
    metadata: tuple[tuple[str, str], ...]
    organizations: dict[str, str] = field(default_factory=dict)

    @property
    def auth(self) -> AuthServiceStub:
        """Return the data plane's client."""
        return AuthServiceStub(self.channel)

    @property
    def keys(self) -> KeyServiceStub:
        """Return the client of key administration."""
        return KeyServiceStub(self.admin)

    @property
    def decisions(self) -> DecisionServiceStub:
        """Return the client of explanations."""
        return DecisionServiceStub(self.admin)

    @property
    def usage(self) -> UsageServiceStub:
        """Return the client of usage."""
        return UsageServiceStub(self.admin)

    @property
    def customers(self) -> OrganizationServiceStub:
        """Return the client of organizations' administration."""
        return OrganizationServiceStub(self.admin)

    def organization(self, name: str, **fields: Any) -> str:
        """Return the id of an organization, made at its first mention."""
        if name not in self.organizations:
            request = CreateOrganizationRequest(name=name, **fields)
            answer = self.customers.CreateOrganization(request, metadata=self.metadata, timeout=TIMEOUT)
            self.organizations[name] = answer.organization.id
        return self.organizations[name]

    def create_key(self, api: str, *, organization: str = "acme", **fields: Any) -> CreateKeyResponse:
        """Make a key through the admin API."""
        request = CreateKeyRequest(api=api, organization_id=self.organization(organization), name="test", **fields)
        return self.keys.CreateKey(request, metadata=self.metadata, timeout=TIMEOUT)

    def send(self, method: str, target: str, headers: Headers = (), *, host: str | None = None) -> Answer:
        """Send one HTTP request through Envoy, byte for byte as given."""
        return send(self.address, method, target, headers, host=host)

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line against this service."""
        return subprocess.run(
            process.command(*arguments),
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def send(
    address: str, method: str, target: str, headers: Headers = (), *, host: str | None = None, body: bytes = b""
) -> Answer:
    """Send one HTTP/1.1 request; nothing is normalized, repeated headers stay repeated."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host or address)
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


@contextmanager
def running(
    home: Path,
    config: Path,
    envoy_yaml: str,
    *,
    database_url: str | None = None,
    extra: Mapping[str, str] | None = None,
    upstream_port: int | None = None,
    listener: str = "standard",
) -> Iterator[Stack]:
    """
    Run everything in `home`; without a database URL on the embedded default, without a port before an echo.

    Envoy and the data plane's client use one of the service's two listeners: `standard` or `fast`.
    """
    environ = process.environment(home, config, dict(extra or {}))
    data = environ["AUTHSVC_FAST_LISTEN" if listener == "fast" else "AUTHSVC_LISTEN"]
    if database_url is not None:
        environ["AUTHSVC_DATABASE_URL"] = database_url
    with ExitStack() as stack:
        _run(environ, "init")
        serving = stack.enter_context(process.service(environ, home / "authsvc.log"))
        clusters: dict[str, str | int] = {
            "authsvc": data.removeprefix("unix:"),
            "upstream": upstream_port or stack.enter_context(upstream.upstream()),
        }
        address = stack.enter_context(envoy.envoy(envoy.bootstrap(envoy_yaml, 0, clusters), home))
        channel = stack.enter_context(grpc.insecure_channel(data))
        admin = stack.enter_context(grpc.insecure_channel(environ["AUTHSVC_ADMIN_LISTEN"]))
        key = (home / "admin.key").read_text().strip()
        metadata = (("authorization", f"Bearer {key}"),)
        yield Stack(home, environ, serving, address, channel, admin, metadata)


def _run(environ: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(process.command(*arguments), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
