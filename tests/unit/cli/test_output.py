"""What commands print of records that the other tests do not come by."""

from __future__ import annotations

from authsvc_client.v1.key_pb2 import KEY_STATUS_NOT_YET_VALID, Key
from authsvc_client.v1.organization_pb2 import ORGANIZATION_STATUS_SUSPENDED, Organization
from authsvc_client.v1.restrictions_pb2 import NetworkList, OriginList
from google.protobuf.timestamp_pb2 import Timestamp

from authsvc.cli import output


def test_a_suspended_organization_says_since_when_and_why() -> None:
    """After its other fields."""
    organization = Organization(
        status=ORGANIZATION_STATUS_SUSPENDED, suspended_at=Timestamp(seconds=1), suspend_reason="unpaid"
    )

    record = output.organization_record(organization)

    assert ("status", "suspended") in record
    assert record[-1] == ("suspended", "1970-01-01T00:00:01Z unpaid")


def test_a_restricted_key_shows_its_restrictions() -> None:
    """Full access is told apart from named scopes."""
    key = Key(
        status=KEY_STATUS_NOT_YET_VALID,
        scopes=["keys:read"],
        full_access=True,
        origins=OriginList(origins=["https://a.example"]),
        networks=NetworkList(cidrs=["10.0.0.0/8"]),
    )

    record = dict(output.key_record(key))

    assert record["status"] == "not yet valid"
    assert record["scopes"] == "full access keys:read"
    assert (record["origins"], record["networks"]) == ("https://a.example", "10.0.0.0/8")
    assert dict(output.key_record(Key()))["scopes"] == "-"
