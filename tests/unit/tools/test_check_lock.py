"""The lock file's guard lets the lock pass as it is, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "requirements.lock").read_text()
HASH = "    --hash=sha256:" + "0" * 64 + "\n"
PIN = next(line.removesuffix(" \\") for line in TEXT.splitlines() if line.startswith("sqlalchemy=="))


@pytest.fixture(scope="module")
def check_lock() -> ModuleType:
    """The tool, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("check_lock", ROOT / "tools" / "check_lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_is_current(check_lock: ModuleType) -> None:
    """What pyproject.toml asks for is what is locked and installed."""
    assert check_lock.problems_of(TEXT) == []


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        pytest.param(f"--index-url https://pypi.example/\n{TEXT}", "line 1 names a source", id="index"),
        pytest.param(f"# from pypi.example.com\n{TEXT}", "line 1 names a source", id="host"),
        pytest.param(TEXT.replace(PIN, "sqlalchemy @ file:/wheels/it.whl"), "names a source", id="file"),
        pytest.param(f"{TEXT}leftover==1.0 \\\n{HASH}", "nothing needs leftover (any more)", id="left-over"),
        pytest.param(f"{TEXT}leftover==1.0\n", "the last pin has no hash", id="no-hash"),
        pytest.param(TEXT.replace(PIN, "sqlalchemy==1.4.0"), "the lock has 1.4.0", id="too-old"),
        pytest.param(TEXT.replace(PIN, "other==1.0"), "sqlalchemy[asyncio]>=2.1: not in the lock", id="missing"),
        pytest.param(TEXT.replace(PIN, "sqlalchemy==2.99.0"), "the lock has 2.99.0, installed is", id="not-installed"),
        pytest.param(TEXT.replace(PIN, "sqlalchemy>=2.1"), "is neither a pin nor a hash", id="no-pin"),
    ],
)
def test_what_is_wrong_with_a_lock_is_told(check_lock: ModuleType, broken: str, problem: str) -> None:
    """One change to the lock that works is one complaint about it."""
    assert any(problem in line for line in check_lock.problems_of(broken))
