"""Section E: where a request comes from, for a key that is held to networks, and networks that cannot be listed."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from authsvc_client.v1.key_pb2 import Key
from authsvc_client.v1.key_service_pb2 import GetKeyRequest, UpdateKeyRequest
from authsvc_client.v1.organization_service_pb2 import CreateOrganizationRequest
from authsvc_client.v1.restrictions_pb2 import NetworkList
from google.protobuf.field_mask_pb2 import FieldMask

from authsvc.domain.network import parse_network
from tests.conformance.inputs.callers import ADDRESS, GOOD, Caller
from tests.conformance.inputs.local import local_door, local_key, place
from tests.support.doors import Answer, check_request
from tests.support.products import Product

pytestmark = pytest.mark.databases("sqlite")

LIST = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fe80::/10")
ENVOY = "127.0.0.1"  # where tests come from
# Products that name how many proxies are theirs: what the second of them, Envoy, adds is its peer.
HOPS = {"verifa": 2}
INSIDE = [
    pytest.param("10.1.2.3", id="inside"),
    pytest.param("10.255.255.255", id="last"),
    pytest.param("192.0.2.7", id="single"),
    pytest.param("::ffff:10.1.2.3", id="E4-mapped"),
    pytest.param("::FFFF:10.1.2.3", id="E4-mapped-upper-case"),
    pytest.param("::ffff:a01:203", id="E4-mapped-in-hex"),
    pytest.param("2001:db8::1", id="v6"),
    pytest.param("2001:0DB8:0:0::0001", id="v6-in-full"),
    pytest.param("fe80::1", id="link-local"),
]
OUTSIDE = [
    pytest.param("11.1.2.3", id="outside"),
    pytest.param("192.0.2.8", id="beside"),
    pytest.param("2001:db9::1", id="v6-outside"),
    pytest.param("::ffff:11.1.2.3", id="E4-mapped-outside"),
    pytest.param("::10.1.2.3", id="E4-compatible"),
    pytest.param("64:ff9b::a01:203", id="E4-translated"),
    pytest.param("2002:a01:203::", id="E4-6to4"),
    pytest.param("010.1.2.3", id="E5-zero"),
    pytest.param("0x0a010203", id="E5-hex"),
    pytest.param("10.1", id="E5-short"),
    pytest.param("167838211", id="E5-number"),
    pytest.param("10.1.2.3.", id="E5-dot"),
    pytest.param("10.1.2.256", id="E5-too-high"),
    pytest.param("10.1.2.3:443", id="E5-port"),
    pytest.param("[2001:db8::1]", id="E5-brackets"),
    pytest.param("[2001:db8::1]:443", id="E5-brackets-port"),
    pytest.param("fe80::1%eth0", id="E5-zone"),
    pytest.param("2001:db8::1%1", id="E5-zone-number"),
    pytest.param("10.1.2.3/8", id="E5-network"),
    pytest.param("unknown", id="E5-unknown"),
    pytest.param("_hidden", id="E5-hidden"),
    pytest.param("localhost", id="E5-name"),
    pytest.param('"10.1.2.3"', id="E5-quoted"),
    pytest.param("for=10.1.2.3", id="E5-forwarded"),
    pytest.param("10.1.2.3 x", id="E5-more"),
    pytest.param("\u0661\u0660.1.2.3", id="E5-other-digits"),
    pytest.param("\uff11\uff10.1.2.3", id="E5-wide-digits"),
    pytest.param("1" * 5_000, id="E5-overlong"),
    pytest.param("", id="E7-nothing"),
    pytest.param("/run/envoy.sock", id="E7-socket"),
]


@pytest.fixture(scope="session")
def key(product: Product) -> str:
    """A key that is used from the listed networks only."""
    return Caller(product).key(networks=NetworkList(cidrs=LIST))


def come_from(caller: Caller, key: str, address: str) -> Any:
    """Ask as if the client's address were this: as the peer's, or behind the product's own proxies."""
    credential = caller.presented(key)
    if caller.product.name not in HOPS:
        return caller.check([credential], peer=address or None)
    return caller.check([credential, ("x-forwarded-for", f"{address}, {ENVOY}")], peer="10.9.9.9")


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside(caller: Caller, key: str, address: str) -> None:
    """In any spelling that means one address; a mapped one is the IPv4 address that it carries."""
    assert come_from(caller, key, address).status == 200


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_outside(caller: Caller, key: str, address: str) -> None:
    """And whatever is not plainly an address."""
    caller.refused(come_from(caller, key, address), ADDRESS)


@pytest.mark.parametrize("where", [None, "pipe", "empty"])
def test_e7_a_source_without_an_address(caller: Caller, key: str, where: str | None) -> None:
    """A Unix socket has none."""
    question = caller.question([caller.presented(key)], peer=None)
    if where == "empty":
        question.attributes.source.address.socket_address.port_value = 1
    elif where == "pipe":
        # Field 2 of Address, `pipe { path: "/x" }`, which our subset of the message does not know.
        question.attributes.source.address.MergeFromString(b"\x12\x04\x0a\x02/x")
    answer = Answer.of(
        caller.product.stack.channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")(
            question.SerializeToString(), timeout=10
        )
    )

    assert answer.outcome == (7, 403, ADDRESS)


def test_e1_headers_that_claim_an_address(caller: Caller) -> None:
    """Through Envoy: no header names the client but the one that is configured, and that not beyond our proxies."""
    inside = caller.presented(caller.key(networks=NetworkList(cidrs=["10.0.0.0/8"])))
    names = ("x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "forwarded", "x-envoy-external-address")
    for name in names:
        caller.refused(caller.send([inside, (name, "10.0.0.1")]), ADDRESS)
    for claimed in ("10.0.0.1, 203.0.113.9", "10.0.0.1, 10.0.0.1, 203.0.113.9", "10.0.0.1,"):
        caller.refused(caller.send([inside, ("x-forwarded-for", claimed)]), ADDRESS)


def test_e1_the_default_source_is_the_peer(caller: Caller) -> None:
    """Through Envoy, from this machine; behind proxies that were counted, the one before them."""
    here = caller.presented(caller.key(networks=NetworkList(cidrs=[f"{ENVOY}/32"])))
    claimed = ("x-forwarded-for", "203.0.113.9")
    if caller.product.name in HOPS:
        here = caller.presented(caller.key(networks=NetworkList(cidrs=["203.0.113.0/24"])))
        caller.refused(caller.send([here]), ADDRESS)

    assert caller.send([here, claimed]).status == 200


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    ("hops", "forwarded", "passes"),
    [
        pytest.param(1, "10.0.0.1", True, id="one"),
        pytest.param(1, "10.0.0.1, 203.0.113.9", False, id="one-claimed"),
        pytest.param(1, "203.0.113.9, 10.0.0.1", True, id="one-right"),
        pytest.param(2, "10.0.0.1, 203.0.113.9", True, id="two"),
        pytest.param(2, "10.0.0.1,\t203.0.113.9", True, id="two-tab"),
        pytest.param(2, "10.0.0.1", False, id="E3-too-few"),
        pytest.param(2, "10.0.0.1,", True, id="two-empty-last"),
        pytest.param(2, ",10.0.0.1", False, id="E3-empty-first"),
        pytest.param(3, "10.0.0.1, 10.0.0.2", False, id="E3-too-few-of-three"),
        pytest.param(2, None, False, id="E3-none"),
        pytest.param(2, "", False, id="E3-empty"),
        pytest.param(2, "10.0.0.1, 10.0.0.1, 203.0.113.9, 10.0.0.2", False, id="two-claimed"),
        pytest.param(2, "10.0.0.1:443, 203.0.113.9", False, id="E5-port"),
        pytest.param(1, "203.0.113.9, " * 4_999 + "10.0.0.1", True, id="E8-5000-entries"),
        pytest.param(1, "10.0.0.1, " * 4_999 + "203.0.113.9", False, id="E8-5000-claims"),
    ],
)
async def test_e3_hops_are_counted_from_the_right(name: str, hops: int, forwarded: str | None, passes: bool) -> None:  # noqa: FBT001 - a column
    """With a count configured: each proxy of ours appended one entry, and what is left of them is a claim."""
    network = parse_network("10.0.0.0/8")
    client = {"header": "x-forwarded-for", "trusted_hops": hops}
    asked = local_door(name, client_address=client, changed={"networks": (network,)})
    headers = [_credential(name), *([] if forwarded is None else [("x-forwarded-for", forwarded)])]
    answer = await asked.ask(
        method=GOOD[name].method, path=GOOD[name].path, headers=headers, extensions=place(name), peer="10.0.0.9"
    )

    assert answer.outcome == ((0, 0, "ok") if passes else (7, 403, ADDRESS))


async def test_e8_a_long_list_costs_next_to_nothing() -> None:
    """It is read from the right: 5,000 entries take less than a millisecond, the best of twenty."""
    client = {"header": "x-forwarded-for", "trusted_hops": 2}
    network = parse_network("203.0.113.0/24")
    asked, times = local_door("verifa", client_address=client, changed={"networks": (network,)}), []
    headers = [_credential("verifa"), ("x-forwarded-for", "203.0.113.9, " * 4_999 + "203.0.113.9")]
    payload = check_request(path=GOOD["verifa"].path, headers=headers, extensions=place("verifa")).SerializeToString()
    for _ in range(20):
        start = time.perf_counter()
        answer = Answer.of(await asked.answer(payload))
        times.append(time.perf_counter() - start)
        assert answer.allowed

    assert min(times) < 0.001


@pytest.mark.parametrize(
    "cidr",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.0.0.255",
        "10.0.0.0/",
        "10.0.0",
        "10.0.0.0/8/8",
        "010.0.0.0/8",
        "2001:db8::1/32",
        "2001:db8::/129",
        "fe80::%eth0/64",
        "::ffff:10.0.0.1/104",
        "0.0.0.0/0",
        "::/0",
        "localhost",
        "example.com/24",
        "*",
        "",
        " 10.0.0.0/8",
        "10.0.0.0/8\n",
        "\u0661\u0660.0.0.0/8",
        "1" * 5_000,
    ],
)
def test_e10_e11_networks_that_cannot_be_listed(caller: Caller, cidr: str) -> None:
    """INVALID_ARGUMENT, on keys and on organizations."""
    networks, codes = NetworkList(cidrs=["192.0.2.0/24", cidr]), []
    with pytest.raises(grpc.RpcError) as refused:
        caller.key(networks=networks)
    codes.append(refused.value.code())
    with pytest.raises(grpc.RpcError) as refused:
        caller.product.organization(networks=networks)
    codes.append(refused.value.code())

    assert codes == [grpc.StatusCode.INVALID_ARGUMENT] * 2


@pytest.mark.parametrize("count", [0, 257, 5_000])
def test_e10_e12_lists_that_are_empty_or_too_long(caller: Caller, count: int) -> None:
    """Present and empty would mean nobody, so it is a mistake; 256 is enough for everybody."""
    cidrs = [f"10.{number // 256}.{number % 256}.0/24" for number in range(count)]
    with pytest.raises(grpc.RpcError) as refused:
        caller.key(networks=NetworkList(cidrs=cidrs))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_e11_all_addresses_when_that_is_meant(caller: Caller) -> None:
    """`allow_any` says so."""
    networks = NetworkList(cidrs=["0.0.0.0/0", "::/0"], allow_any=True)
    key = caller.key(networks=networks)

    assert come_from(caller, key, "203.0.113.9").status == 200
    assert come_from(caller, key, "2001:db8::1").status == 200
    caller.refused(come_from(caller, key, "unknown"), ADDRESS)


def test_e12_a_list_is_cleared_by_an_update_only_when_it_is_absent(caller: Caller) -> None:
    """Empty is refused and changes nothing; named in the mask and absent, any address will do."""
    made = caller.product.create_key(scopes=[caller.good.scope], networks=NetworkList(cidrs=["10.0.0.0/8"]))
    keys = caller.product.stack.keys

    def update(key: Key) -> Any:
        request = UpdateKeyRequest(id=made.key.id, key=key, update_mask=FieldMask(paths=["networks"]))
        return caller.product.call(keys.UpdateKey, request)

    with pytest.raises(grpc.RpcError) as refused:
        update(Key(networks=NetworkList()))
    kept = caller.product.call(keys.GetKey, GetKeyRequest(id=made.key.id)).key
    caller.refused(come_from(caller, made.secret, "203.0.113.9"), ADDRESS)
    update(Key())

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(kept.networks.cidrs) == ["10.0.0.0/8"]
    assert come_from(caller, made.secret, "203.0.113.9").status == 200


def test_the_organization_counts_too(caller: Caller) -> None:
    """Its networks and the key's must both hold the address."""
    request = CreateOrganizationRequest(
        name=f"office of {caller.product.name}", networks=NetworkList(cidrs=["10.0.0.0/8"])
    )
    office = caller.product.call(caller.product.stack.customers.CreateOrganization, request).organization.id
    wide, narrow = (caller.key(organization_id=office, **terms) for terms in ({}, {"networks": _desk()}))

    assert [come_from(caller, wide, address).status for address in ("10.1.2.3", "10.9.9.9")] == [200, 200]
    assert come_from(caller, narrow, "10.1.2.3").status == 200
    for key, address in ((wide, "203.0.113.9"), (narrow, "10.9.9.9"), (narrow, "192.0.2.7")):
        caller.refused(come_from(caller, key, address), ADDRESS)


def _desk() -> NetworkList:
    return NetworkList(cidrs=["10.1.2.3", "192.0.2.7"])


def _credential(name: str) -> tuple[str, str]:
    bearer = name in ("veridia", "op")
    return ("authorization", f"Bearer {local_key(name)}") if bearer else ("x-api-key", local_key(name))
