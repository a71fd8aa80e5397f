"""`authsvc serve --workers N`: several instances on one machine, begun, watched and ended together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping

from authsvc.cli.errors import USAGE
from authsvc.config import worker_environments
from authsvc.telemetry import logs

_LOG = logging.getLogger("authsvc")

_PAUSE = 1.0  # seconds before a worker that has died is replaced


def run(workers: int, log_level: str, drain: float) -> int:
    """Serve from so many processes until told to stop; the worst of their exit statuses. Raises `StartupError`."""
    logs.configure(log_level.upper())
    environments = worker_environments(os.environ, workers)
    command = [sys.executable, "-m", "authsvc.cli.main", "serve", "--log-level", log_level, "--drain", str(drain)]
    return asyncio.run(_Workers(command).run(environments))


class _Workers:
    """Processes that are spawned, not forked: a child forked beside gRPC's threads can hang."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._running: set[Process] = set()
        self._over = asyncio.Event()

    async def run(self, environments: list[dict[str, str]]) -> int:
        """Keep one process for each environment until a signal comes, or one of them cannot start."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._stop)
        kept = (self._keep(number, environment) for number, environment in enumerate(environments))
        return max(await asyncio.gather(*kept))

    async def _keep(self, number: int, environment: Mapping[str, str]) -> int:
        while not self._over.is_set():
            process = await asyncio.create_subprocess_exec(
                *self._command, env=environment, stdin=asyncio.subprocess.DEVNULL
            )
            self._running.add(process)
            if self._over.is_set():  # told while it was made
                process.terminate()
            status = await process.wait()
            self._running.discard(process)
            if self._over.is_set():
                return abs(status)
            if status == USAGE:
                # It has said why on standard error; the others would only hide that.
                self._stop()
                return status
            _LOG.error("worker %d ended with status %d; it is replaced", number, status)
            await self._pause()
        return 0

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_PAUSE):
                await self._over.wait()
        except TimeoutError:
            pass

    def _stop(self) -> None:
        self._over.set()
        for process in self._running:
            process.terminate()
