"""Networks against plain arithmetic on bits."""

from __future__ import annotations

import ipaddress

from hypothesis import event, given
from hypothesis import strategies as st

from authsvc.domain.network import client_address, contains, parse_address, parse_network

MAPPED = 0xFFFF << 32


@st.composite
def addresses(draw: st.DrawFn) -> tuple[str, int, int]:
    """Draw an address as text, with its version and value as they are to be read."""
    # Few distinct high bits, so that networks hold some of them.
    low = draw(st.integers(min_value=0, max_value=0xFFFF)) | draw(st.sampled_from([0, 10 << 24, 0xC0A80000]))
    form = draw(st.sampled_from(["4", "mapped", "mapped in full", "6"]))
    if form == "4":
        return str(ipaddress.IPv4Address(low)), 4, low
    if form.startswith("mapped"):
        text = (
            f"::ffff:{ipaddress.IPv4Address(low)}" if form == "mapped" else ipaddress.IPv6Address(MAPPED | low).exploded
        )
        return text, 4, low
    value = (0x20010DB8 << 96) | low
    address = ipaddress.IPv6Address(value)
    return draw(st.sampled_from([str(address), address.exploded, str(address).upper()])), 6, value


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, int, int, int]:
    """Draw a block around an address, with its version, value and prefix length."""
    text, version, value = draw(addresses())
    width = 32 if version == 4 else 128
    prefix = draw(st.integers(min_value=0, max_value=width))
    value = value >> (width - prefix) << (width - prefix)
    if version == 4 and text.startswith(("::", "0000")):
        return f"::ffff:{ipaddress.IPv4Address(value)}/{prefix + 96}", version, value, prefix
    return (
        f"{ipaddress.ip_address(value) if version == 4 else ipaddress.IPv6Address(value)}/{prefix}",
        version,
        value,
        prefix,
    )


@given(addresses(), st.lists(networks(), max_size=4))
def test_containment_equals_comparing_bits(host: tuple[str, int, int], blocks: list[tuple[str, int, int, int]]) -> None:
    """Of the same version, and equal as far as the prefix goes; mapped is IPv4 on either side."""
    text, version, value = host
    address = parse_address(text)
    parsed = [parse_network(block) for block, *_ in blocks]
    expected = any(
        kind == version
        and value >> ((32 if version == 4 else 128) - prefix) == start >> ((32 if version == 4 else 128) - prefix)
        for _, kind, start, prefix in blocks
    )

    assert address is not None
    assert None not in parsed
    assert expected == contains([network for network in parsed if network is not None], address)


@given(addresses())
def test_an_address_is_read_as_its_value(host: tuple[str, int, int]) -> None:
    """In every spelling a proxy would use."""
    text, version, value = host
    address = parse_address(text)

    assert address is not None
    assert (version, value) == (address.version, int(address))


NOISE = st.text(alphabet=st.sampled_from([*"0123456789abcdefx.:/%[] ", "\u0661", "\uff11", "\n"]), max_size=24)
OCTETS = st.sampled_from(["0", "1", "10", "255", "256", "01", "0x1", "1e0", "", "\uff11", "1 "])
NEAR = (
    st.lists(st.sampled_from(["0", "1", "10", "255"]) | OCTETS, min_size=4, max_size=4)
    .map(".".join)
    .flatmap(
        lambda text: st.sampled_from(
            [text, text, f"::ffff:{text}", f"::{text}", f"{text}:80", f"{text}%1", f"[{text}]"]
        )
    )
)


@given(st.text() | NOISE | NEAR | NEAR)
def test_an_accepted_address_has_one_reading(text: str) -> None:
    """No leading zeros, no zone, no port: written out again it is the same address."""
    address = parse_address(text)
    event(f"read: {address is not None}")
    if address is None:
        return

    assert text.isascii()
    assert not set(text) & set("%/[] \n")
    assert ":" in text or text == str(address)


@given(st.lists(NOISE.map(lambda t: t.strip()), min_size=1, max_size=8), st.integers(min_value=1, max_value=8))
def test_what_a_client_writes_never_moves_what_a_proxy_wrote(entries: list[str], hops: int) -> None:
    """Entries on the left, whatever they hold, change nothing for those counted from the right."""
    ours = [f"10.0.0.{number}" for number in range(hops)]
    forged = ", ".join([*entries, *ours])

    assert ours[0] == client_address("192.0.2.1", forged, hops)
    assert ours[0] == client_address("192.0.2.1", ", ".join(ours), hops)
    assert client_address("192.0.2.1", ", ".join(ours[1:]), hops) is None or hops == 1
