"""Addresses of listeners and targets: `host:port`, `[v6]:port` or `unix:/path`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_TCP = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/]+)):(?P<port>[0-9]{1,5})")
_UNIX = re.compile(r"unix:(?://)?(?P<path>/[^\0]+)")
_MAX_PORT = 65535
_WORKER_STEP = 10  # the ports of one worker lie within
_MAX_SOCKET_PATH = 107  # bytes, of sockaddr_un on Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP address, or the path of a Unix socket. Its text is what gRPC takes."""

    host: str = ""  # without brackets; empty for a socket
    port: int = 0  # 0: any free one
    path: str = ""  # of a socket

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket."""
        return bool(self.path)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.is_unix or self.host == "localhost":
            return True
        address = _ip(self.host)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address is not None and address.is_loopback

    def clashes(self, other: Address) -> bool:
        """Whether two listeners would share a socket or a port."""
        if self.is_unix or other.is_unix:
            return self.path == other.path
        return self.port == other.port != 0

    def reachable(self) -> Address:
        """Return the address by which a client on this machine finds the listener."""
        address = _ip(self.host)
        if address is None or not address.is_unspecified:
            return self
        return Address(host="127.0.0.1" if address.version == 4 else "::1", port=self.port)  # noqa: PLR2004 - IPv4

    def of_worker(self, number: int) -> Address | None:
        """
        Return where the worker of that number has this listener; None when there can be no such address.

        Number 0 has it here, each further one ten ports further, or at the path with `.number` at its end.
        """
        if self.is_unix:
            path = f"{self.path}.{number}" if number else self.path
            return Address(path=path) if len(path.encode()) <= _MAX_SOCKET_PATH else None
        port = self.port + _WORKER_STEP * number if self.port else 0
        return Address(host=self.host, port=port) if port <= _MAX_PORT else None

    def __str__(self) -> str:
        """Return the address as gRPC takes it."""
        if self.is_unix:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address | None:
    """Read an address; None when it is none."""
    if (match := _UNIX.fullmatch(text)) is not None:
        return Address(path=match["path"]) if len(match["path"].encode()) <= _MAX_SOCKET_PATH else None
    match = _TCP.fullmatch(text)
    if match is None or int(match["port"]) > _MAX_PORT:
        return None
    host = match["six"] or match["host"].lower()
    if match["six"]:
        valid = isinstance(_ip(host), ipaddress.IPv6Address)
    else:
        # A last label of digits is an IPv4 address or nothing: 127.1 and 010.0.0.1 are no names.
        numeric = host.rpartition(".")[2].isdigit()
        valid = isinstance(_ip(host), ipaddress.IPv4Address) if numeric else _NAME.fullmatch(host) is not None
    return Address(host=host, port=int(match["port"])) if valid else None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
