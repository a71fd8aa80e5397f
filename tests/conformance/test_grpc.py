"""A gRPC client behind Envoy is told each refusal in its own words: `grpc-status`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
import pytest

from authsvc.domain.reasons import Reason
from tests.support.products import EVERY_EXAMPLE, Product

# A gRPC call is a POST: of each example one such route, and what keys for it and past it hold.
OPEN = {
    "moveris": ("/api/v1/verify", "detection:write", "usage:read"),
    "veridia": ("/v1/verify", "verifications:create", "captures:write"),
    "verifa": ("/api/v1/sessions", "sessions:create", "sessions:read"),
    "op": ("/v1/scan", "scan:create", "jobs:read"),
    "minimal": ("/v1/orders", "orders:write", "orders:read"),
}
CLOSED_TO_PAGES = {"veridia": "/v1/webhooks/decrypt", "verifa": "/api/v1/webhooks"}
EVIL = ("origin", "https://evil.example")

CODES = {
    "unauthorized": grpc.StatusCode.UNAUTHENTICATED,
    "invalid_key": grpc.StatusCode.UNAUTHENTICATED,
    "organization_suspended": grpc.StatusCode.PERMISSION_DENIED,
    "route_not_configured": grpc.StatusCode.PERMISSION_DENIED,
    "wrong_environment": grpc.StatusCode.PERMISSION_DENIED,
    "kind_not_allowed": grpc.StatusCode.PERMISSION_DENIED,
    "origin_not_allowed": grpc.StatusCode.PERMISSION_DENIED,
    "ip_not_allowed": grpc.StatusCode.PERMISSION_DENIED,
    "insufficient_scope": grpc.StatusCode.PERMISSION_DENIED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "bad_request": grpc.StatusCode.INVALID_ARGUMENT,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True)
class Call:
    """One gRPC call: its method's path, its key, and where it is from and to."""

    path: str
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    environment: str | None = None


def told(product: Product, call: Call) -> tuple[grpc.StatusCode, str]:
    """Make a call that must be refused, and return its status and message."""
    authority = product.facts.hosts[product.default_environment if call.environment is None else call.environment]
    options = (("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1))
    metadata = [*call.headers, *([] if call.key is None else [product.credential(call.key)])]
    with grpc.insecure_channel(product.stack.address, options) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(call.path)(b"", metadata=metadata, timeout=10)
    return refused.value.code(), refused.value.details()


def suspended(product: Product, path: str, scope: str) -> Call:
    """Return a call with a key of a suspended organization."""
    organization = product.organization()
    key = product.key(organization_id=organization, scopes=[scope])
    product.suspend(organization)
    return Call(path, key)


def dead(product: Product, path: str, scope: str) -> Call:
    """Return a call with a key that was revoked."""
    made = product.create_key(scopes=[scope])
    product.revoke(made.key.id)
    return Call(path, made.secret)


def spent(product: Product, path: str, scope: str) -> Call:
    """Return a call with a key that has had its one request of the day."""
    key = product.key(scopes=[scope], rate_limits=["1/day"])
    assert product.send("POST", path, key).status == 200
    return Call(path, key)


def damaged(product: Product, path: str, scope: str) -> Call:
    """Return a call with a key of whose record nothing can be made."""
    made = product.create_key(scopes=[scope])
    product.store(made.key.id, limits=[{"name": "half a limit"}])
    return Call(path, made.secret)


Situation = Callable[[Product, str, str], Call]
SITUATIONS: Mapping[str, Situation] = {
    "unauthorized": lambda _, path, __: Call(path),
    "invalid_key": dead,
    "organization_suspended": suspended,
    "route_not_configured": lambda product, _, scope: Call("/no.such.Service/Method", product.key(scopes=[scope])),
    "origin_not_allowed": lambda product, path, scope: Call(
        path, product.key(scopes=[scope], origins=product.origins("https://shop.example")), (EVIL,)
    ),
    "ip_not_allowed": lambda product, path, scope: Call(
        path, product.key(scopes=[scope], networks=product.networks("198.51.100.0/24"))
    ),
    "rate_limited": spent,
    # Envoy lets this pass; two servers could read it in two ways.
    "bad_request": lambda product, _, scope: Call("/v1/a;b=%3b/%25", product.key(scopes=[scope])),
    "unavailable": damaged,
}


@pytest.mark.products(*EVERY_EXAMPLE)
def test_a_grpc_client_gets_the_status_of_each_refusal(product: Product) -> None:
    """
    Not what Envoy makes of the HTTP status, for which 429 would be UNAVAILABLE and 400 INTERNAL.

    `wrong_organization` is missing: Envoy cannot name the organization of a resource.
    """
    path, scope, other = OPEN[product.name]
    calls = {reason: situation(product, path, scope) for reason, situation in SITUATIONS.items()}
    calls["insufficient_scope"] = Call(path, product.key(scopes=[other]))
    if len(product.facts.hosts) > 1:
        calls["wrong_environment"] = Call(path, product.key(scopes=[scope]), environment=[*product.facts.hosts][1])
    if product.name in CLOSED_TO_PAGES:
        page = product.key(kind="publishable", origins=product.origins("https://shop.example"))
        calls["kind_not_allowed"] = Call(
            CLOSED_TO_PAGES[product.name], page, headers=(("origin", "https://shop.example"),)
        )

    answers = {reason: told(product, call) for reason, call in calls.items()}

    assert {reason: code for reason, (code, _) in answers.items()} == {reason: CODES[reason] for reason in calls}
    # The message is the refusal in the product's own words, as over HTTP.
    assert {reason: type(json.loads(text)) for reason, (_, text) in answers.items()} == dict.fromkeys(calls, dict)


@pytest.mark.products("verifa")
def test_the_message_is_the_products_own(product: Product) -> None:
    """Byte for byte what an HTTP client gets as a body."""
    call = Call("/api/v1/sessions")

    assert told(product, call)[1] == product.send("POST", call.path).body.decode()


def test_every_reason_has_a_situation_somewhere() -> None:
    """None is left out but the one that Envoy cannot bring about."""
    assert set(CODES) == {*SITUATIONS, "insufficient_scope", "wrong_environment", "kind_not_allowed"}
    assert {*CODES, "wrong_organization"} == set(map(str, Reason))
