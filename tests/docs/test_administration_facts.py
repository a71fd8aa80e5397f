"""docs/administration.md and the decisions about the trail say what the code does."""

from __future__ import annotations

from pathlib import Path

from authsvc import refusals
from authsvc.cli.main import app
from authsvc.config import admin_api
from authsvc.domain.inputs import MAX_REQUEST_ID_LENGTH
from authsvc.domain.usage import DAY
from authsvc.servicers.admin_access import ACCESS
from authsvc.servicers.shares import LIMITS
from authsvc.stores import audit
from authsvc.stores.records import REMEMBERED
from authsvc.usecases.bulk_revoke_keys import MOST
from tests.docs.markdown import ROOT, code, table

PAGE = "docs/administration.md"


def words(page: str) -> str:
    """Return a page's text as one line."""
    return " ".join(Path(ROOT / page).read_text().split())


def test_every_scope_is_explained() -> None:
    """In the order of the API, and each is asked for by some RPC."""
    listed = [code(row[0])[0] for row in table(PAGE, "scope", "for")]

    assert listed == list(admin_api().scopes)
    assert set(listed) == {access.scope for access in ACCESS.values()}


def test_numbers_are_those_of_the_code() -> None:
    """Bounds of refusals, batches, retries and retention."""
    assert (refusals.BURST, round(refusals.PACE * 60), refusals.MERGED_EVERY) == (10, 10, 60.0)
    assert (refusals.BURST_OF_ALL, refusals.PACE_OF_ALL) == (100, 1.0)
    assert (MOST, REMEMBERED, MAX_REQUEST_ID_LENGTH, audit.LEAST_KEPT) == (1000, DAY, 64, DAY)
    assert "10 such events at once and 10 a minute, all callers together 100 at once and one a second" in words(
        "docs/decisions/0042-refusals-are-written-within-bounds.md"
    )
    assert "more often than ten times, and then ten times a minute, the rest is one event a minute" in words(PAGE)
    assert "a thousand at a time" in words(PAGE)


def test_the_shares_are_those_of_the_code() -> None:
    """How many administrative calls there may be at once, of whom."""
    page = words(PAGE)
    for of, bound in (
        ("everybody whose key is known", "all"),
        ("one operator's key", "operator"),
        ("all keys of products", "products"),
        ("one organization's keys of products", "organization"),
    ):
        assert f"| {of} | {LIMITS[bound]} |" in page
    assert f"| {LIMITS['unknown']}, and {LIMITS['address']} of one address |" in page


def test_every_group_of_commands_is_on_the_page() -> None:
    """Those that administer."""
    text = words(PAGE)

    assert {"org", "key", "audit", "usage", "admin"} <= {group.name for group in app.registered_groups}
    for group in ("org", "key", "audit", "usage", "admin"):
        assert f"authsvc {group} " in text
