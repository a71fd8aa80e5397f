"""Addresses, networks, and whose address it is."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from authsvc.domain.network import client_address, contains, parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("10.1.2.3", "10.1.2.3", id="ipv4"),
        pytest.param("2001:db8::1", "2001:db8::1", id="ipv6"),
        pytest.param("2001:DB8::1", "2001:db8::1", id="ipv6-upper-case"),
        pytest.param("::ffff:10.1.2.3", "10.1.2.3", id="mapped"),
        pytest.param("::ffff:0a01:0203", "10.1.2.3", id="mapped-in-hex"),
        pytest.param("0000:0000:0000:0000:0000:ffff:192.168.100.200", "192.168.100.200", id="longest"),
        pytest.param("::10.1.2.3", "::a01:203", id="compatible-is-not-mapped"),
        pytest.param("64:ff9b::10.1.2.3", "64:ff9b::a01:203", id="nat64-is-not-mapped"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    """A mapped address is the IPv4 address it carries; no other form is unwrapped."""
    assert ip_address(address) == parse_address(text)


NO_ADDRESSES = [
    pytest.param("", id="empty"),
    pytest.param("010.1.2.3", id="leading-zero"),
    pytest.param("0177.0.0.1", id="octal"),
    pytest.param("0x0a010203", id="hex"),
    pytest.param("0x7f.0.0.1", id="hex-octet"),
    pytest.param("167837955", id="decimal"),
    pytest.param("10.1", id="short"),
    pytest.param("10.1.2", id="three-octets"),
    pytest.param("10.1.2.3.4", id="five-octets"),
    pytest.param("10.1.2.256", id="octet-too-large"),
    pytest.param("10.1.2.3:443", id="port"),
    pytest.param("[::1]", id="brackets"),
    pytest.param("[::1]:443", id="brackets-and-port"),
    pytest.param("unknown", id="unknown"),
    pytest.param("_hidden", id="obfuscated"),
    pytest.param("localhost", id="name"),
    pytest.param(" 10.1.2.3", id="leading-blank"),
    pytest.param("10.1.2.3\n", id="trailing-newline"),
    pytest.param("10.1.2.3\0", id="nul"),
    pytest.param("10.1.2.3/32", id="block"),
    pytest.param("10.1.2.3,10.1.2.4", id="two"),
    pytest.param("fe80::1%eth0", id="zone"),
    pytest.param("fe80::1%25eth0", id="escaped-zone"),
    pytest.param("::ffff:10.1.2.3%1", id="mapped-with-zone"),
    pytest.param("::ffff:010.1.2.3", id="mapped-with-leading-zero"),
    pytest.param("\u0661\u0660.1.2.3", id="arabic-digits"),
    pytest.param("\uff11\uff10.1.2.3", id="full-width-digits"),
    pytest.param("10\u30021\u30022\u30023", id="ideographic-full-stops"),
    pytest.param("::\uff46", id="full-width-hex"),
    pytest.param("1" * 100_000, id="100-kb-digits"),
    pytest.param(":" * 100_000, id="100-kb-colons"),
    pytest.param("1." * 50_000, id="100-kb-octets"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_no_addresses(text: str) -> None:
    """Odd spellings are refused: readers disagree on what they mean."""
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "network"),
    [
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="ipv4"),
        pytest.param("10.1.2.3", "10.1.2.3/32", id="ipv4-address"),
        pytest.param("2001:db8::/32", "2001:db8::/32", id="ipv6"),
        pytest.param("::1", "::1/128", id="ipv6-address"),
        pytest.param("0.0.0.0/0", "0.0.0.0/0", id="all-of-ipv4"),
        pytest.param("::/0", "::/0", id="all-of-ipv6"),
        pytest.param("::ffff:10.0.0.0/104", "10.0.0.0/8", id="mapped"),
        pytest.param("::ffff:10.1.2.3", "10.1.2.3/32", id="mapped-address"),
        pytest.param("::ffff:0:0/96", "0.0.0.0/0", id="all-of-ipv4-mapped"),
    ],
)
def test_networks(text: str, network: str) -> None:
    """A block is read as written; a mapped one is its IPv4 block."""
    assert ip_network(network) == parse_network(text)


@pytest.mark.parametrize(
    "text",
    [
        *[case for case in NO_ADDRESSES if case.id != "block"],
        pytest.param("10.0.0.1/8", id="host-bits"),
        pytest.param("2001:db8::1/32", id="ipv6-host-bits"),
        pytest.param("::ffff:0:0/95", id="mapped-host-bits"),
        pytest.param("10.0.0.0/33", id="prefix-too-long"),
        pytest.param("::/129", id="ipv6-prefix-too-long"),
        pytest.param("10.0.0.0/-1", id="negative-prefix"),
        pytest.param("10.0.0.0/+8", id="signed-prefix"),
        pytest.param("10.0.0.0/08", id="padded-prefix"),
        pytest.param("10.0.0.0/", id="empty-prefix"),
        pytest.param("10.0.0.0/8/8", id="two-prefixes"),
        pytest.param("10.0.0.0/ 8", id="blank"),
        pytest.param("10.0.0.0/8\n", id="newline"),
        pytest.param("10.0.0.0/\u0668", id="arabic-prefix"),
        pytest.param("10.0.0.0/255.0.0.0", id="netmask"),
        pytest.param("10.0.0.0/0.255.255.255", id="host-mask"),
        pytest.param("0.0.0.0/0.0.0.0", id="netmask-of-everything"),
        pytest.param("fe80::%eth0/64", id="zoned-block"),
        pytest.param("10.0.0.0/" + "8" * 100_000, id="100-kb-prefix"),
    ],
)
def test_no_networks(text: str) -> None:
    """Host bits, masks and odd spellings are somebody's mistake, and mistakes here open doors."""
    assert parse_network(text) is None


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        pytest.param("10.0.0.0/8", "10.1.2.3", True, id="inside"),
        pytest.param("10.0.0.0/8", "11.0.0.0", False, id="just-outside"),
        pytest.param("10.0.0.0/8", "::ffff:10.1.2.3", True, id="mapped-inside"),
        pytest.param("::ffff:10.0.0.0/104", "10.1.2.3", True, id="mapped-rule"),
        pytest.param("::/0", "10.1.2.3", False, id="ipv6-does-not-hold-ipv4"),
        pytest.param("::/0", "::ffff:10.1.2.3", False, id="nor-mapped-ipv4"),
        pytest.param("0.0.0.0/0", "2001:db8::1", False, id="ipv4-does-not-hold-ipv6"),
        pytest.param("10.0.0.0/8", "::10.1.2.3", False, id="compatible"),
        pytest.param("2001:db8::/32", "2001:db8:ffff::1", True, id="ipv6-inside"),
        pytest.param("10.1.2.3", "10.1.2.3", True, id="itself"),
    ],
)
def test_contains(network: str, address: str, *, inside: bool) -> None:
    """Versions never mix, except that mapped addresses are IPv4."""
    block, host = parse_network(network), parse_address(address)
    assert block is not None
    assert host is not None

    assert inside == contains([block], host)


def test_an_empty_list_holds_nobody() -> None:
    """Empty is not unrestricted."""
    assert not contains([], ip_address("10.1.2.3"))


def test_one_matching_network_is_enough() -> None:
    """A list is a union."""
    assert contains([ip_network("192.0.2.0/24"), ip_network("10.0.0.0/8")], ip_address("10.1.2.3"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "expected"),
    [
        pytest.param("192.0.2.1", "10.0.0.1, 10.0.0.2", 0, "192.0.2.1", id="no-hop-ignores-the-header"),
        pytest.param(None, "10.0.0.1", 0, None, id="no-hop-and-no-peer"),
        pytest.param("192.0.2.1", None, 1, None, id="no-header"),
        pytest.param("192.0.2.1", "10.0.0.1", 1, "10.0.0.1", id="one-hop"),
        pytest.param("192.0.2.1", "10.0.0.1, 10.0.0.2", 1, "10.0.0.2", id="a-forged-entry-stays-left"),
        pytest.param("192.0.2.1", "6.6.6.6, 10.0.0.1, 10.0.0.2", 2, "10.0.0.1", id="two-hops"),
        pytest.param("192.0.2.1", "10.0.0.1,\t10.0.0.2 ", 2, "10.0.0.1", id="blanks"),
        pytest.param("192.0.2.1", "10.0.0.2", 2, None, id="too-few-entries"),
        pytest.param("192.0.2.1", "", 1, "", id="empty-header-names-nobody"),
        pytest.param("192.0.2.1", "10.0.0.1,,10.0.0.2", 2, "", id="empty-entry-names-nobody"),
        pytest.param("192.0.2.1", "10.0.0.1\n", 1, "10.0.0.1\n", id="a-newline-is-no-blank"),
        pytest.param("192.0.2.1", "\u00a010.0.0.1", 1, "\u00a010.0.0.1", id="a-no-break-space-is-no-blank"),
    ],
)
def test_client_address(peer: str | None, forwarded: str | None, hops: int, expected: str | None) -> None:
    """Entries are counted from the right, where our own proxies wrote them."""
    assert expected == client_address(peer, forwarded, hops)


class _Splits(str):
    """A header that notes how often it may be split."""

    __slots__ = ("asked",)

    def rsplit(self, sep: str | None = None, maxsplit: int = -1) -> list[str]:  # type: ignore[override]
        """Split, and remember the bound."""
        self.asked = maxsplit
        return super().rsplit(sep, maxsplit)


def test_a_long_header_is_read_from_the_right_only_as_far_as_needed() -> None:
    """Five thousand forged entries cost as many splits as there are hops."""
    header = _Splits("6.6.6.6, " * 5_000 + "10.0.0.1, 10.0.0.2")

    assert client_address("192.0.2.1", header, 2) == "10.0.0.1"
    assert header.asked == 2
