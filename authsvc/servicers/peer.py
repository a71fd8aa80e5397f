"""The address at the other end of a call."""

from __future__ import annotations

from urllib.parse import unquote

from authsvc.domain.network import parse_address


def address_of(peer: str) -> str | None:
    """Return the address in gRPC's `ipv4:1.2.3.4:5` or `ipv6:[::1]:5`; None for anything else, Unix sockets too."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    host = unquote(rest).rpartition(":")[0].removeprefix("[").removesuffix("]")
    address = parse_address(host.partition("%")[0])
    return None if address is None else str(address)
