"""What administrators write: accepted, brought into one form, or refused by the name of its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authsvc.domain import inputs
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.inputs import WantedNetworks

ULID = "01JZ8K3V5T7W9X1Y3Z5A7B9C1D"


def wanted(*cidrs: str, allow_any: bool = False) -> WantedNetworks:
    """Return networks as asked for."""
    return WantedNetworks(cidrs=cidrs, allow_any=allow_any)


@pytest.mark.parametrize(
    ("read", "given", "expected"),
    [
        pytest.param(inputs.key_id, f"key_{ULID}", f"key_{ULID}", id="key-id"),
        pytest.param(inputs.organization_id, f"org_{ULID}", f"org_{ULID}", id="organization-id"),
        pytest.param(inputs.name, "Müller & Söhne <b>", "Müller & Söhne <b>", id="name"),
        pytest.param(inputs.name, "Mu\u0308ller", "M\u00fcller", id="name-composed"),
        pytest.param(inputs.name, "x" * 128, "x" * 128, id="longest-name"),
        pytest.param(inputs.name, "👩\u200d🚀", "👩\u200d🚀", id="joined-emoji"),
        pytest.param(inputs.organization_name, "Acme", "Acme", id="organization-name"),
        pytest.param(inputs.name, "\u06cc\u200c\u062e", "\u06cc\u200c\u062e", id="letters-held-apart"),
        pytest.param(inputs.name, "1\ufe0f\u20e3 ❤\ufe0f", "1\ufe0f\u20e3 ❤\ufe0f", id="chosen-variants"),
        pytest.param(inputs.reason, "", "", id="no-reason"),
        pytest.param(inputs.reason, "cafe\u0301", "caf\u00e9", id="reason-composed"),
        pytest.param(inputs.labels, {"a": "cafe\u0301"}, {"a": "caf\u00e9"}, id="label-composed"),
        pytest.param(inputs.request_id, "a" * 64, "a" * 64, id="request-id"),
        pytest.param(inputs.labels, {"b": "2", "a": ""}, {"a": "", "b": "2"}, id="labels"),
        pytest.param(inputs.networks, None, None, id="any-network"),
        pytest.param(inputs.origins, None, None, id="any-origin"),
    ],
)
def test_what_is_good_comes_back_in_one_form(read: Callable[[Any], Any], given: Any, expected: Any) -> None:
    """Good input is returned, names composed and labels sorted."""
    assert expected == read(given)


@pytest.mark.parametrize(
    ("read", "given", "field"),
    [
        pytest.param(inputs.key_id, "", "id", id="no-id"),
        pytest.param(inputs.key_id, f"key_{ULID.lower()}", "id", id="lower-case-id"),
        pytest.param(inputs.key_id, f"key_{ULID}\n", "id", id="id-with-newline"),
        pytest.param(inputs.key_id, f"org_{ULID}", "id", id="another-things-id"),
        pytest.param(inputs.key_id, "key_8" + ULID[1:], "id", id="id-beyond-128-bits"),
        pytest.param(inputs.organization_id, "Acme", "organization_id", id="name-for-id"),
        pytest.param(inputs.name, "", "name", id="no-name"),
        pytest.param(inputs.name, "x" * 129, "name", id="name-too-long"),
        pytest.param(inputs.name, "x" * 1_000_000, "name", id="name-of-a-megabyte"),
        pytest.param(inputs.name, " x", "name", id="blank-before"),
        pytest.param(inputs.name, "x ", "name", id="blank-after"),
        pytest.param(inputs.name, 'x\n{"level":', "name", id="newline"),
        pytest.param(inputs.name, "\x1b[31mred", "name", id="escape-sequence"),
        pytest.param(inputs.name, "a\x00b", "name", id="nul"),
        pytest.param(inputs.name, "a\u202eb", "name", id="turned-around"),
        pytest.param(inputs.name, "acme\u200b", "name", id="invisible-end"),
        pytest.param(inputs.name, "\ufeff", "name", id="nothing-to-see"),
        pytest.param(inputs.name, "acme\u3164", "name", id="blank-letter"),
        pytest.param(inputs.name, "\u2800", "name", id="blank-pattern"),
        pytest.param(inputs.name, "ac\u034fme", "name", id="invisible-mark"),
        pytest.param(inputs.name, "acme\U000e0041", "name", id="invisible-tag"),
        pytest.param(inputs.name, "authsvc-\u200doperators", "name", id="joined-to-nothing"),
        pytest.param(inputs.name, "acme\u200c\ufe0f", "name", id="joined-at-the-end"),
        pytest.param(inputs.name, "\u200d", "name", id="only-a-joiner"),
        pytest.param(inputs.name, "a\u2028b", "name", id="line-separator"),
        pytest.param(inputs.name, "a\ud800b", "name", id="surrogate"),
        pytest.param(inputs.organization_name, f"org_{ULID}", "name", id="name-like-an-id"),
        pytest.param(inputs.reason, "x" * 257, "reason", id="reason-too-long"),
        pytest.param(inputs.reason, "a\tb", "reason", id="tab-in-reason"),
        pytest.param(inputs.request_id, "x" * 65, "request_id", id="request-id-too-long"),
        pytest.param(inputs.request_id, "a b", "request_id", id="blank-in-request-id"),
        pytest.param(inputs.labels, {str(n): "" for n in range(17)}, "metadata", id="too-many-labels"),
        pytest.param(inputs.labels, {"A": ""}, "metadata", id="label-name"),
        pytest.param(inputs.labels, {"a" * 65: ""}, "metadata", id="label-name-too-long"),
        pytest.param(inputs.labels, {"a": "ü" * 129}, "metadata", id="label-too-long-in-bytes"),
        pytest.param(inputs.labels, {"a": "x" * 1_000_000}, "metadata", id="label-of-a-megabyte"),
        pytest.param(inputs.labels, {"a": "\r"}, "metadata", id="control-in-label"),
        pytest.param(inputs.networks, wanted(), "networks", id="empty-networks"),
        pytest.param(inputs.networks, wanted("10.0.0.1/8"), "networks[0]", id="host-bits"),
        pytest.param(inputs.networks, wanted("10.0.0.1", "10.0.0.0/33"), "networks[1]", id="too-narrow"),
        pytest.param(inputs.networks, wanted("1" * 50), "networks[0]", id="network-too-long"),
        pytest.param(inputs.networks, wanted("0.0.0.0/0"), "networks[0]", id="every-ipv4"),
        pytest.param(inputs.networks, wanted("::/0"), "networks[0]", id="every-ipv6"),
        pytest.param(inputs.networks, wanted("::ffff:0:0/96"), "networks[0]", id="every-mapped"),
        pytest.param(inputs.networks, wanted(*["10.0.0.1"] * 257), "networks", id="too-many-networks"),
        pytest.param(inputs.origins, (), "origins", id="empty-origins"),
        pytest.param(inputs.origins, ("https://a.example", "*"), "origins[1]", id="every-origin"),
        pytest.param(inputs.origins, ("https://*",), "origins[0]", id="every-https-origin"),
        pytest.param(inputs.origins, ("*.com",), "origins[0]", id="a-top-level-domain"),
        pytest.param(inputs.origins, ("https://*.*.x",), "origins[0]", id="two-wildcards"),
        pytest.param(inputs.origins, ("https://a.example",) * 65, "origins", id="too-many-origins"),
    ],
)
def test_what_is_not_good_is_refused_by_its_field(read: Callable[[Any], Any], given: Any, field: str) -> None:
    """The text names the field and stays short, whatever was given."""
    with pytest.raises(InvalidInputError) as raised:
        read(given)

    assert str(raised.value).startswith(f"{field}: ")
    assert len(str(raised.value)) < 120


def test_every_address_can_be_meant() -> None:
    """Blocks of all addresses are accepted from those who say so."""
    found = inputs.networks(wanted("0.0.0.0/0", "::/0", allow_any=True))

    assert found is not None
    assert [str(network) for network in found] == ["0.0.0.0/0", "::/0"]


def test_repeated_entries_count_once() -> None:
    """Networks and origins are sets in the order given."""
    networks = inputs.networks(wanted("10.0.0.0/8", "10.0.0.0/8"))
    origins = inputs.origins(("https://A.example", "https://a.example:443", "https://a.example"))

    assert networks is not None
    assert origins is not None
    assert (len(networks), len(origins)) == (1, 2)
