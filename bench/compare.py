"""
`python -m bench compare A B`: two commits, measured in turn with this tree's benchmark.

Each commit gets a folder and a virtual environment of its own; the benchmark is the same for both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from bench.figures import BenchError, Samples, ratio
from bench.registry import MEASURES

_ROOT = Path(__file__).parents[1]
# What measures; everything else is the commit's.
_OURS = ("bench", "tests/support")
_DEFAULT = ("hit", "bytes")
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit that can be measured."""

    name: str
    folder: Path

    def measure(self, names: Sequence[str], options: Sequence[str]) -> dict[str, Samples]:
        """Run one round of the measures; what this commit cannot do is left out."""
        file = self.folder / "bench.json"
        command = [str(self.folder / ".venv/bin/python"), "-m", "bench", "--only", *names, "--rounds", "1", *options]
        done = subprocess.run(
            [*command, "--json", str(file)], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"{self.name}: {done.stderr[-1500:]}")
        found: dict[str, Samples] = json.loads(file.read_text())["samples"]
        return found


def compare(arguments: Sequence[str]) -> int:
    """Measure two commits in turn and print their figures side by side."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="authsvc-compare-") as scratch:
        folder = options.folder or Path(scratch)
        commits = [prepare(name, folder) for name in (options.a, options.b)]
        sizes = ["--seconds", str(options.seconds), *(["--large"] if options.large else [])]
        rounds: list[list[dict[str, Samples]]] = [[], []]
        for number in range(options.rounds):
            sys.stderr.write(f"bench: round {number + 1} of {options.rounds}\n")
            for commit, found in zip(commits, rounds, strict=True):
                found.append(commit.measure(options.only, sizes))
    one, other = map(joined, rounds)
    print("\n".join(table((options.a, options.b), one, other)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=__doc__)
    parser.add_argument("a", metavar="A", help="a commit")
    parser.add_argument("b", metavar="B", help="the commit that is told as a ratio to A")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=_DEFAULT, metavar="NAME", help="these measures")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"in turn (default: {_ROUNDS})")
    parser.add_argument("--seconds", type=int, default=2, help="of one burst of load (default: 2)")
    parser.add_argument("--large", action="store_true", help="as without `compare`")
    parser.add_argument("--folder", type=Path, help="keep what is set up here, for the next time (default: nowhere)")
    return parser


def prepare(name: str, folder: Path) -> Commit:
    """Set up a commit, unless it was before, and put our benchmark into it."""
    known = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not known:
        raise BenchError(f"{name} is no commit of this repository")
    commit = Commit(name=name, folder=(folder / known.decode().strip()[:12]).absolute())
    if not (commit.folder / ".venv" / ".installed").exists():
        sys.stderr.write(f"bench: setting up {name}\n")
        shutil.rmtree(commit.folder, ignore_errors=True)
        with tarfile.open(fileobj=BytesIO(_git("archive", name))) as archive:
            archive.extractall(commit.folder, filter="data")
        environ = {**os.environ, "PYTHON": sys.executable}
        subprocess.run([commit.folder / "tools/set_up.sh"], env=environ, check=True)
    for ours in _OURS:
        shutil.rmtree(commit.folder / ours, ignore_errors=True)
        shutil.copytree(_ROOT / ours, commit.folder / ours, ignore=shutil.ignore_patterns("__pycache__"))
    return commit


def joined(rounds: Sequence[dict[str, Samples]]) -> dict[str, Samples]:
    """Put the rounds of one commit together; what one of them lacks is left out."""
    return {
        name: {
            row: {column: [figure for found in rounds for figure in found[name][row][column]] for column in figures}
            for row, figures in samples.items()
            if all(row in found[name] for found in rounds)
        }
        for name, samples in rounds[0].items()
        if all(name in found for found in rounds)
    }


def table(names: tuple[str, str], one: dict[str, Samples], other: dict[str, Samples]) -> Iterator[str]:
    """Yield the rows that both have: medians, and the median of the rounds' ratios."""
    yield f"| measure | | figure | {names[0]} | {names[1]} | ratio |"
    yield "|---|---|---|---:|---:|---:|"
    for name, measure in MEASURES.items():
        for row, figures in one.get(name, {}).items():
            others = other.get(name, {}).get(row, {})
            for column in (column for column in measure.columns if column.name in figures and column.name in others):
                ours, theirs = figures[column.name], others[column.name]
                cells = [f"{statistics.median(found):,.{column.digits}f}" for found in (ours, theirs)]
                told = f"{ratio(theirs, ours):.3f}" if all(ours) else "-"
                yield f"| `{name}` | {row} | {column.heading} | {cells[0]} | {cells[1]} | {told} |"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, check=False).stdout
