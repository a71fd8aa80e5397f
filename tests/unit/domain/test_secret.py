"""A key's text on its way."""

from __future__ import annotations

from authsvc.domain.secret import Secret


def test_a_secret_shows_itself_only_when_asked() -> None:
    """No formatting of it, or of what holds it, contains the text."""
    secret = Secret("sk_live_canary")

    assert secret.reveal() == "sk_live_canary"
    assert "canary" not in f"{secret} {secret!r} {[secret]} {secret!s}"
