"""Where a key is in its life, for administrators. The rule that decides is `decision.check_status`."""

from __future__ import annotations

from enum import StrEnum

from authsvc.domain.keys import KeyRecord, Micros


class KeyStatus(StrEnum):
    """A key's status at one instant."""

    ACTIVE = "active"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DELETED = "deleted"
    ROTATING = "rotating"  # works until its grace ends


LIVE = frozenset({KeyStatus.ACTIVE, KeyStatus.ROTATING})


def status_of(record: KeyRecord, now: Micros) -> KeyStatus:
    """Return the status; every end is half-open, as in the rule."""
    if record.deleted_at is not None:
        return KeyStatus.DELETED
    if record.revoked_at is not None:
        return KeyStatus.REVOKED
    if record.not_before is not None and now < record.not_before:
        return KeyStatus.NOT_YET_VALID
    ends = last_instant(record)
    if ends is not None and now >= ends:
        return KeyStatus.EXPIRED
    return KeyStatus.ACTIVE if record.grace_ends_at is None else KeyStatus.ROTATING


def last_instant(record: KeyRecord) -> Micros | None:
    """Return the first instant at which a key works no longer by itself; None: it works on."""
    return min((end for end in (record.expires_at, record.grace_ends_at) if end is not None), default=None)
