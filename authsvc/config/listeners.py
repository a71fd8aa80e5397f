"""Transport security of the listeners: what a section says, and whether it suits an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authsvc.config.models import ListenerSection, TlsSection
from authsvc.config.problems import Location
from authsvc.config.values import MICROS_PER_SECOND

_FIELDS = {
    "mtls": (("certificate", "key", "client_ca", "clients"), ()),
    "tls": (("certificate", "key"), ("client_ca", "clients")),
    "disabled": ((), ("certificate", "key", "client_ca", "clients")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a listener is secured. With a `client_ca` only the named clients may call."""

    certificate: Path
    key: Path
    client_ca: Path | None
    clients: frozenset[str]  # DNS names and URIs
    reload: float  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listener; None: plaintext."""

    tls: Tls | None
    allow_plaintext: bool


def check(section: ListenerSection) -> Iterator[tuple[Location, str]]:
    """Say what is half set or contradicts itself."""
    if section.tls is None:
        return
    needed, pointless = _FIELDS[section.tls.mode]
    for field in needed:
        if not getattr(section.tls, field):
            yield ("tls",), f"mode {section.tls.mode} needs {field}"
    for field in pointless:
        if getattr(section.tls, field):
            yield ("tls", field), f"has no meaning with mode {section.tls.mode}"
    if section.allow_plaintext and section.tls.mode != "disabled":
        yield ("allow_plaintext",), f"contradicts mode {section.tls.mode}"


def listener(section: ListenerSection, folder: Path) -> Listener:
    """Return one listener; the section must have passed its check."""
    return Listener(tls=_tls(section.tls, folder), allow_plaintext=section.allow_plaintext)


def _tls(section: TlsSection | None, folder: Path) -> Tls | None:
    if section is None or section.certificate is None or section.key is None:
        return None
    return Tls(
        certificate=folder / section.certificate,
        key=folder / section.key,
        client_ca=None if section.client_ca is None else folder / section.client_ca,
        clients=frozenset(section.clients),
        reload=section.reload / MICROS_PER_SECOND,
    )
