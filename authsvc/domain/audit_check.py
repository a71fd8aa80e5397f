"""Whether the audit trail is what was written: event by event, from the oldest that is kept to the newest."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsvc.domain.audit import BEGINNING, AuditKey

MOST = 20  # findings that are told one by one

_ANCHOR = re.compile(r"([1-9][0-9]{0,18}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The end of the trail as it was at some time, kept where nobody can change it."""

    seq: int
    mac: bytes

    @classmethod
    def parsed(cls, text: str) -> Anchor | None:
        """Read `SEQ:MAC`; None for anything else."""
        match = _ANCHOR.fullmatch(text)
        return None if match is None else cls(seq=int(match[1]), mac=bytes.fromhex(match[2]))

    def __str__(self) -> str:
        """Return the text that `parsed` reads."""
        return f"{self.seq}:{self.mac.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the event `seq` says was removed because it had been kept long enough: all up to `through`."""

    seq: int
    through: int
    mac: bytes | None  # that of the last event removed; None where that was older than the chain


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailHead:
    """Where the trail ends, as the service remembers it apart from the trail; an empty one ends at 0."""

    seq: int
    mac: bytes | None


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found."""

    verified: int = 0  # events that are authentic
    unchained: int = 0  # events from before there was a chain, which nothing can be told about
    removed: int = 0  # events that retention has removed
    findings: list[str] = field(default_factory=list)
    more: int = 0  # findings beyond `MOST`
    anchor: Anchor | None = None  # to be kept; None while nothing is chained
    old_anchor: bool = False  # the given one is of an event that retention has removed

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class TrailCheck:
    """Takes the events in their order, those behind the checkpoint, then tells what was wrong with them."""

    def __init__(
        self, keys: Mapping[str, AuditKey], checkpoint: Checkpoint | None, head: TrailHead, anchor: Anchor | None
    ) -> None:
        self._keys = keys
        self._checkpoint = checkpoint
        self._head = head
        self._anchor = anchor
        self._expected = 1 if checkpoint is None else checkpoint.through + 1
        self._previous = BEGINNING if checkpoint is None else checkpoint.mac or BEGINNING
        self._chained = checkpoint is not None and checkpoint.mac is not None
        self._vouched = checkpoint is None  # whether the checkpoint itself is authentic
        self._report = Report(removed=self._expected - 1)

    def see(self, row: Mapping[str, Any]) -> None:
        """Look at the next event; `row` has all of its columns, by name."""
        seq: int = row["seq"]
        missing, self._expected = seq - self._expected, seq + 1
        if missing:
            self._find(f"{missing} before event {seq}: missing")
        self._authenticate(row, after_gap=missing != 0)
        if self._anchor is not None and seq == self._anchor.seq and row["mac"] != self._anchor.mac:
            self._find(f"event {seq}: not the one that the anchor is of")

    def finish(self) -> Report:
        """Compare the end with what is remembered of it, and with the anchor."""
        head, last = self._head, self._expected - 1
        if last != head.seq:
            self._find(f"{head.seq - last} behind event {last}: missing")
        elif (head.mac or BEGINNING) != self._previous:
            self._find(f"event {last}: not the last that was written")
        if not self._vouched:
            self._find("the event that tells what was removed after its time is not authentic")
        self._compare_anchor()
        if self._report.sound and head.mac is not None:
            self._report.anchor = Anchor(seq=head.seq, mac=head.mac)
        return self._report

    def _authenticate(self, row: Mapping[str, Any], *, after_gap: bool) -> None:
        seq, mac = row["seq"], row["mac"]
        if mac is None:
            if self._chained:
                self._find(f"event {seq}: not authenticated, unlike those before it")
            self._report.unchained += 1
            return
        key, previous = self._keys.get(row["mac_key"] or ""), self._previous
        self._previous, self._chained = mac, True
        if key is None:
            self._find(f"event {seq}: its key is not here; the pepper file may lack a pepper")
        elif after_gap:
            return  # what it continues is not there
        elif _is_authentic(key, previous, row):
            self._report.verified += 1
            self._vouched |= self._checkpoint is not None and seq == self._checkpoint.seq
        else:
            self._find(f"event {seq}: altered, or moved from another place")

    def _compare_anchor(self) -> None:
        anchor, checkpoint = self._anchor, self._checkpoint
        if anchor is None:
            return
        if anchor.seq > self._head.seq:
            self._find(f"the anchor is of event {anchor.seq}, and the trail ends at {self._head.seq}: its end is cut")
        elif checkpoint is not None and anchor.seq == checkpoint.through and anchor.mac != checkpoint.mac:
            self._find(f"event {anchor.seq}: not the one that the anchor is of")
        self._report.old_anchor = checkpoint is not None and anchor.seq < checkpoint.through

    def _find(self, what: str) -> None:
        if len(self._report.findings) < MOST:
            self._report.findings.append(what)
        else:
            self._report.more += 1


def _is_authentic(key: AuditKey, previous: bytes, row: Mapping[str, Any]) -> bool:
    columns = {name: value for name, value in row.items() if name != "mac"}
    try:
        return hmac.compare_digest(row["mac"], key.mac(previous, columns))
    except (TypeError, ValueError):  # holds what nothing of ours would have written
        return False
