"""Widths, and the few classes of clients."""

from __future__ import annotations

import pytest

from authsvc.domain.usage import AGENTS, DAY, HOUR, KEPT, LONGEST, MICROS, Width, agent_class, coarser, floor
from tests.support.builders import NOW
from tests.support.usage import tally


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (None, ""),
        ("", ""),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "browser"),
        ("python-requests/2.32.3", "python"),
        ("Python/3.11 aiohttp/3.9.5", "python"),
        ("python-httpx/0.27", "python"),
        ("Go-http-client/2.0", "go"),
        ("node", "node"),
        ("axios/1.7.2", "node"),
        ("Java/21.0.1", "java"),
        ("okhttp/4.12.0", "java"),
        ("Wget/1.21", "other"),
        ("\x00" * 10_000, "other"),
    ],
)
def test_a_user_agent_is_one_of_a_few(user_agent: str | None, expected: str) -> None:
    """Whatever a client writes, only the class is kept."""
    assert expected == agent_class(user_agent)
    assert expected in AGENTS


def test_wider_rows_are_sums() -> None:
    """Minutes of one hour become one row; what else tells them apart still does."""
    first = tally(start=floor(NOW, HOUR))
    minutes = {first: 1, first._replace(start=first.start + HOUR - 1): 2, first._replace(outcome="rate_limited"): 4}

    assert coarser(minutes, HOUR) == {first: 3, first._replace(outcome="rate_limited"): 4}
    assert sum(coarser(minutes, DAY).values()) == 7


def test_what_may_be_asked_for_is_kept() -> None:
    """No width may be asked about a longer period than it is kept for, and wider rows live longer."""
    assert list(Width) == sorted(Width, key=KEPT.__getitem__) == sorted(Width, key=MICROS.__getitem__)
    assert all(LONGEST[width] <= KEPT[width] for width in Width)
