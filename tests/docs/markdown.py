"""The documentation as the tests look at it: fenced blocks, tables, links. The convention is in CONTRIBUTING.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/python/*.md")]))

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `info` is what follows the backticks."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        """Return `page:line`."""
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """Return a page's path as people write it."""
    return page.relative_to(ROOT).as_posix()


def blocks(*infos: str) -> list[Block]:
    """Return every block of these kinds, or all."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match["info"], match["text"]))
    return [block for block in found if not infos or block.info in infos]


def params(*infos: str) -> list[object]:
    """Return the blocks of these kinds as parameters of a test; there must be some."""
    found = blocks(*infos)
    assert found, infos
    return [pytest.param(block, id=block.place) for block in found]


def only(page: str, info: str) -> str:
    """Return the text of the one block of this kind on a page."""
    (text,) = (block.text for block in blocks(info) if name(block.page) == page)
    return text


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def inline_code(page: Path) -> Iterator[str]:
    """Yield what stands between backticks in the prose."""
    return (match[1] for match in _INLINE_CODE.finditer(prose(page)))


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links."""
    return (match[1] for match in _LINK.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """Return what `#…` may follow the page's address."""
    headings = (match[1] for match in _HEADING.finditer(prose(page)))
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: str, *header: str) -> list[list[str]]:
    """Return the cells of the one table on a page whose header starts with these cells."""
    tables = [rows for rows in _tables((ROOT / page).read_text()) if rows[0][: len(header)] == list(header)]
    (rows,) = tables
    return rows[2:]


def code(cell: str) -> list[str]:
    """Return what a table's cell has between backticks."""
    return _INLINE_CODE.findall(cell)


def _tables(text: str) -> Iterator[Sequence[list[str]]]:
    for match in re.finditer(r"(?:^\|.*\|$\n?){3,}", text, re.MULTILINE):
        yield [[cell.strip() for cell in line.strip("|").split("|")] for line in match[0].splitlines()]
