"""`python -m bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.figures import BenchError, Column, Goal, Measure, Samples
from bench.report import BEGIN, END


def found(_: object) -> Samples:
    """Find a figure."""
    return {"ours": {"us": [3.0]}}


def broken(_: object) -> Samples:
    """Find nothing."""
    raise BenchError("there is no h2load")


GOAL = Goal(text="one that is missed", row="ours", column="us", bound=1)
COLUMN = Column(name="us", heading="µs")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place of the figures; there are three measures, and one of them cannot be made."""
    measures = {
        name: Measure(name=name, title=name, how="it is asked", columns=(COLUMN,), run=run, goals=(GOAL,))
        for name, run in {"first": found, "second": broken, "third": found}.items()
    }
    monkeypatch.setattr(command, "MEASURES", measures)
    return tmp_path / "bench.json"


def test_the_measures_can_be_listed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured then."""
    assert command.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["first", "second", "third"]
    assert not file.exists()


def test_a_run_leaves_figures_a_table_and_a_plot(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missed goal and a measure that cannot be made are told, and fail nothing."""
    assert command.main(["--json", str(file)]) == 0

    kept = json.loads(file.read_text())
    assert list(kept["samples"]) == ["first", "third"]
    assert kept["missing"] == {"second": "there is no h2load"}
    assert "| one that is missed | `first` | ≤ 1 | 3 | **no** |" in capsys.readouterr().out
    assert file.with_suffix(".svg").read_text().startswith("<svg")


def test_one_measure_can_be_made_anew(file: Path) -> None:
    """The others' figures stay where they were."""
    command.main(["--json", str(file), "--only", "third"])
    command.main(["--json", str(file), "--only", "first", "--keep"])

    assert list(json.loads(file.read_text())["samples"]) == ["first", "third"]


def test_the_figures_go_into_a_page(file: Path, tmp_path: Path) -> None:
    """With the plot beside it."""
    page = tmp_path / "performance.md"
    page.write_text(f"{BEGIN}\n{END}\n")

    command.main(["--json", str(file), "--only", "first", "--write", str(page)])

    assert "(performance.svg)" in page.read_text()
    assert page.with_suffix(".svg").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--only", "nonsense"], id="unknown-measure"),
        pytest.param(["--rounds", "0"], id="no-rounds"),
        pytest.param(["--seconds", "-1"], id="no-time"),
        pytest.param(["compare", "HEAD"], id="one-commit"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], file: Path) -> None:
    """With the usage of the command."""
    with pytest.raises(SystemExit) as refused:
        command.main(arguments)

    assert refused.value.code == 2


def test_a_commit_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is set up."""
    assert command.main(["compare", "no-such-commit", "HEAD"]) == 2
    assert "no-such-commit" in capsys.readouterr().err


def test_nothing_to_keep_is_an_error(file: Path) -> None:
    """Otherwise figures would be lost in silence."""
    assert command.main(["--json", str(file), "--keep"]) == 2
