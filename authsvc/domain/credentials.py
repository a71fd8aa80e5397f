"""Where in a request the key may sit, and how it is taken out of there, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authsvc.domain.key_text import presentable

AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """One header. With a scheme its value is `<scheme> <key>`, without one the key alone."""

    header: str  # lower case
    scheme: str | None  # lower case

    def key_in(self, value: str) -> str | None:
        """Return the key in a header's value; None when it is malformed."""
        if self.scheme is not None:
            # Exactly one blank: slicing leaves a second one in the key, where it is not presentable.
            end = len(self.scheme) + 1
            scheme = value[:end]
            # ASCII first: lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN).
            if not scheme.isascii() or scheme.lower() != self.scheme + " ":
                return None
            value = value[end:]
        return value if presentable(value) else None


def find_key(sources: Sequence[CredentialSource], headers: Mapping[str, str]) -> str | None:
    """
    Return the one presented key; None when there is none, when it is malformed, or when there are several.

    Only the configured headers are credentials; any other header is not looked at.
    """
    found: CredentialSource | None = None
    for source in sources:
        if source.header in headers:
            if found is not None:
                return None
            found = source
    return None if found is None else found.key_in(headers[found.header])
