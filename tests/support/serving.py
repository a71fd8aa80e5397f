"""A service as a process, without Envoy, with peppers of the test's choice."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from authsvc_client.v1.auth_service_pb2 import AuthenticateRequest
from authsvc_client.v1.auth_service_pb2_grpc import AuthServiceStub
from authsvc_client.v1.decision_pb2 import VERDICT_ALLOW
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub

from authsvc.cli.demo import process
from tests.support.imports import FOREIGN
from tests.support.stack import TIMEOUT

CONFIG = """
apis:
  shop:
    credential: {header: x-api-key}
    kinds: {secret: {default: true, scopes: all, origins: optional}}
    scopes: {orders:read: {}}
    keys:
      classes:
        - {prefix: shop_, kind: secret}
        - {prefix: old_, kind: secret, alphabet: visible, length: 32, checksum: none, imports: [sha256, sha512]}
        - {prefix: own_, kind: secret, alphabet: visible, length: 32, checksum: none, imports: ["hmac-sha256:old"]}
"""


@dataclass(frozen=True)
class Serving:
    """A running service, with clients."""

    environ: Mapping[str, str]
    running: subprocess.Popen[bytes]
    auth: AuthServiceStub
    keys: KeyServiceStub
    customers: OrganizationServiceStub
    metadata: tuple[tuple[str, str], ...]

    def organization(self, name: str = "acme") -> str:
        """Make an organization and return its id."""
        wanted = CreateOrganizationRequest(name=name)
        return self.customers.CreateOrganization(wanted, metadata=self.metadata, timeout=TIMEOUT).organization.id

    def allows(self, text: str) -> bool:
        """Whether a key authenticates; a service too busy to tell is asked again."""
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                answer = self.auth.Authenticate(AuthenticateRequest(api="shop", credential=text), timeout=TIMEOUT)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                    raise
            else:
                return answer.decision.verdict == VERDICT_ALLOW

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line against this service."""
        return cli(self.environ, *arguments, stdin=stdin)


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a service in `home`, which is made with the configuration above."""
    home.mkdir(exist_ok=True, mode=0o700)
    config = home / "authsvc.yaml"
    config.write_text(CONFIG)
    return process.environment(home, config, dict(extra or {}))


def with_foreign_secret(pepper_file: Path) -> None:
    """Add the old system's secret to a pepper file."""
    pepper_file.write_text(f"{pepper_file.read_text()}foreign:\n  old: {base64.b64encode(FOREIGN).decode()}\n")


def cli(environ: Mapping[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        process.command(*arguments),
        env=dict(environ),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def serving(environ: Mapping[str, str], name: str = "authsvc") -> Iterator[Serving]:
    """Serve what `authsvc init` has made; a log of this name is left in the home folder."""
    home = Path(environ["AUTHSVC_HOME"])
    key = (home / "admin.key").read_text().strip()
    with ExitStack() as stack:
        running = stack.enter_context(process.service(environ, home / f"{name}.log"))
        data = stack.enter_context(grpc.insecure_channel(environ["AUTHSVC_LISTEN"]))
        admin = stack.enter_context(grpc.insecure_channel(environ["AUTHSVC_ADMIN_LISTEN"]))
        yield Serving(
            environ=environ,
            running=running,
            auth=AuthServiceStub(data),
            keys=KeyServiceStub(admin),
            customers=OrganizationServiceStub(admin),
            metadata=(("authorization", f"Bearer {key}"),),
        )


def until(ask: Callable[[], Any], expected: Any, seconds: float) -> Any:
    """Ask until the answer is the expected one, at most so long; return the last answer."""
    end = time.monotonic() + seconds
    while (answer := ask()) != expected and time.monotonic() < end:
        pass
    return answer
