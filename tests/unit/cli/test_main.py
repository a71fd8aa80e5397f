"""The command line itself: help, mistakes, and how commands end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from authsvc.cli import main
from authsvc.domain.errors import StartupError, UnavailableError
from tests.unit.cli.conftest import Command

COMMANDS = [
    ("init",),
    ("serve",),
    ("migrate",),
    ("demo",),
    ("check",),
    ("config", "validate"),
    ("config", "schema"),
    ("org", "create"),
    ("org", "list"),
    ("org", "show"),
    ("key", "create"),
    ("key", "list"),
    ("key", "show"),
    ("key", "revoke"),
    ("key", "identify"),
    ("key", "bulk-revoke"),
    ("audit", "list"),
    ("audit", "export"),
    ("audit", "verify"),
    ("audit", "prune"),
    ("admin", "recover"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: Command, words: tuple[str, ...]) -> None:
    """The example is a line to type."""
    ran = command(*words, "--help")

    assert (ran.status, ran.err) == (0, "")
    assert "Example:" in ran.out
    assert f"authsvc {' '.join(words)}" in " ".join(ran.out.split("Example:")[1].split())


def test_help_answers_at_once() -> None:
    """Nothing that takes long to import is imported for it."""
    code = (
        "import sys; from authsvc.cli.main import run; run(['--help']); "
        "print([name for name in ('grpc', 'sqlalchemy', 'pydantic', 'rich', 'google.protobuf') if name in sys.modules])"
    )
    began = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["nonsense"], "No such command 'nonsense'.", id="command"),
        pytest.param(["key", "creat"], "Did you mean 'create'?", id="subcommand"),
        pytest.param(["key", "create"], "Missing option '--api'.", id="missing-option"),
        pytest.param(["org", "list", "--nonsense"], "No such option", id="option"),
        pytest.param(["org", "show", "a", "b"], "unexpected extra argument", id="argument"),
    ],
)
def test_wrong_usage_is_one_sentence(command: Command, arguments: list[str], text: str) -> None:
    """On standard error, with exit status 2."""
    ran = command(*arguments)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("authsvc: ")
    assert text in ran.err
    assert ran.err.count("\n") == 1


def test_without_a_command_there_is_help(command: Command) -> None:
    """As wrong usage."""
    ran = command()

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: authsvc ")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        pytest.param(StartupError("no pepper"), 2, "authsvc: no pepper\n", id="startup"),
        pytest.param(UnavailableError("no database"), 1, "authsvc: no database\n", id="fault"),
        pytest.param(KeyboardInterrupt(), 130, "", id="interrupt"),
        pytest.param(typer.Abort(), 130, "", id="abort"),
        pytest.param(BrokenPipeError(), 1, "", id="reader-has-left"),
    ],
)
def test_every_end_has_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, text: str
) -> None:
    """And at most one sentence."""

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", broken)
    out = sys.stdout

    assert main.run([]) == status
    sys.stdout = out
    assert capsys.readouterr().err == text


def test_an_unexpected_fault_says_nothing_of_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may quote a key or a password."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(main, "app", broken)

    assert main.run([]) == 1
    told = capsys.readouterr().err
    assert told.startswith("authsvc: unexpected RuntimeError at ")
    assert "canary" not in told


def test_the_process_exits_with_the_status() -> None:
    """As installed, and as a module."""
    script = Path(sys.executable).with_name("authsvc")
    for start in ([str(script)], [sys.executable, "-m", "authsvc.cli.main"]):
        done = subprocess.run([*start, "nonsense"], capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout) == (2, "")


def test_serve_and_demo_are_called_with_their_options(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """What they do is tested where they are."""
    called = []
    monkeypatch.setattr("authsvc.cli.serve.run", lambda *arguments: called.append(arguments))
    monkeypatch.setattr("authsvc.cli.demo.run.demo", lambda *, check: called.append(check) or 1)

    assert command("serve", "--log-level", "DEBUG", "--drain", "0").status == 0
    assert command("demo", "--check").status == 1
    assert called == [("DEBUG", 0.0), True]


def test_a_process_that_serves_does_without_what_makes_schemas() -> None:
    """Importing it would lengthen every start by a tenth."""
    look = (
        "import sys, authsvc.cli.serve; print([name for name in sys.modules if name.startswith(('alembic', 'mako'))])"
    )

    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"
