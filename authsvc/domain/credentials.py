"""Where in a request the key may sit, and how it is taken out of there, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from authsvc.domain.key_text import MAX_TEXT_LENGTH, presentable

AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """One header. With a scheme its value is `<scheme> <key>`, without one the key alone."""

    header: str  # lower case
    scheme: str | None  # lower case
    _start: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what a value begins with."""
        object.__setattr__(self, "_start", "" if self.scheme is None else self.scheme + " ")

    def text_in(self, value: str) -> str | None:
        """Return what stands where the key should in a header's value; None when nothing can."""
        if self._start:
            # Exactly one blank: slicing leaves a second one in the key, where it is not presentable.
            end = len(self._start)
            start = value[:end]
            # ASCII first: lower-casing makes ASCII letters of a few others (U+212A KELVIN SIGN).
            if not start.isascii() or start.lower() != self._start:
                return None
            value = value[end:]
        return value if len(value) <= MAX_TEXT_LENGTH else None


def find_text(sources: Sequence[CredentialSource], headers: Mapping[str, str]) -> str | None:
    """
    Return the one presented text; None when there is none, when it is too long, or when there are several.

    It may be no key's: whoever looks it up asks `presentable` unless the text is that of a known key. Only
    the configured headers are credentials; any other header is not looked at.
    """
    if len(sources) == 1:
        source = sources[0]
        value = headers.get(source.header)
        return None if value is None else source.text_in(value)
    found: CredentialSource | None = None
    for source in sources:
        if source.header in headers:
            if found is not None:
                return None
            found = source
    return None if found is None else found.text_in(headers[found.header])


def find_key(sources: Sequence[CredentialSource], headers: Mapping[str, str]) -> str | None:
    """Return the one presented key; None also when the text is malformed."""
    text = find_text(sources, headers)
    return text if text is not None and presentable(text) else None
