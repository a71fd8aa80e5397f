"""
Which process runs which tests: `pytest -n 2 -p tests.support.scheduling`.

All tests of one product on one database go to one process, where they share what is running; other
tests go by file. (`--dist loadgroup` would do, but pytest-xdist 3.8 cannot name groups with pytest 9.2.)
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_PRODUCT = re.compile(
    r"tests/conformance/(?:(?P<folder>\w+)/)?test_\w+\.py::\w+\[(?:(?P<name>[a-z]+)-)??(?P<database>sqlite|postgresql)\b"
)


def group_of(nodeid: str) -> str:
    """Return what a test must share a process with."""
    match = _PRODUCT.match(nodeid)
    if match is None:
        return nodeid.partition("::")[0]
    return f"{match['name'] or match['folder']}-{match['database']}"


class Scheduling(LoadScopeScheduling):
    """Hands out groups."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Put our scheduler in the place of `--dist`."""
    return Scheduling(config, log)
