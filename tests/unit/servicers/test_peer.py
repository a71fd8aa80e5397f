"""The address at the other end of a call."""

from __future__ import annotations

import pytest

from authsvc.servicers.peer import address_of


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        pytest.param("ipv4:192.0.2.1:50000", "192.0.2.1", id="ipv4"),
        pytest.param("ipv6:[2001:db8::1]:50000", "2001:db8::1", id="ipv6"),
        pytest.param("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1", id="ipv6-escaped"),
        pytest.param("ipv6:%5B::ffff:192.0.2.1%5D:50000", "192.0.2.1", id="mapped"),
        pytest.param("ipv6:%5Bfe80::1%25eth0%5D:50000", "fe80::1", id="zone"),
        pytest.param("unix:", None, id="socket"),
        pytest.param("unix:/run/authsvc.sock", None, id="named-socket"),
        pytest.param("", None, id="unknown"),
        pytest.param("ipv4:nonsense", None, id="nonsense"),
    ],
)
def test_address_of(peer: str, expected: str | None) -> None:
    """What gRPC calls the peer, as an address or as nothing."""
    assert expected == address_of(peer)
