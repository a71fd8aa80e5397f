"""The benchmark runs against a real service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_measure_of_a_real_service_leaves_its_figures(tmp_path: Path) -> None:
    """The shortest one: from the start to the first answer, once."""
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--only", "start", "--rounds", "1", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["samples"]["start"]["authsvc serve"]["seconds"][0] > 0
    assert "| seconds to the first answer | `start` | ≤ 1 |" in done.stdout
