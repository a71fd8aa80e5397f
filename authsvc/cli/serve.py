"""`authsvc serve`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from authsvc.config import Settings, load
from authsvc.server import Running, serve
from authsvc.telemetry import logs

if sys.platform == "win32":
    _loop_factory = None
else:
    import uvloop

    _loop_factory = uvloop.new_event_loop

_LOG = logging.getLogger("authsvc")


def run(log_level: str, drain: float) -> None:
    """Serve until told to stop. Raises `StartupError`."""
    logs.configure(log_level.upper())
    settings = Settings.from_environment(os.environ)
    config = load(settings.config)
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        runner.run(serve(config, settings, _announce, drain))


def _announce(running: Running) -> None:
    listening = f"data {running.data}, fast {running.fast}, admin {running.admin}, metrics {running.metrics}"
    _LOG.info("serving", extra={"address": listening})
