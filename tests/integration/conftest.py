"""Both listeners give the same answers: whatever is tested here is tested through each."""

from __future__ import annotations

import pytest

from tests.support import doors


@pytest.fixture(params=doors.LISTENERS)
def listener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Serve by each listener in turn; `usefixtures("listener")` is enough."""
    name: str = request.param
    monkeypatch.setattr(doors, "LISTENER", name)
    return name
