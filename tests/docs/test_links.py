"""What the documentation points to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, anchors, inline_code, links, name

EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=name)
# A file or folder of this repository.
PATH = re.compile(r"\.?[a-z_]+(?:/[A-Za-z0-9_.*-]+)+/?|[A-Za-z]+\.(?:md|lock|toml)|Makefile|Dockerfile")
ROOTS = {path.name for path in ROOT.iterdir()}


@EACH_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and so do the headings that anchors name."""
    for link in links(page):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name(page)}: {link}"
        if anchor:
            assert anchor in anchors(path), f"{name(page)}: {link}"


@EACH_PAGE
def test_files_that_are_named_exist(page: Path) -> None:
    """A path between backticks that begins with a folder of ours is there."""
    for text in inline_code(page):
        if PATH.fullmatch(text) is not None and text.split("/")[0] in ROOTS:
            assert list(ROOT.glob(text)) or "Unreleased" in text, f"{name(page)}: {text}"


def test_the_index_reaches_every_page() -> None:
    """From README.md on, links lead to every page but the client's own."""
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.is_dir():
            waiting += page.glob("*.md")
        elif page.suffix == ".md" and page not in reached:
            reached.add(page)
            targets = (link.partition("#")[0] for link in links(page) if not link.startswith("https://"))
            waiting += [(page.parent / target).resolve() for target in targets if target]

    assert {page for page in PAGES if "clients" not in page.parts} - reached == set()
