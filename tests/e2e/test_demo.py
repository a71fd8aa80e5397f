"""`authsvc demo`, ended from outside."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.cli.demo import process
from tests.support.stack import TIMEOUT


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let what is started hear SIGINT: a run in the background ignores it, and its children would too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_it_leaves_nothing_behind(by: signal.Signals, tmp_path: Path) -> None:
    """The service and Envoy end with it, and its folder is gone, keys included."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(process.command("demo"), env=environ, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            assert any(line == "authsvc key list\n" for line in demo.stdout)  # the last one
            children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
            demo.send_signal(by)
            status = demo.wait(3 * TIMEOUT)
        finally:
            demo.terminate()  # whatever went wrong: leaving the block waits for its end

    assert (status, len(children)) == (0, 2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert list(tmp_path.iterdir()) == []
