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
    import resource

    import uvloop

    _loop_factory = uvloop.new_event_loop

_LOG = logging.getLogger("authsvc")

_FILES = 65_536  # open at once; the usual 1,024 are as many as the connections that one listener takes


def run(log_level: str, drain: float) -> None:
    """Serve until told to stop. Raises `StartupError`."""
    logs.configure(log_level.upper())
    _allow_files()
    settings = Settings.from_environment(os.environ)
    config = load(settings.config)
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        runner.run(serve(config, settings, _announce, drain))


def _allow_files() -> None:
    """Use what the system lets us have: at the limit no listener, and no connection to the database, can be opened."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _announce(running: Running) -> None:
    listening = f"data {running.data}, fast {running.fast}, admin {running.admin}, metrics {running.metrics}"
    _LOG.info("serving", extra={"address": listening})
