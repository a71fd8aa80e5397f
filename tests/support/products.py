"""A product of `examples/` as it runs behind Envoy, on one of the databases, and what tests need to know of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from authsvc_client.v1.auth_service_pb2 import AuthorizeRequest, BatchAuthorizeItem, BatchAuthorizeRequest
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, CreateKeyResponse, RevokeKeyRequest
from authsvc_client.v1.organization_service_pb2 import (
    CreateOrganizationRequest,
    ReinstateOrganizationRequest,
    SuspendOrganizationRequest,
)
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList

from authsvc.config import peppers
from tests.support import recorder
from tests.support.databases import run_sql
from tests.support.recorder import Received, Reply, Upstream
from tests.support.stack import TIMEOUT, Answer, Headers, Stack, running, send

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFORMANCE = Path(__file__).parents[1] / "conformance"

ALLOWED = 200  # as the upstream answers
BATCH = 100  # items
ATTEMPTS = 3

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """How requests to one product look."""

    api: str
    bearer: bool  # the key is a bearer token; else it is in X-API-Key
    hosts: Mapping[str, str]  # by environment; the first is the default
    environment: str = ""  # of new keys, where no host stands for it


PRODUCTS: Mapping[str, Facts] = {
    "moveris": Facts(api="moveris", bearer=False, hosts={"": "api.moveris.com"}),
    "veridia": Facts(api="veridia", bearer=True, hosts={"live": "api.xxuxe.online", "test": "test.xxuxe.online"}),
    "verifa": Facts(
        api="verifa", bearer=False, hosts={"live": "api.withverifa.com", "sandbox": "sandbox.withverifa.com"}
    ),
    "op": Facts(api="op", bearer=True, hosts={"": "api.example"}),
}
EVERY_EXAMPLE: Mapping[str, Facts] = {
    **PRODUCTS,
    "minimal": Facts(api="shop", bearer=True, hosts={"": "shop.example"}),
}
# Written from docs/configuration.md alone, to see whether that suffices.
INVENTED: Mapping[str, Facts] = {
    "harbour": Facts(api="harbour", bearer=True, hosts={"": "api.harbour.example"}, environment="live")
}


def configuration(name: str) -> Path:
    """Return the authsvc.yaml of a product."""
    return (CONFORMANCE if name in INVENTED else EXAMPLES) / name / "authsvc.yaml"


def envoy_configuration(name: str) -> str:
    """Return what Envoy runs with; an invented product is behind the smallest there is."""
    if name in INVENTED:
        text = (EXAMPLES / "minimal" / "envoy.yaml").read_text()
        return text.replace("{api: shop}", f"{{api: {INVENTED[name].api}}}")
    return (EXAMPLES / name / "envoy.yaml").read_text()


@dataclass(frozen=True)
class Product:
    """One running product. Its organizations and keys are each test's own, so that no limit is shared by chance."""

    name: str
    database: str  # the dialect
    database_url: str
    stack: Stack
    upstream: Upstream

    @property
    def facts(self) -> Facts:
        """Return how requests to it look."""
        return {**EVERY_EXAMPLE, **INVENTED}[self.name]

    @property
    def default_environment(self) -> str:
        """Return the environment of a request that names none; empty where there are none."""
        return next(iter(self.facts.hosts))

    # -- administration

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call a method of an admin client (`stack.keys`, `stack.customers`) as the operator."""
        for patience in reversed(range(ATTEMPTS)):
            try:
                return method(request, metadata=self.stack.metadata, timeout=TIMEOUT)
            except grpc.RpcError as error:
                # A machine that is too busy to look our own key up in time; nothing was changed.
                if error.code() is not grpc.StatusCode.UNAVAILABLE or not patience:
                    raise
        raise AssertionError("unreachable")

    def organization(self, **fields: Any) -> str:
        """Make an organization and return its id."""
        request = CreateOrganizationRequest(name=f"organization {next(_numbers)}", **fields)
        made: str = self.call(self.stack.customers.CreateOrganization, request).organization.id
        return made

    def create_key(
        self, *, organization_id: str | None = None, environment: str | None = None, **fields: Any
    ) -> CreateKeyResponse:
        """
        Make a key through the admin API, by default of a new organization and of the default environment.

        `fields` are those of `CreateKeyRequest`: kind, scopes, origins, networks, expires_at…
        """
        request = CreateKeyRequest(
            api=self.facts.api,
            organization_id=organization_id or self.organization(),
            environment=(self.facts.environment or self.default_environment) if environment is None else environment,
            **{"name": "conformance", **fields},
        )
        answer: CreateKeyResponse = self.call(self.stack.keys.CreateKey, request)
        return answer

    def key(self, **fields: Any) -> str:
        """Make a key and return its text; see `create_key`."""
        return self.create_key(**fields).secret

    def sql(self, *statements: str) -> Sequence[tuple[Any, ...]]:
        """Run statements behind the service's back; the service keeps what it has read already."""
        return run_sql(self.database_url, *statements)

    @staticmethod
    def origins(*origins: str) -> OriginList:
        """Return an origin list for a key."""
        return OriginList(origins=origins)

    @staticmethod
    def networks(*cidrs: str) -> NetworkList:
        """Return a network list for a key or an organization."""
        return NetworkList(cidrs=cidrs)

    def suspend(self, organization_id: str) -> None:
        """Suspend an organization."""
        self.call(self.stack.customers.SuspendOrganization, SuspendOrganizationRequest(id=organization_id))

    def reinstate(self, organization_id: str) -> None:
        """End its suspension."""
        self.call(self.stack.customers.ReinstateOrganization, ReinstateOrganizationRequest(id=organization_id))

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        self.call(self.stack.keys.RevokeKey, RevokeKeyRequest(id=key_id))

    def store(self, key_id: str, **columns: Any) -> None:
        """Write into a key's row behind the service's back, before the service has read it."""
        assigned = ", ".join(f"{name} = {_literal(value)}" for name, value in columns.items())
        self.sql(f"UPDATE keys SET {assigned} WHERE id = '{key_id}'")

    def store_text(self, key_id: str, text: str) -> None:
        """Have a key go by another text, as if it had been imported."""
        digest = peppers.read(self.stack.home / "peppers.yaml").current.digest(text).hex()
        literal = f"X'{digest}'" if self.database == "sqlite" else f"'\\x{digest}'::bytea"
        self.sql(f"UPDATE keys SET digest = {literal} WHERE id = '{key_id}'")

    # -- a place for tables

    def make_organization(self, wanted: Mapping[str, Any]) -> str:
        """Make an organization: plan, networks, suspended."""
        networks = self.networks(*wanted["networks"]) if "networks" in wanted else None
        made = self.organization(plan=wanted.get("plan", ""), networks=networks)
        if wanted.get("suspended"):
            self.suspend(made)
        return made

    def make_key(self, organization_id: str, wanted: Mapping[str, Any]) -> str | None:
        """Make a key; None when that is refused."""
        own = {name: value for name, value in wanted.items() if name not in ("stored", "text", "revoked")}
        if "origins" in own:
            own["origins"] = self.origins(*own["origins"])
        if "networks" in own:
            own["networks"] = self.networks(*own["networks"])
        try:
            made = self.create_key(organization_id=organization_id, **own)
        except grpc.RpcError as refusal:
            if refusal.code() is grpc.StatusCode.INVALID_ARGUMENT:
                return None
            raise
        if "stored" in wanted:
            self.store(made.key.id, **wanted["stored"])
        if wanted.get("revoked"):
            self.revoke(made.key.id)
        if "text" in wanted:
            self.store_text(made.key.id, wanted["text"])
        text: str = wanted.get("text", made.secret)
        return text

    def ask(self, method: str, target: str, key: str | None, environment: str | None, headers: Headers) -> Answer:
        """Send a request."""
        return self.send(method, target, key, environment=environment, headers=headers)

    # -- requests

    def credential(self, key: str) -> tuple[str, str]:
        """Return the header that presents a key."""
        return ("authorization", f"Bearer {key}") if self.facts.bearer else ("x-api-key", key)

    def send(
        self,
        method: str,
        target: str,
        key: str | None = None,
        *,
        environment: str | None = None,
        host: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
    ) -> Answer:
        """Send one request through Envoy, byte for byte as given, to the host of an environment or to another."""
        found = host or self.facts.hosts[self.default_environment if environment is None else environment]
        given = [*headers, *([] if key is None else [self.credential(key)])]
        return send(self.stack.address, method, target, given, host=found, body=body)

    def spend(self, key: str, count: int, method: str, path: str) -> None:
        """Ask about a request this many times without sending any: the other door, the same limits."""
        asked = AuthorizeRequest(api=self.facts.api, credential=key, method=method, path=path)
        items = [BatchAuthorizeItem(correlation_id=str(number), request=asked) for number in range(count)]
        for first in range(0, count, BATCH):
            batch = BatchAuthorizeRequest(items=items[first : first + BATCH])
            self.stack.auth.BatchAuthorize(batch, timeout=TIMEOUT)

    def until_refused(self, method: str, target: str, key: str, within: int = 200) -> Answer:
        """Send one request again and again until it is not allowed any more, and return that answer."""
        for _ in range(within):
            answer = self.send(method, target, key)
            if answer.status != ALLOWED:
                return answer
        raise AssertionError(f"{within} requests were allowed")

    def reply(self, method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Have the upstream answer this method and target so, instead of echoing it."""
        self.upstream.replies[method, target] = Reply(status, headers, body)

    def reached(self, target: str) -> list[Received]:
        """Return the requests for a target that got through to the upstream, oldest first."""
        return [one for one in self.upstream.received if one.target == target]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    text = json.dumps(value)
    return text if isinstance(value, bool) else f"'{text}'"


@contextmanager
def running_product(
    name: str, database: str, home: Path, database_url: str | None = None, config: Path | None = None
) -> Iterator[Product]:
    """
    Run a product in `home`, on a database that is migrated, or on the embedded default.

    Every line of a product is asked through both listeners, and on both databases, but not through each on
    each: that would double the time. On SQLite, which the demo and small deployments use, it is the fast one.

    `config` is another authsvc.yaml for the same API, where a test must change a line of the example's.
    """
    with (
        recorder.upstream() as upstream,
        running(
            home,
            config or configuration(name),
            envoy_configuration(name),
            database_url=database_url,
            upstream_port=upstream.port,
            listener="fast" if database == "sqlite" else "standard",
        ) as stack,
    ):
        yield Product(name, database, database_url or f"sqlite:///{home}/authsvc.db", stack, upstream)
