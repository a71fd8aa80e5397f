"""Where a list goes on: opaque to callers, and useless to any but the one it was made for."""

from __future__ import annotations

import base64
import binascii
import hmac

from authsvc.domain.errors import InvalidInputError
from authsvc.domain.hashing import Pepper, PepperSet

_CONTEXT = b"authsvc/page-token/1"
_MAC_SIZE = 16
_MAX_LENGTH = 1024


class PageTokens:
    """Seals positions. `binding` is all that must be the same on the next call: the caller, the RPC, the filter."""

    def __init__(self, peppers: PepperSet) -> None:
        self._peppers = peppers

    def seal(self, binding: bytes, after: str) -> str:
        """Return the token for what lies behind the id `after`; empty text is the end and stays empty."""
        if not after:
            return ""
        position = after.encode()
        return _text(_mac(self._peppers.current, binding, position) + position)

    def open(self, binding: bytes, token: str) -> str | None:
        """Return the position in a token of ours; None for the first page."""
        if not token:
            return None
        raw = _bytes(token) if len(token) <= _MAX_LENGTH else b""
        mac, position = raw[:_MAC_SIZE], raw[_MAC_SIZE:]
        # Every accepted pepper, so that a list goes on while the pepper is rotated; one that leaked signs nothing.
        own = (pepper for pepper in self._peppers.all if isinstance(pepper, Pepper))
        if not any(hmac.compare_digest(mac, _mac(pepper, binding, position)) for pepper in own):
            raise InvalidInputError("page_token: not one of this list; begin with the first page")
        return position.decode()


def _mac(pepper: Pepper, binding: bytes, position: bytes) -> bytes:
    return pepper.mac(_CONTEXT, len(binding).to_bytes(8, "big") + binding + position)[:_MAC_SIZE]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(token: str) -> bytes:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    # Base64 has several spellings of the same bytes; only ours is one of ours.
    return raw if _text(raw) == token else b""
