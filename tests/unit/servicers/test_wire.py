"""Administration's messages ⇄ domain values."""

from __future__ import annotations

from typing import Any

import pytest
from authsvc_client.v1 import key_pb2, key_service_pb2, organization_pb2, restrictions_pb2
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.administration import Key, Organization, OrganizationStatus
from authsvc.domain.errors import InvalidInputError
from authsvc.domain.inputs import WantedNetworks
from authsvc.domain.keys import Assurance
from authsvc.domain.lifecycle import KeyStatus
from authsvc.domain.network import parse_network
from authsvc.domain.origins import parse_pattern
from authsvc.domain.updating import KEY_FIELDS
from authsvc.ports import KeyFilter
from authsvc.servicers import wire
from authsvc.servicers.auth_wire import timestamp
from tests.support.builders import NOW, limit, record

END_OF_TIME = 253_402_300_800 * 1_000_000


@given(st.integers(0, END_OF_TIME - 1))
def test_instants_are_exact(micros: int) -> None:
    """From 1970 to the end of 9999, to the microsecond."""
    assert micros == wire.instant(timestamp(micros), "x")


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        pytest.param(-1, 0, id="before-1970"),
        pytest.param(253_402_300_800, 0, id="after-9999"),
        pytest.param(2**62, 0, id="far-after"),
        pytest.param(0, -1, id="negative-fraction"),
        pytest.param(0, 1_000_000_000, id="fraction-of-a-second-too-many"),
    ],
)
def test_what_is_no_instant_is_refused(seconds: int, nanos: int) -> None:
    """By its field."""
    with pytest.raises(InvalidInputError, match=r"^expires_at: "):
        wire.instant(Timestamp(seconds=seconds, nanos=nanos), "expires_at")


def test_a_fraction_of_a_microsecond_is_cut_off() -> None:
    """An end is never later than asked."""
    assert wire.instant(Timestamp(seconds=1, nanos=1999), "x") == 1_000_001


def test_absent_lists_stay_absent() -> None:
    """Unrestricted is not empty, in either direction."""
    absent = wire.wanted_key(key_service_pb2.CreateKeyRequest())
    empty = wire.wanted_key(
        key_service_pb2.CreateKeyRequest(
            origins=restrictions_pb2.OriginList(), networks=restrictions_pb2.NetworkList(allow_any=True)
        )
    )

    assert (absent.origins, absent.networks, absent.not_before, absent.expires_at) == (None, None, None, None)
    assert (empty.origins, empty.networks) == ((), WantedNetworks(cidrs=(), allow_any=True))
    assert not wire.key_message(key(), NOW).HasField("origins")


def test_a_key_is_shown_whole() -> None:
    """Every field of the record has its place."""
    network, origin = parse_network("10.0.0.0/8"), parse_pattern("https://a.example")
    assert network is not None
    assert origin is not None
    shown = key(
        origins=(origin,),
        networks=(network,),
        limits=(limit(), limit(count=3, period_ns=7)),
        not_before=1,
        expires_at=NOW,
        revoked_at=2,
        grace_ends_at=3,
        metadata={"a": "1"},
        scopes=("b:read", "a:read"),
        full_access=True,
    )

    message = wire.key_message(shown, NOW)

    unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
    assert unset == set()
    assert (message.status, list(message.scopes)) == (key_pb2.KEY_STATUS_REVOKED, ["a:read", "b:read"])
    assert (list(message.origins.origins), list(message.networks.cidrs)) == (["https://a.example"], ["10.0.0.0/8"])
    assert list(message.rate_limits) == ["10/minute", "3/7ns"]


def test_every_status_has_a_name_on_the_wire() -> None:
    """Ours and the proto's are the same but for the unspecified."""
    keys = {name.removeprefix("KEY_STATUS_").lower() for name in key_pb2.KeyStatus.keys()}  # noqa: SIM118 - an enum
    owners = {
        name.removeprefix("ORGANIZATION_STATUS_").lower()
        for name in organization_pb2.OrganizationStatus.keys()  # noqa: SIM118 - an enum
    }

    assert keys - {"unspecified"} == {status.value for status in KeyStatus} == {s.value for s in wire._KEY_STATUS}
    assert owners - {"unspecified"} == {status.value for status in OrganizationStatus}


def test_an_organization_is_shown_whole() -> None:
    """Every field has its place."""
    network = parse_network("10.0.0.0/8")
    assert network is not None
    organization = Organization(
        id="org_1",
        name="acme",
        status=OrganizationStatus.SUSPENDED,
        plan="pro",
        networks=(network,),
        metadata={"a": "1"},
        created_at=1,
        updated_at=2,
        suspended_at=3,
        suspend_reason="unpaid",
        etag="1",
    )

    message = wire.organization_message(organization)

    assert {field.name for field in message.DESCRIPTOR.fields} == {field.name for field, _ in message.ListFields()}
    assert message.status == organization_pb2.ORGANIZATION_STATUS_SUSPENDED


def test_every_field_of_a_filter_is_read() -> None:
    """One that were passed over would select more keys than were asked for."""
    nothing = wire.key_filter(key_service_pb2.KeyFilter())
    for field in key_service_pb2.KeyFilter.DESCRIPTOR.fields:
        message = key_service_pb2.KeyFilter()
        _set(message, field.name)

        found = wire.key_filter(message)

        assert [name for name in KeyFilter.__dataclass_fields__ if getattr(found, name) != getattr(nothing, name)] == [
            field.name
        ]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        pytest.param({"statuses": [0]}, "statuses", id="no-status"),
        pytest.param({"statuses": [99]}, "statuses", id="unheard-of-status"),
        pytest.param({"statuses": [1] * 7}, "statuses", id="many-statuses"),
        pytest.param({"name_prefix": "x" * 129}, "name_prefix", id="long-prefix"),
        pytest.param({"name_prefix": "\x1b"}, "name_prefix", id="escape"),
        pytest.param({"created_after": Timestamp(seconds=-1)}, "created_after", id="before-1970"),
        pytest.param({"unused": True, "last_used_before": Timestamp(seconds=1)}, "unused", id="contradiction"),
    ],
)
def test_a_malformed_filter_is_refused(fields: dict[str, Any], name: str) -> None:
    """By the name of its field."""
    with pytest.raises(InvalidInputError, match=rf"^filter\.{name}: "):
        wire.key_filter(key_service_pb2.KeyFilter(**fields))


@pytest.mark.parametrize("paths", [[], ["*"], ["id"], ["name", "created_by"], ["name.x"], ["Name"], ["etag"], [""]])
def test_a_mask_names_what_can_change(paths: list[str]) -> None:
    """And at least one of it."""
    with pytest.raises(InvalidInputError, match=r"^update_mask: "):
        wire.masked_fields(FieldMask(paths=paths), KEY_FIELDS)


def test_what_a_mask_does_not_name_is_not_read() -> None:
    """What it names keeps its presence: empty and absent are told apart."""
    key = key_pb2.Key(id="x", name="new", kind="ключ", origins=OriginList(), networks=NetworkList())

    only = wire.only(key, frozenset({"name", "origins", "expires_at"}))

    assert only == key_pb2.Key(name="new", origins=OriginList())
    assert (only.HasField("origins"), only.HasField("networks"), only.HasField("expires_at")) == (True, False, False)


@pytest.mark.parametrize(
    ("duration", "micros"),
    [(Duration(), 0), (Duration(seconds=1, nanos=999), 1_000_000), (Duration(nanos=1000), 1)],
)
def test_a_grace_is_read_in_microseconds(duration: Duration, micros: int) -> None:
    """Zero is one too."""
    assert wire.grace(duration) == micros


@pytest.mark.parametrize("duration", [Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=2**62)])
def test_a_grace_that_is_none_is_refused(duration: Duration) -> None:
    """Below zero or beyond what a duration can be."""
    with pytest.raises(InvalidInputError, match=r"^grace: "):
        wire.grace(duration)


def test_a_body_is_told_from_another() -> None:
    """By the kind of request and by every field; the order of labels does not matter."""
    bodies = [
        key_service_pb2.RevokeKeyRequest(id="x"),
        key_service_pb2.DeleteKeyRequest(id="x"),
        key_service_pb2.RevokeKeyRequest(id="y"),
        key_service_pb2.RevokeKeyRequest(id="x", force=True),
    ]
    forth = key_service_pb2.CreateKeyRequest(metadata={str(n): "" for n in range(50)})
    back = key_service_pb2.CreateKeyRequest(metadata={str(n): "" for n in reversed(range(50))})

    assert len({wire.body_of(body) for body in bodies}) == 4
    assert wire.body_of(forth) == wire.body_of(back)


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_has_bounds(size: int) -> None:
    """Neither negative nor beyond a thousand."""
    with pytest.raises(InvalidInputError, match=r"^page_size: "):
        wire.page_size(size)


def test_a_page_has_a_default() -> None:
    """Unset is a hundred."""
    assert (wire.page_size(0), wire.page_size(1), wire.page_size(1000)) == (100, 1, 1000)


@pytest.mark.parametrize("text", ["x" * 65, "a\x00b", "ключ", "a\nb"])
def test_a_word_is_short_and_plain(text: str) -> None:
    """Names of the configuration are; anything else never reaches the database."""
    with pytest.raises(InvalidInputError, match=r"^kind: "):
        wire.word(text, "kind")


def _set(message: key_service_pb2.KeyFilter, name: str) -> None:
    if name == "statuses":
        message.statuses.append(key_pb2.KEY_STATUS_ACTIVE)
    elif name == "unused":
        message.unused = True
    elif name in {"api", "organization_id", "kind", "environment", "name_prefix"}:
        setattr(message, name, "a")
    else:
        getattr(message, name).FromSeconds(1)


def key(**changes: object) -> Key:
    """A key as administrators see it."""
    return Key(
        record=record(**{"assurance": Assurance.UNKNOWN, **changes}),
        name="ci",
        hint="sk_live_abcd",
        created_at=1,
        created_by="key_1",
        updated_at=2,
        last_used_at=3,
        last_used_address="10.1.2.3",
        last_used_agent="curl",
        revoke_reason="leaked",
        successor_id="key_2",
        predecessor_id="key_0",
        etag="1",
        import_source="old",
        external_id="1",
    )
