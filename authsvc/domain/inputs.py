"""
What administrators write, checked and brought into one form. Every refusal names its field.

A refusal's text never quotes what was not understood: it may be a megabyte, or meant for a terminal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authsvc.domain.errors import InvalidInputError
from authsvc.domain.network import MAX_NETWORKS, Network, parse_network
from authsvc.domain.origins import MAX_ORIGINS, OriginPattern, parse_pattern

MAX_NAME_LENGTH = 128
MAX_REASON_LENGTH = 256
MAX_REQUEST_ID_LENGTH = 64
MAX_LABELS = 16
MAX_LABEL_LENGTH = 256  # bytes
MAX_NETWORK_LENGTH = 49  # bytes: a mapped address in full with its prefix

_LABEL_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_REQUEST_ID = re.compile(r"[!-~]{0,64}")
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_KEY_ID = re.compile(f"key_{_ULID}")
_ORGANIZATION_ID = re.compile(f"org_{_ULID}")
# Controls, lone surrogates and separators of lines; and what turns the direction of the text after it.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What shows nothing makes two names look alike: what Unicode says is ignored by default, and blanks in disguise.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Joiners and variation selectors are ignored too, but letters and emoji need them. Between others they do nothing.
_JOINS_NOTHING = re.compile(r"(?:\A|[ -~])[\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f]+(?:[ -~]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedNetworks:
    """Networks as asked for; `allow_any` says that a block of all addresses is meant."""

    cidrs: tuple[str, ...]
    allow_any: bool


def key_id(text: str, field: str = "id") -> str:
    """Return the id of a key."""
    if _KEY_ID.fullmatch(text) is None:
        raise InvalidInputError(f"{field}: a key's id is key_ and 26 characters")
    return text


def organization_id(text: str, field: str = "organization_id") -> str:
    """Return the id of an organization."""
    if not is_organization_id(text):
        raise InvalidInputError(f"{field}: an organization's id is org_ and 26 characters")
    return text


def is_organization_id(text: str) -> bool:
    """Whether text is an id, and not a name."""
    return _ORGANIZATION_ID.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether text is the id of a key or of an organization."""
    return _KEY_ID.fullmatch(text) is not None or is_organization_id(text)


def name(text: str) -> str:
    """Return a name for people, composed (NFC), so that two that look alike are alike."""
    composed = unicodedata.normalize("NFC", text) if len(text) <= MAX_NAME_LENGTH * 4 else text
    if not 0 < len(composed) <= MAX_NAME_LENGTH:
        raise InvalidInputError(f"name: 1 to {MAX_NAME_LENGTH} characters")
    if not _printable(composed) or composed != composed.strip() or _hides_something(composed):
        raise InvalidInputError("name: no control characters, nothing invisible, no blanks at either end")
    return composed


def name_prefix(text: str) -> str | None:
    """Return what names are to begin with, composed as they are; empty text restricts nothing."""
    composed = unicodedata.normalize("NFC", text) if len(text) <= MAX_NAME_LENGTH * 4 else text
    if len(composed) > MAX_NAME_LENGTH or not _printable(composed):
        raise InvalidInputError(f"filter.name_prefix: at most {MAX_NAME_LENGTH} characters, no control characters")
    return composed or None


def organization_name(text: str) -> str:
    """Return a name for an organization, which must not look like an id: commands take either."""
    composed = name(text)
    if composed.startswith("org_"):
        raise InvalidInputError("name: must not begin with org_, as ids do")
    return composed


def reason(text: str) -> str:
    """Return why something is done, composed."""
    composed = unicodedata.normalize("NFC", text) if len(text) <= MAX_REASON_LENGTH * 4 else text
    if len(composed) > MAX_REASON_LENGTH or not _printable(composed):
        raise InvalidInputError(f"reason: at most {MAX_REASON_LENGTH} characters, no control characters")
    return composed


def request_id(text: str) -> str:
    """Return the id of a request."""
    if not is_request_id(text):
        raise InvalidInputError(f"request_id: at most {MAX_REQUEST_ID_LENGTH} characters of visible ASCII")
    return text


def is_request_id(text: str) -> bool:
    """Whether text can be the id of a request."""
    return _REQUEST_ID.fullmatch(text) is not None


def labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata, sorted by name, with composed values."""
    if len(metadata) > MAX_LABELS:
        raise InvalidInputError(f"metadata: at most {MAX_LABELS} pairs")
    for label in metadata:
        if _LABEL_NAME.fullmatch(label) is None:
            raise InvalidInputError("metadata: names are 1 to 64 characters of a-z, 0-9, _, . and -")
    return {label: _label(value) for label, value in sorted(metadata.items())}


def networks(wanted: WantedNetworks | None) -> tuple[Network, ...] | None:
    """Return networks; None, for unrestricted, stays None and can come from nothing else."""
    if wanted is None:
        return None
    if not 0 < len(wanted.cidrs) <= MAX_NETWORKS:
        raise InvalidInputError(f"networks: 1 to {MAX_NETWORKS}; leave the field out for any")
    parsed = [_network(text, index, allow_any=wanted.allow_any) for index, text in enumerate(wanted.cidrs)]
    return tuple(dict.fromkeys(parsed))


def origins(wanted: Sequence[str] | None) -> tuple[OriginPattern, ...] | None:
    """Return origins; None, for unrestricted, stays None and can come from nothing else."""
    if wanted is None:
        return None
    if not 0 < len(wanted) <= MAX_ORIGINS:
        raise InvalidInputError(f"origins: 1 to {MAX_ORIGINS}; leave the field out for any")
    return tuple(dict.fromkeys(_origin(text, index) for index, text in enumerate(wanted)))


def _label(value: str) -> str:
    composed = unicodedata.normalize("NFC", value) if len(value) <= MAX_LABEL_LENGTH * 4 else value
    if not _printable(composed) or len(composed.encode()) > MAX_LABEL_LENGTH:
        raise InvalidInputError(f"metadata: values have at most {MAX_LABEL_LENGTH} bytes, no control characters")
    return composed


def _hides_something(text: str) -> bool:
    return not text.isascii() and (_INVISIBLE.search(text) is not None or _JOINS_NOTHING.search(text) is not None)


def _network(text: str, index: int, *, allow_any: bool) -> Network:
    network = parse_network(text) if len(text) <= MAX_NETWORK_LENGTH else None
    if network is None:
        raise InvalidInputError(f"networks[{index}]: an address, or a CIDR block without host bits")
    if network.prefixlen == 0 and not allow_any:
        raise InvalidInputError(f"networks[{index}]: holds every address; say allow_any if that is meant")
    return network


def _origin(text: str, index: int) -> OriginPattern:
    pattern = parse_pattern(text)
    if pattern is None:
        raise InvalidInputError(
            f"origins[{index}]: scheme://host[:port] with http or https; *. only before two or more labels"
        )
    return pattern


def _printable(text: str) -> bool:
    if text.isascii():
        return text.isprintable()
    return not any(character in _TURNING or unicodedata.category(character) in _UNPRINTABLE for character in text)
