"""Secrets planted on purpose, and a search for them in whatever leaves the process."""

from __future__ import annotations

import base64
import io
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from authsvc.telemetry.logs import JsonFormatter

_MARGIN = 4  # characters at either end of base64 text that depend on the bytes around it


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the ways in which a secret may be written, each with a name."""
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    yield "percent", "".join(f"%{byte:02x}" for byte in secret).encode()
    yield "PERCENT", "".join(f"%{byte:02X}" for byte in secret).encode()
    yield "quoted", urllib.parse.quote_from_bytes(secret).encode()
    yield "escaped", secret.decode("latin-1").encode("unicode_escape")
    yield "octets", ", ".join(str(byte) for byte in secret).encode()
    for offset in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            yield f"{name}+{offset}", encode(b"\0" * offset + secret)[_MARGIN:-_MARGIN]


def leaks(text: bytes, secrets: Mapping[str, bytes]) -> list[str]:
    """Return what was found of the secrets, as `secret in form`."""
    return [
        f"{name} in {form}" for name, secret in secrets.items() for form, written in forms(secret) if written in text
    ]


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """Collect what every logger says from DEBUG on, as the service would print it; of grpc's own from INFO on."""
    collected = io.StringIO()
    handler = logging.StreamHandler(collected)
    handler.setFormatter(JsonFormatter())
    loggers = [logging.getLogger(), logging.getLogger("authsvc"), logging.getLogger("grpc")]
    before = [logger.level for logger in loggers]
    for logger, level in zip(loggers, (logging.DEBUG, logging.DEBUG, logging.INFO), strict=True):
        logger.setLevel(level)
    loggers[0].addHandler(handler)
    try:
        yield collected
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
