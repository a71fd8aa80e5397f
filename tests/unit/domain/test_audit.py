"""The chain of the audit trail, without a database. How it is stored: tests/contract/stores/test_audit_chain.py."""

from __future__ import annotations

from typing import Any

import pytest

from authsvc.domain.audit import BEGINNING, AuditKey, AuditKeys
from authsvc.domain.audit_check import MOST, Anchor, Checkpoint, Report, TrailCheck, TrailHead
from authsvc.domain.hashing import Pepper, PepperSet

P1, P2 = Pepper("p1", b"1" * 32), Pepper("p2", b"2" * 32)
KEY = AuditKey.of(P1)
COLUMNS = {"seq": 1, "reason": "x", "after": {"b": [1, "\N{SNOWMAN}"], "a": None}, "before": None}


def chain(number: int, key: AuditKey = KEY) -> list[dict[str, Any]]:
    """Return a trail of so many events."""
    rows, mac = [], BEGINNING
    for seq in range(1, number + 1):
        columns = {"seq": seq, "reason": str(seq), "mac_key": key.id}
        mac = key.mac(mac, columns)
        rows.append({**columns, "mac": mac})
    return rows


def checked(
    rows: list[dict[str, Any]],
    head: TrailHead | None = None,
    anchor: Anchor | None = None,
    checkpoint: Checkpoint | None = None,
) -> Report:
    """Check a trail whose end is remembered as it is, unless told otherwise."""
    end = head or TrailHead(seq=rows[-1]["seq"] if rows else 0, mac=rows[-1]["mac"] if rows else None)
    check = TrailCheck({KEY.id: KEY}, checkpoint, end, anchor)
    for row in rows:
        check.see(row)
    return check.finish()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**COLUMNS, "reason": "y"}, id="value"),
        pytest.param({**COLUMNS, "seq": "1"}, id="type"),
        pytest.param({**COLUMNS, "more": ""}, id="more"),
        pytest.param({**COLUMNS, "after": {"b": ["1", "\N{SNOWMAN}"], "a": None}}, id="within"),
        pytest.param({**COLUMNS, "after": {"b": [1, "\N{SNOWMAN}"]}}, id="absent-within"),
    ],
)
def test_every_value_counts(other: dict[str, Any]) -> None:
    """With its type and its place."""
    assert KEY.mac(BEGINNING, COLUMNS) != KEY.mac(BEGINNING, other)


def test_what_does_not_count() -> None:
    """The order of columns and of names within a document, and columns without a value: one may be added later."""
    same = {"new": None, "after": {"a": None, "b": [1, "\N{SNOWMAN}"]}, "reason": "x", "seq": 1}

    assert KEY.mac(BEGINNING, COLUMNS) == KEY.mac(BEGINNING, same)


def test_the_event_before_and_the_key_count() -> None:
    """Else events could change places, or be made by whoever knows the columns."""
    macs = {KEY.mac(BEGINNING, COLUMNS), KEY.mac(b"x" * 32, COLUMNS), AuditKey.of(P2).mac(BEGINNING, COLUMNS)}

    assert len(macs) == 3


def test_the_keys_of_peppers() -> None:
    """One for each, that of the current one first; another label than any other use of a pepper."""
    keys = AuditKeys(PepperSet(P2, [P1]))

    assert [key.id for key in keys.all] == [AuditKey.of(P2).id, KEY.id]
    assert keys.current.id == AuditKey.of(P2).id
    assert len({KEY._secret, P1.check, P1.digest(""), P1.mac(b"", b"")}) == 4


def test_a_whole_trail_is_sound() -> None:
    """And its end is the anchor."""
    rows = chain(5)
    report = checked(rows)

    assert (report.sound, report.verified) == (True, 5)
    assert report.anchor == Anchor(seq=5, mac=rows[-1]["mac"])


@pytest.mark.parametrize("text", ["", "1", "0:" + "0" * 64, "1:" + "0" * 63, "1:" + "A" * 64, "1:" + "0" * 64 + "\n"])
def test_what_is_no_anchor(text: str) -> None:
    """Anything but what is printed as one."""
    assert Anchor.parsed(text) is None


def test_many_findings_are_counted() -> None:
    """Told are the first ones."""
    rows = [{**row, "reason": "x"} for row in chain(MOST + 5)]
    report = checked(rows)

    assert (len(report.findings), report.more, report.verified, report.anchor) == (MOST, 5, 0, None)


@pytest.mark.parametrize("value", [b"bytes", float("nan"), object()], ids=["bytes", "nan", "object"])
def test_what_nothing_of_ours_writes_is_not_authentic(value: object) -> None:
    """It is a finding, not a crash."""
    rows = chain(3)
    rows[1]["reason"] = value

    assert checked(rows).findings == ["event 2: altered, or moved from another place"]


def test_a_checkpoint_must_be_in_the_chain() -> None:
    """One that somebody else made, or whose event is not behind it, vouches for nothing."""
    rows = chain(5)
    mac = rows[1]["mac"]

    good = checked(rows[2:], checkpoint=Checkpoint(seq=4, through=2, mac=mac))
    forged = checked(rows[2:], checkpoint=Checkpoint(seq=9, through=2, mac=mac))
    wrong = checked(rows[2:], checkpoint=Checkpoint(seq=4, through=2, mac=b"x" * 32))

    assert (good.sound, good.removed, good.verified) == (True, 2, 3)
    assert forged.findings == ["the event that tells what was removed after its time is not authentic"]
    assert wrong.findings == ["event 3: altered, or moved from another place"]


def test_events_older_than_the_chain_may_be_removed() -> None:
    """Where the last one removed was such an event, the chain begins behind it."""
    rows: list[dict[str, Any]] = [{"seq": 3, "mac": None, "mac_key": None}]
    first = {"seq": 4, "mac_key": KEY.id}
    rows.append({**first, "mac": KEY.mac(BEGINNING, first)})

    report = checked(rows, checkpoint=Checkpoint(seq=4, through=2, mac=None))

    assert (report.findings, report.unchained, report.verified) == ([], 1, 1)
