"""The programs in Go that the service is compared with: bench/comparators."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.figures import BenchError

_SOURCE = Path(__file__).parent / "comparators"
_USUAL = "/usr/local/go/bin/go"


def compiler() -> str | None:
    """Return Go's command; None where Go is not installed."""
    return shutil.which("go") or (_USUAL if os.access(_USUAL, os.X_OK) else None)


def build(folder: Path) -> Path | None:
    """Build `empty` and `handwritten` into a folder and return it; None without Go. The first time loads packages."""
    go = compiler()
    if go is None:
        return None
    command = [go, "build", "-buildvcs=false", "-o", f"{folder}/", "./..."]
    done = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the comparators cannot be built:\n{done.stderr[-1500:]}")
    return folder


def version() -> str | None:
    """Return which Go there is."""
    go = compiler()
    if go is None:
        return None
    told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    return told.strip().removeprefix("go")
