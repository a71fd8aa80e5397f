"""A gRPC client behind Envoy is told each refusal in its own words: `grpc-status`."""

from __future__ import annotations

import grpc
import pytest

from tests.support.products import Product

UNKNOWN = "op_live_" + "0" * 38


def code(product: Product, path: str, *headers: tuple[str, str], host: str | None = None) -> grpc.StatusCode:
    """Call a method that has this path and return the status."""
    authority = host or product.facts.hosts[product.default_environment]
    options = (("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(product.stack.address, options) as channel:
        with pytest.raises(grpc.RpcError) as told:
            channel.unary_unary(path)(b"", metadata=headers, timeout=10)
        status: grpc.StatusCode = told.value.code()
        return status


@pytest.mark.products("op")
def test_a_grpc_client_gets_the_status_of_each_refusal(product: Product) -> None:
    """Not what Envoy makes of the HTTP status, for which 429 would be UNAVAILABLE and 400 INTERNAL."""
    organization = product.organization()
    weak, closed = product.key(), product.key(organization_id=organization)
    product.suspend(organization)
    busy = product.key(scopes=["scan:create"])
    product.spend(busy, 700, "POST", "/v1/scan")

    def bearer(key: str) -> tuple[str, str]:
        return ("authorization", f"Bearer {key}")

    assert code(product, "/v1/scan") is grpc.StatusCode.UNAUTHENTICATED
    assert code(product, "/v1/scan", bearer(UNKNOWN)) is grpc.StatusCode.UNAUTHENTICATED
    assert code(product, "/v1/scan", bearer(weak)) is grpc.StatusCode.PERMISSION_DENIED
    assert code(product, "/v1/scan", bearer(closed)) is grpc.StatusCode.PERMISSION_DENIED
    assert code(product, "/v1/nothing", bearer(weak)) is grpc.StatusCode.PERMISSION_DENIED
    assert code(product, "/v1/a;b=%3b/%25", bearer(weak)) is grpc.StatusCode.INVALID_ARGUMENT
    until = [code(product, "/v1/scan", bearer(busy)) for _ in range(20)]
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in until


@pytest.mark.products("verifa")
def test_the_refusal_of_a_limited_kind_and_of_the_other_environment(product: Product) -> None:
    """Each kind of refusal that one product has and another has not."""
    page, secret = product.key(kind="publishable"), product.key()
    for _ in range(10):
        product.send("POST", "/api/v1/sessions", page)

    def key(text: str) -> tuple[str, str]:
        return ("x-api-key", text)

    sandbox = product.facts.hosts["sandbox"]
    assert code(product, "/api/v1/sessions", key(page)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code(product, "/api/v1/webhooks", key(page)) is grpc.StatusCode.PERMISSION_DENIED
    assert code(product, "/api/v1/sessions", key(secret), host=sandbox) is grpc.StatusCode.PERMISSION_DENIED
