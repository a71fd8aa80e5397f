"""CHANGELOG.md keeps its form, so that a release only has to be named."""

from __future__ import annotations

import re

from tests.docs.markdown import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text()
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
RELEASE = re.compile(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}( \[YANKED\])?")


def test_unreleased_stands_first() -> None:
    """The next change has a place to go, above all releases."""
    releases = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)

    assert releases[0] == "[Unreleased]"
    assert all(RELEASE.fullmatch(release) for release in releases[1:])


def test_releases_go_back_in_time() -> None:
    """The newest is on top."""
    dates = re.findall(r"^## .* - (\d{4}-\d{2}-\d{2})", TEXT, re.MULTILINE)

    assert sorted(dates, reverse=True) == dates


def test_changes_are_sorted_by_kind_and_told_in_points() -> None:
    """Every section is of a known kind, not empty, and a list."""
    sections = re.findall(r"^### (.+)\n\n((?:[- ].*\n?)+)", TEXT, re.MULTILINE)

    assert len(sections) == TEXT.count("\n### ")
    assert sections
    for title, body in sections:
        assert title in SECTIONS
        assert body.startswith("- ")
