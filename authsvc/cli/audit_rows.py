"""What `authsvc audit` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from authsvc_client.v1.audit_service_pb2 import AuditEvent, AuditOutcome
from google.protobuf.json_format import MessageToJson

from authsvc.cli.errors import USAGE, CommandError
from authsvc.cli.output import NONE, Row, instant
from authsvc.domain.audit_check import Anchor, Report

COLUMNS = ("SEQ", "TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "COUNT", "REASON")
THIS_MACHINE = "this machine"
_LONGEST = 128  # characters of an anchor, and more than any has


def row(event: AuditEvent) -> Row:
    """Return an event as a line of a list."""
    outcome = AuditOutcome.Name(event.outcome).removeprefix("AUDIT_OUTCOME_").lower()
    return (
        str(event.seq),
        instant(event.time),
        event.actor_key_id or THIS_MACHINE,
        event.action,
        event.target_id or event.target_type or NONE,
        outcome,
        str(event.count),
        event.reason or NONE,
    )


def line(event: AuditEvent) -> str:
    """Return an event as a line of JSON."""
    return MessageToJson(
        event, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )


def anchor(text_or_file: str) -> Anchor:
    """Read an anchor, or the file that holds one."""
    parsed = Anchor.parsed(text_or_file)
    if parsed is not None:
        return parsed
    try:
        with Path(text_or_file).open(encoding="ascii") as file:
            parsed = Anchor.parsed(file.read(_LONGEST).strip())
    except OSError as error:
        raise CommandError(f"--anchor: neither SEQ:MAC nor a file that can be read: {error.strerror}", USAGE) from None
    except UnicodeDecodeError:
        parsed = None
    if parsed is None:
        raise CommandError("--anchor: the file must hold what `authsvc audit verify` called the anchor", USAGE)
    return parsed


def report_lines(report: Report) -> Iterator[str]:
    """Yield what there is to say about a trail that was verified."""
    yield f"{report.verified} events are authentic"
    if report.unchained:
        yield f"{report.unchained} events are older than the chain: nothing can be told about them"
    if report.removed:
        yield f"{report.removed} events were removed after their time"
    if report.old_anchor:
        yield "the anchor is of an event that was removed after its time: keep a newer one"
    yield from report.findings
    if report.more:
        yield f"and {report.more} more like these"
    if report.anchor is not None:
        yield f"anchor: {report.anchor}"


def report_json(report: Report) -> str:
    """Return the same for programs."""
    return json.dumps(
        {
            "sound": report.sound,
            "verified": report.verified,
            "unchained": report.unchained,
            "removed": report.removed,
            "old_anchor": report.old_anchor,
            "findings": report.findings,
            "more_findings": report.more,
            "anchor": "" if report.anchor is None else str(report.anchor),
        },
        indent=2,
    )
