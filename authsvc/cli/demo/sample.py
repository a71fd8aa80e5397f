"""What the demo holds: two organizations, their keys, and the requests to try with the status to expect."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, RevokeKeyRequest
from authsvc_client.v1.key_service_pb2_grpc import KeyServiceStub
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.organization_service_pb2_grpc import OrganizationServiceStub
from authsvc_client.v1.restrictions_pb2 import OriginList

_TIMEOUT = 10.0  # seconds
_ORIGIN = "https://shop.example"
_HEADER = "x-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The sample keys' texts."""

    writer: str  # of acme: reads and writes orders
    reader: str  # of globex: reads orders
    page: str  # of globex: publishable, from one origin, twice a minute
    revoked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request and what to expect of it."""

    says: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    status: int

    def curl(self, base: str) -> str:
        """Return the command a person would type."""
        method = [] if self.method == "GET" else ["-X", self.method]
        headers = [word for name, value in self.headers for word in ("-H", f"{name}: {value}")]
        return shlex.join(["curl", "-i", *method, *headers, base + self.path])


def create(target: str, admin_key: Path) -> Keys:
    """Make the sample organizations and keys through the admin API."""
    metadata = (("authorization", f"Bearer {admin_key.read_text().strip()}"),)
    with grpc.insecure_channel(target) as channel:
        organizations, keys = OrganizationServiceStub(channel), KeyServiceStub(channel)

        def organization(name: str) -> str:
            request = CreateOrganizationRequest(name=name)
            answer = organizations.CreateOrganization(request, metadata=metadata, timeout=_TIMEOUT)
            return answer.organization.id

        def key(owner: str, name: str, *scopes: str, kind: str = "secret", origin: str = "") -> tuple[str, str]:
            origins = OriginList(origins=[origin]) if origin else None
            request = CreateKeyRequest(
                api="shop", organization_id=owner, name=name, kind=kind, scopes=scopes, origins=origins
            )
            answer = keys.CreateKey(request, metadata=metadata, timeout=_TIMEOUT)
            return answer.key.id, answer.secret

        acme, globex = organization("acme"), organization("globex")
        revoked_id, revoked = key(acme, "leaked", "orders:read")
        keys.RevokeKey(RevokeKeyRequest(id=revoked_id, reason="leaked"), metadata=metadata, timeout=_TIMEOUT)
        return Keys(
            writer=key(acme, "back office", "orders:read", "orders:write")[1],
            reader=key(globex, "reports", "orders:read")[1],
            page=key(globex, "web page", kind="publishable", origin=_ORIGIN)[1],
            revoked=revoked,
        )


def lines(keys: Keys) -> Iterator[Line]:
    """Yield the requests to try, in order: the publishable key's limit counts them."""
    writer, reader, page = ((_HEADER, key) for key in (keys.writer, keys.reader, keys.page))
    origin = ("origin", _ORIGIN)
    for says, method, path, headers, status in (
        ("a good key: the upstream sees who it is", "GET", "/v1/orders", (writer,), 200),
        ("the same key may write", "POST", "/v1/orders", (writer,), 200),
        ("a key that may only read: 403 names the missing scope", "POST", "/v1/orders", (reader,), 403),
        ("no key", "GET", "/v1/orders", (), 401),
        ("a key that never existed", "GET", "/v1/orders", ((_HEADER, "shop_" + "0" * 38),), 401),
        ("a revoked key", "GET", "/v1/orders", ((_HEADER, keys.revoked),), 401),
        ("a forged identity is overwritten", "GET", "/v1/orders/7", (reader, ("x-authsvc-organization", "acme")), 200),
        ("no rule covers this path", "GET", "/v1/secrets", (reader,), 403),
        ("a public route needs no key", "GET", "/health", (), 200),
        ("a publishable key from its own page", "GET", "/v1/orders", (page, origin), 200),
        ("and from anywhere else", "GET", "/v1/orders", (page, ("origin", "https://evil.example")), 403),
        ("the second request of the minute", "GET", "/v1/orders", (page, origin), 200),
        ("the third is one too many", "GET", "/v1/orders", (page, origin), 429),
    ):
        yield Line(says=says, method=method, path=path, headers=headers, status=status)
