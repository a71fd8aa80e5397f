"""The reasons are on the wire."""

from __future__ import annotations

from authsvc.domain.reasons import WORDING, Reason


def test_reasons_are_never_renamed() -> None:
    """Callers branch on these strings; add to the list, never change it."""
    expected = {
        "unauthorized": 401,
        "invalid_key": 401,
        "organization_suspended": 403,
        "wrong_organization": 403,
        "route_not_configured": 403,
        "wrong_environment": 403,
        "kind_not_allowed": 403,
        "origin_not_allowed": 403,
        "ip_not_allowed": 403,
        "insufficient_scope": 403,
        "rate_limited": 429,
        "bad_request": 400,
        "unavailable": 503,
    }

    assert expected == {reason.value: WORDING[reason].status for reason in Reason}


def test_every_reason_is_worded() -> None:
    """A new reason cannot ship without a status and a sentence."""
    assert set(Reason) == set(WORDING)


def test_messages_need_no_escaping() -> None:
    """A message is safe in a header, in JSON and in HTML as it stands."""
    assert not [w.message for w in WORDING.values() if not w.message.isascii() or set(w.message) & set('"\\<>&\r\n')]
