"""What is wrong with a configuration file, and how that is told: one line each, with the line it is about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from authsvc.domain.errors import StartupError

# Where in a document: keys of mappings and positions in lists.
Location = tuple[str | int, ...]

MAX_TOLD = 100  # problems; a file that has more is repaired step by step

_LONGEST = 80  # characters of a name that are repeated
_LISTED = 16  # names shown before a list of allowed ones is cut short


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to repair."""

    line: int
    path: str
    message: str


class ConfigError(StartupError):
    """The configuration cannot be used; `problems` holds what was found, in order of lines."""

    def __init__(self, file: Path, problems: Iterable[Problem]) -> None:
        found = sorted(set(problems))
        self.problems = tuple(found[:MAX_TOLD])
        more = [f"{file}: and more; {MAX_TOLD} are told at once"] if len(found) > MAX_TOLD else []
        super().__init__("\n".join([*(_line(file, problem) for problem in self.problems), *more]))


def _line(file: Path, problem: Problem) -> str:
    where = f"{problem.path}: " if problem.path else ""
    return _printable(f"{file}:{problem.line}: {where}{problem.message}")


def dotted(location: Sequence[str | int]) -> str:
    """Return a location as people write it: `apis.shop.routes[2].path`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{_key(part)}"
    return text.removeprefix(".")


def _key(name: str) -> str:
    # One problem is one line, whatever a key holds.
    return name[:_LONGEST] if name.isprintable() else ascii(name[:_LONGEST])


def _printable(text: str) -> str:
    # What a file says goes to a terminal: nothing in it may move the cursor or turn the direction of the text.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(names: Iterable[str]) -> str:
    """Return names as one list, cut short where it would fill the screen."""
    names = list(names)
    return ", ".join([*names[:_LISTED], *(["…"] if len(names) > _LISTED else [])])


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """Say that a name does not exist, with the closest that does and the ones to choose from."""
    names = [str(one) for one in allowed]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    choice = f"; allowed: {listed(names)}" if names else f"; no {what} is defined"
    return f"unknown {what} {name[:_LONGEST]!r}{hint}{choice}"
