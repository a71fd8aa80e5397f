"""From the start of the process to its first answer."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

import grpc

from authsvc.cli.demo import process
from bench import servers
from bench.figures import BenchError, Column, Conditions, Figures, Goal, Measure, Samples, interleaved
from bench.load import CHECK, processor_time
from bench.request import allowed, check_request

STARTED = "authsvc serve"
# Seconds.
_RETRY = 0.01
_PATIENCE = 60.0


def _start(conditions: Conditions) -> Samples:
    environ = servers.environment(conditions.folder / "service")
    # What is installed has its bytecode; here the first start leaves it.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    servers.prepare(environ)
    with servers.service(environ) as service:
        message = check_request(service.administrator.key())
    return interleaved({STARTED: lambda: _first_answer(environ, message)}, conditions.rounds, warm_up=False)


def _first_answer(environ: Mapping[str, str], message: bytes) -> Figures:
    log = subprocess.DEVNULL
    began = time.monotonic()
    command = process.command("serve", "--drain", "0")
    running = subprocess.Popen(command, env=environ, stdin=log, stdout=log, stderr=log)
    try:
        while not _answered(environ["AUTHSVC_FAST_LISTEN"], message):
            if running.poll() is not None or time.monotonic() > began + _PATIENCE:
                raise BenchError("the service did not start")
            time.sleep(_RETRY)
        return {"seconds": time.monotonic() - began, "cpu": sum(processor_time([running.pid]))}
    finally:
        running.terminate()
        running.wait()


def _answered(address: str, message: bytes) -> bool:
    with grpc.insecure_channel(address) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        try:
            return allowed(ask(message, timeout=1))
        except grpc.RpcError:
            return False


MEASURES = (
    Measure(
        name="start",
        title="Start to first answer",
        how="from the process's start to the first Check that is allowed, its key loaded from SQLite",
        columns=(
            Column(name="seconds", heading="seconds", digits=2),
            Column(name="cpu", heading="CPU seconds", digits=2),
        ),
        run=_start,
        goals=(Goal(text="seconds to the first answer", row=STARTED, column="seconds", bound=1.0),),
    ),
)
