"""What commands print: tables for people, protobuf JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from authsvc_client.v1.key_pb2 import Key, KeyAssurance, KeyStatus
from authsvc_client.v1.organization_pb2 import Organization, OrganizationStatus
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

ANY = "any"
NONE = "-"

Row = Sequence[str]


def say(text: str) -> None:
    """Print one line as it is."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Tell a person something beside the output."""
    sys.stderr.write(f"{text}\n")


def print_json(message: Message) -> None:
    """Print a response with the proto's field names, fields without a value included."""
    say(MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def print_table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print rows under their headings. Values are shown as they are: they may look like markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    _print(table)


def print_record(fields: Iterable[Row]) -> None:
    """Print one thing, a field a line."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(Text(name, style="bold"), Text(value))
    _print(table)


def key_row(key: Key) -> Row:
    """Return a key as a line of a list."""
    return (
        key.id,
        key.name,
        key.api,
        key.kind,
        key.environment or NONE,
        status(key),
        key.hint,
        instant(key.expires_at),
        instant(key.last_used_at),
    )


KEY_COLUMNS = ("ID", "NAME", "API", "KIND", "ENVIRONMENT", "STATUS", "HINT", "EXPIRES", "LAST USED")


def key_record(key: Key) -> list[Row]:
    """Return everything about a key."""
    fields: list[Row] = [
        ("id", key.id),
        ("name", key.name),
        ("status", status(key)),
        ("api", key.api),
        ("organization", key.organization_id),
        ("kind", key.kind),
        ("environment", key.environment or NONE),
        ("hint", key.hint),
        ("scopes", _scopes(key)),
        ("origins", " ".join(key.origins.origins) if key.HasField("origins") else ANY),
        ("networks", " ".join(key.networks.cidrs) if key.HasField("networks") else ANY),
        ("rate limits", " ".join(key.rate_limits) or NONE),
        ("works from", instant(key.not_before)),
        ("expires", instant(key.expires_at)),
        ("created", f"{instant(key.created_at)} by {key.created_by}"),
        *((("imported", f"{key.external_id} from {key.import_source}"),) if key.import_source else ()),
        *((("assurance", _assurance(key)),) if key.assurance else ()),
        ("last used", " ".join(filter(None, (instant(key.last_used_at), _client(key))))),
        *((f"metadata {name}", value) for name, value in sorted(key.metadata.items())),
    ]
    if key.HasField("revoked_at"):
        fields.append(("revoked", f"{instant(key.revoked_at)} {key.revoke_reason}".strip()))
    if key.predecessor_id:
        fields.append(("replaces", key.predecessor_id))
    if key.successor_id:
        fields.append(("replaced by", f"{key.successor_id}, works until {instant(key.grace_ends_at)}"))
    return fields


def _assurance(key: Key) -> str:
    return KeyAssurance.Name(key.assurance).removeprefix("KEY_ASSURANCE_").lower()


def organization_row(organization: Organization) -> Row:
    """Return an organization as a line of a list."""
    networks = " ".join(organization.networks.cidrs) if organization.HasField("networks") else ANY
    return organization.id, organization.name, organization_status(organization), organization.plan or NONE, networks


ORGANIZATION_COLUMNS = ("ID", "NAME", "STATUS", "PLAN", "NETWORKS")


def organization_record(organization: Organization) -> list[Row]:
    """Return everything about an organization."""
    names = ("id", "name", "status", "plan", "networks")
    fields: list[Row] = [
        *zip(names, organization_row(organization), strict=True),
        ("created", instant(organization.created_at)),
    ]
    if organization.HasField("suspended_at"):
        fields.append(("suspended", f"{instant(organization.suspended_at)} {organization.suspend_reason}".strip()))
    fields += [(f"metadata {name}", value) for name, value in sorted(organization.metadata.items())]
    return fields


def status(key: Key) -> str:
    """Return a key's status as people write it."""
    return KeyStatus.Name(key.status).removeprefix("KEY_STATUS_").lower().replace("_", " ")


def organization_status(organization: Organization) -> str:
    """Return an organization's status as people write it."""
    return OrganizationStatus.Name(organization.status).removeprefix("ORGANIZATION_STATUS_").lower()


def instant(timestamp: Timestamp) -> str:
    """Return an instant to the second, in UTC; an unset one is a dash."""
    return timestamp.ToJsonString()[:19] + "Z" if timestamp.seconds or timestamp.nanos else NONE


def _client(key: Key) -> str:
    address = f"from {key.last_used_address}" if key.last_used_address else ""
    return " ".join(filter(None, (address, f"by {key.last_used_agent}" if key.last_used_agent else "")))


def _scopes(key: Key) -> str:
    named = " ".join(key.scopes)
    return f"full access {named}".strip() if key.full_access else named or NONE


def _print(table: Table) -> None:
    # Files and pipes get no colours, and lines as long as they are.
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if terminal else 1000, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        say(line.rstrip())
