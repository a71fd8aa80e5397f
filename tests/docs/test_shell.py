"""Commands in the documentation run, or at least exist."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, Block, blocks, inline_code, params

PATIENCE = 120  # seconds
OF_A_LINE = 10  # seconds more for each
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


def clean_environment() -> dict[str, str]:
    """Return the environment of somebody who just set the project up."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AUTHSVC_", "PYTEST_", "MAKE", "MFLAGS", "COV_"))
    }
    return {**inherited, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A copy of the work tree, in a folder with a name short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="docs-", dir="/tmp") as folder:
        copy = Path(folder) / "authsvc"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        yield copy


def with_followers(block: Block) -> str:
    """Return the lines of a block, and of those of the same page that go on from there."""
    here = [each for each in blocks("sh run", "sh then") if each.page == block.page]
    behind = itertools.takewhile(lambda each: each.info == "sh then", here[here.index(block) + 1 :])
    return "".join(each.text for each in (block, *behind))


def test_every_block_that_goes_on_has_a_beginning() -> None:
    """One that follows nothing would not be run."""
    run = "".join(with_followers(block) for block in blocks("sh run"))

    assert all(block.text in run for block in blocks("sh then"))


@pytest.mark.parametrize("block", params("sh run"))
def test_it_runs(block: Block, scratch: Path) -> None:
    """All lines together succeed, one after the other, on a machine where nothing is running yet."""
    environment = clean_environment() | {
        # Somebody else may have the default ports.
        "AUTHSVC_LISTEN": f"unix:{scratch}/data.sock",
        "AUTHSVC_ADMIN_LISTEN": f"unix:{scratch}/admin.sock",
        "AUTHSVC_METRICS_LISTEN": "off",
    }
    text = with_followers(block)
    with (scratch / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it leaves in the background can be ended
        )
        try:
            status = shell.wait(PATIENCE + OF_A_LINE * text.count("\n"))
        finally:
            with suppress(ProcessLookupError):  # nothing was left
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        output.seek(0)
        assert status == 0, output.read()


@pytest.mark.parametrize("block", params("sh make"))
def test_make_knows_it(block: Block) -> None:
    """Every line is a target of the Makefile with options that make takes."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "make"
        done = subprocess.run(
            ["make", "--dry-run", *words[1:]],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", params("sh run", "sh then", "sh make", "sh shown"))
def test_it_is_shell(block: Block) -> None:
    """The shell can read it."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", params("sh shown"))
def test_its_commands_exist(block: Block) -> None:
    """What is only shown at least names commands and options that exist."""
    for line in block.text.splitlines():
        words = [word for word in shlex.split(line, comments=True) if not ASSIGNMENT.fullmatch(word)]
        if words and words[0] == "authsvc":
            check_command(words[1:])


def test_commands_in_the_prose_exist() -> None:
    """Wherever `authsvc …` or `make …` stands between backticks, it is one."""
    commands = {text for page in PAGES for text in inline_code(page) if re.match(r"(?:authsvc|make) [a-z]", text)}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        if program == "authsvc":
            check_command(words)
        else:
            assert words[0] in targets, command


def check_command(words: list[str]) -> None:
    """Fail unless the words are a command of ours with options it has."""
    path: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z-]+", word) or word.startswith("-") or f"  {word} " not in help_of(*path):
            break
        path.append(word)
    assert path, words
    assert "COMMAND [ARGS]" not in help_of(*path), f"{words} is not a whole command"
    for word in words[len(path) :]:
        if word.startswith("--"):
            assert re.search(rf"{word.partition('=')[0]}\b", help_of(*path)), f"{words}: {word}"


@lru_cache
def help_of(*path: str) -> str:
    """Return what `--help` says of a command."""
    command = [sys.executable, "-m", "authsvc.cli.main", *path, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
