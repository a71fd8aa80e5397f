"""Whatever is done to a stored trail without the key is found, and nothing is where nothing was done."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc.domain.audit import BEGINNING, AuditKey
from authsvc.domain.audit_check import Anchor, Report, TrailCheck, TrailHead
from authsvc.domain.hashing import Pepper

KEY = AuditKey.of(Pepper("p1", b"1" * 32))
OTHER = AuditKey.of(Pepper("p2", b"2" * 32))

Row = dict[str, Any]

texts = st.text(max_size=5)
documents = st.none() | st.dictionaries(
    texts, st.integers() | texts | st.none() | st.lists(texts, max_size=2), max_size=3
)
events = st.fixed_dictionaries({"action": texts, "reason": texts, "count": st.integers(1, 9), "after": documents})
trails = st.lists(st.tuples(events, st.sampled_from([KEY, OTHER])), min_size=1, max_size=8)


def chained(written: list[tuple[Row, AuditKey]]) -> list[Row]:
    """Return events as they are stored."""
    rows, mac = [], BEGINNING
    for seq, (event, key) in enumerate(written, 1):
        columns = {**event, "seq": seq, "mac_key": key.id}
        mac = key.mac(mac, columns)
        rows.append({**columns, "mac": mac})
    return rows


def checked(rows: list[Row], head: TrailHead, anchor: Anchor | None = None) -> Report:
    """Check what is stored."""
    check = TrailCheck({KEY.id: KEY, OTHER.id: OTHER}, None, head, anchor)
    for row in rows:
        check.see(row)
    return check.finish()


def end(rows: list[Row]) -> TrailHead:
    """Return what is remembered of the end."""
    return TrailHead(seq=rows[-1]["seq"], mac=rows[-1]["mac"])


def tampered(data: st.DataObject, rows: list[Row]) -> list[Row]:
    """Edit, remove, move or copy events, and give them numbers that look right or not."""
    changed = [dict(row) for row in rows]
    for _ in range(data.draw(st.integers(1, 3))):
        if not changed:
            break
        at = data.draw(st.integers(0, len(changed) - 1))
        verb = data.draw(st.sampled_from(["edit", "remove", "swap", "copy", "strip", "key"]))
        if verb == "edit":
            changed[at] |= data.draw(events)
        elif verb == "remove":
            changed.pop(at)
        elif verb == "swap":
            other = data.draw(st.integers(0, len(changed) - 1))
            changed[at], changed[other] = changed[other], changed[at]
        elif verb == "copy":
            changed.insert(at, dict(changed[data.draw(st.integers(0, len(changed) - 1))]))
        elif verb == "strip":
            changed[at] |= {"mac": None, "mac_key": None}
        else:
            changed[at]["mac_key"] = data.draw(st.sampled_from([KEY.id, OTHER.id, "x"]))
    if data.draw(st.booleans()):
        return [{**row, "seq": seq} for seq, row in enumerate(changed, 1)]
    # A primary key: each number once, and they are read in their order.
    return [row for _, row in sorted({row["seq"]: row for row in changed}.items())]


@given(written=trails)
def test_an_untouched_trail_is_sound(written: list[tuple[Row, AuditKey]]) -> None:
    """Whatever it tells, and under whichever of the keys."""
    rows = chained(written)
    report = checked(rows, end(rows))

    assert (report.findings, report.verified) == ([], len(rows))
    assert checked(rows, end(rows), report.anchor).sound


@given(written=trails, data=st.data())
def test_tampering_is_found(written: list[tuple[Row, AuditKey]], data: st.DataObject) -> None:
    """As long as the end that is remembered stays."""
    rows = chained(written)
    changed = tampered(data, rows)
    assume(changed != rows)

    assert not checked(changed, end(rows)).sound


@given(written=trails, data=st.data())
def test_with_an_anchor_the_end_that_is_remembered_may_be_forged_too(
    written: list[tuple[Row, AuditKey]], data: st.DataObject
) -> None:
    """Whoever writes to the database can write both; what was kept elsewhere stays."""
    rows = chained(written)
    changed = tampered(data, rows)
    assume(changed != rows)
    forged = TrailHead(
        seq=changed[-1]["seq"] if changed else 0,
        mac=next((row["mac"] for row in reversed(changed) if row["mac"] is not None), None),
    )

    assert not checked(changed, forged, Anchor(seq=len(rows), mac=rows[-1]["mac"])).sound
