"""Addresses and networks. An IPv4-mapped IPv6 address is the IPv4 address it carries."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_NETWORKS = 256

_MAX_ADDRESS_LENGTH = 45  # of a mapped IPv6 address in full
# The standard library also reads netmasks, host masks (`/0.0.0.255` is a /24) and leading zeros.
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


def parse_address(text: str) -> Address | None:
    """Read one address as a proxy writes it; ports, zones, names and odd spellings are none."""
    if len(text) > _MAX_ADDRESS_LENGTH or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_network(text: str) -> Network | None:
    """Read an address or CIDR block; host bits, zones and netmasks are refused. A mapped block is its IPv4 block."""
    address, slash, prefix = text.partition("/")
    if len(address) > _MAX_ADDRESS_LENGTH or "%" in address or (slash and _PREFIX_LENGTH.fullmatch(prefix) is None):
        return None
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return _unmapped(network)
    return network


def contains(networks: Sequence[Network], address: Address) -> bool:
    """Whether any network holds the address; an empty list holds none."""
    return any(network.version == address.version and address in network for network in networks)


def client_address(peer: str | None, forwarded: str | None, trusted_hops: int) -> str | None:
    """
    Return the text of the client's address as the configured number of trusted proxies reports it.

    With no trusted hop the header is never read. Each trusted proxy appends one entry, so entries
    are counted from the right, and a list that is too short names nobody.
    """
    if trusted_hops == 0:
        return peer
    if forwarded is None:
        return None
    entries = forwarded.rsplit(",", trusted_hops)
    return entries[-trusted_hops].strip(" \t") if len(entries) >= trusted_hops else None


def _unmapped(network: ipaddress.IPv6Network) -> Network | None:
    mapped, prefix = network.network_address.ipv4_mapped, network.prefixlen - 96
    return ipaddress.ip_network((mapped, prefix)) if mapped is not None and prefix >= 0 else None
