"""What is written into the audit trail, each event chained to the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from authsvc.domain.administration import Actor
from authsvc.domain.audit import BEGINNING, AuditKey, Outcome
from authsvc.domain.keys import Micros, Revision
from authsvc.stores.rows import Row
from authsvc.stores.tables import audit_events

# What a row's mac is made of: all of it.
CHAINED = tuple(column.name for column in audit_events.c if column.name != "mac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the audit trail says about a change, beside who and when."""

    action: str
    target_kind: str
    target_id: str
    organization_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    count: int = 1  # how many alike it stands for


class Trail:
    """The end of the trail, held by the lock on `change_head`, which counted `events` more already."""

    def __init__(self, key: AuditKey, head: Row, events: int) -> None:
        self._key = key
        self._mac: bytes = head["audit_mac"] or BEGINNING
        self.next_seq: int = head["audit_seq"] - events + 1

    def chained(
        self, entries: Iterable[tuple[Actor, Event]], now: Micros, at: Revision | None, outcome: Outcome
    ) -> list[dict[str, Any]]:
        """Return the rows of events at the end, which lies behind them then."""
        return [self._chained(_columns(actor, event, now, at, outcome)) for actor, event in entries]

    @property
    def end(self) -> bytes:
        """What is to be remembered of where the trail ends, so that a missing end is noticed."""
        return self._mac

    def _chained(self, columns: dict[str, Any]) -> dict[str, Any]:
        row = {"seq": self.next_seq, **columns, "mac_key": self._key.id}
        self._mac = self._key.mac(self._mac, row)
        self.next_seq += 1
        return {**row, "mac": self._mac}


def of_one(actor: Actor, events: Sequence[Event]) -> Iterable[tuple[Actor, Event]]:
    """Return events that are all one actor's."""
    return ((actor, event) for event in events)


def _columns(actor: Actor, event: Event, now: Micros, at: Revision | None, outcome: Outcome) -> dict[str, Any]:
    return {
        "at": now,
        "actor_key_id": actor.key_id,
        "actor_organization_id": actor.organization_id,
        "address": actor.address,
        "action": event.action,
        "target_kind": event.target_kind,
        "target_id": event.target_id,
        "organization_id": event.organization_id,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
        "request_id": actor.request_id,
        "revision_epoch": None if at is None else at.epoch,
        "revision_seq": None if at is None else at.seq,
        "outcome": outcome.value,
        "count": event.count,
    }
