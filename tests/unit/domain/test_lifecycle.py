"""The status that administrators see agrees with the rule that decides."""

from __future__ import annotations

from itertools import product

import pytest

from authsvc.domain.decision import check_status
from authsvc.domain.lifecycle import LIVE, KeyStatus, last_instant, status_of
from tests.support.builders import NOW, attempt, bearer, record

INSTANTS = (None, NOW - 1, NOW, NOW + 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, KeyStatus.ACTIVE, id="active"),
        pytest.param({"not_before": NOW + 1}, KeyStatus.NOT_YET_VALID, id="not-yet-valid"),
        pytest.param({"not_before": NOW}, KeyStatus.ACTIVE, id="valid-from-now"),
        pytest.param({"expires_at": NOW}, KeyStatus.EXPIRED, id="expires-this-instant"),
        pytest.param({"expires_at": NOW + 1}, KeyStatus.ACTIVE, id="expires-next-instant"),
        pytest.param({"grace_ends_at": NOW + 1}, KeyStatus.ROTATING, id="rotating"),
        pytest.param({"grace_ends_at": NOW}, KeyStatus.EXPIRED, id="grace-is-over"),
        pytest.param({"revoked_at": NOW, "expires_at": NOW}, KeyStatus.REVOKED, id="revoked-before-expired"),
        pytest.param({"deleted_at": NOW, "revoked_at": NOW}, KeyStatus.DELETED, id="deleted-before-revoked"),
    ],
)
def test_status(changes: dict[str, int], expected: KeyStatus) -> None:
    """Each end has its status; every end is half-open."""
    assert expected is status_of(record(**changes), NOW)


def test_live_is_what_the_rule_lets_pass() -> None:
    """Over all combinations, a key is live exactly when the rule about status does not object."""
    for ends in product(INSTANTS, repeat=5):
        names = ("deleted_at", "revoked_at", "not_before", "expires_at", "grace_ends_at")
        key = record(**dict(zip(names, ends, strict=True)))

        assert (status_of(key, NOW) in LIVE) is (check_status(bearer(key), attempt(now=NOW)) is None)


def test_the_last_instant_is_the_first_end() -> None:
    """Expiry or grace, whichever comes first; neither is no end."""
    assert (
        last_instant(record()),
        last_instant(record(expires_at=1)),
        last_instant(record(expires_at=2, grace_ends_at=1)),
    ) == (None, 1, 1)
