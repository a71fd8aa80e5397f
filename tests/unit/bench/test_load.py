"""What h2load says is read as it is meant, and the servers' time is all of their time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import load
from bench.figures import BenchError
from bench.load import Load

LOAD = Load(address="127.0.0.1:1", path="/x", headers=("a: b",), seconds=2)
TOLD = """
finished in 2.00s, {rate} req/s, 1.5MB/s
requests: {done} total, {done} started, {done} done, {succeeded} succeeded, 0 failed, 0 errored, 0 timeout
"""
SCRIPT = """#!/bin/sh
echo "$@" >"{folder}/asked"
while [ $# -gt 0 ]; do
  if [ "$1" = --log-file ]; then cat "{folder}/answers" >"$2"; fi
  shift
done
cat "{folder}/told"
"""


@pytest.fixture
def h2load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a load generator on the path that says what a test has it say, and give its folder."""
    program = tmp_path / "h2load"
    program.write_text(SCRIPT.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "told").write_text(TOLD.format(rate="5000.00", done=10_000, succeeded=10_000))
    (tmp_path / "answers").write_text("".join(f"0\t200\t{took}\n" for took in range(1, 1001)))
    return tmp_path


def test_a_burst_has_its_rate_and_its_cost(h2load: Path) -> None:
    """Of a server that did nothing: none."""
    assert load.cost(LOAD, []) == {"cpu_us": 0.0, "kernel_us": 0.0, "rate": 5000.0}


def test_answers_that_are_refused_are_no_measurement(h2load: Path) -> None:
    """A server that fails fast is not fast."""
    (h2load / "told").write_text(TOLD.format(rate="5000.00", done=10_000, succeeded=9_999))

    with pytest.raises(BenchError):
        load.cost(LOAD, [])


def test_without_a_single_answer_there_is_no_cost(h2load: Path) -> None:
    """Nor a division by zero."""
    (h2load / "told").write_text(TOLD.format(rate="0.00", done=0, succeeded=0))

    with pytest.raises(BenchError):
        load.cost(LOAD, [])


def test_delays_are_told_as_percentiles(h2load: Path) -> None:
    """Of all answers of the burst."""
    assert load.delays(LOAD) == {"p50_us": 501.0, "p99_us": 991.0, "p999_us": 1000.0}


def test_what_was_not_answered_shows_at_a_fixed_rate(h2load: Path) -> None:
    """Twice as many requests were due, and each connection sends its part of them."""
    assert load.delays(replace(LOAD, rate=1000))["answered"] == 50.0
    assert "--rps 250.0" in (h2load / "asked").read_text()


def test_a_unix_socket_is_connected_to_as_such(h2load: Path) -> None:
    """The path of the socket is no part of the URL."""
    load.cost(replace(LOAD, address="unix:/run/fast.sock"), [])

    assert "--base-uri unix:/run/fast.sock http://localhost/x" in (h2load / "asked").read_text()


def test_without_the_load_generator_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BenchError, match="nghttp2-client"):
        load.cost(LOAD, [])


def test_the_time_of_children_is_counted() -> None:
    """A server's workers are the server."""
    burn = "import os, sys\nwhile sum(os.times()[:2]) < 0.2: pass\nprint(flush=True)\nsys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        spent = sum(load.processor_time([process.pid]))

        process.communicate()
    assert spent >= 0.2
