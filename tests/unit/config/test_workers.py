"""Where each of several workers listens."""

from __future__ import annotations

import pytest

from authsvc.config import Settings, worker_environments
from authsvc.domain.errors import StartupError

POSTGRES = {"AUTHSVC_DATABASE_URL": "postgresql://authsvc@127.0.0.1/authsvc", "HOME": "/root"}


def listeners(environment: dict[str, str]) -> list[str]:
    """Return the addresses of the four listeners."""
    return [str(address or "off") for address in Settings.from_environment(environment).listeners.values()]


def test_every_worker_has_its_own_addresses() -> None:
    """The first has those that were given, ports or sockets; what is off stays off, any free port any free one."""
    given = POSTGRES | {
        "AUTHSVC_LISTEN": "[::1]:50051",
        "AUTHSVC_FAST_LISTEN": "unix:/run/fast.sock",
        "AUTHSVC_ADMIN_LISTEN": "127.0.0.1:0",
        "AUTHSVC_METRICS_LISTEN": "off",
    }

    first, second, third = worker_environments(given, 3)

    assert listeners(first) == ["[::1]:50051", "unix:/run/fast.sock", "127.0.0.1:0", "off"]
    assert listeners(second) == ["[::1]:50061", "unix:/run/fast.sock.1", "127.0.0.1:0", "off"]
    assert listeners(third) == ["[::1]:50071", "unix:/run/fast.sock.2", "127.0.0.1:0", "off"]
    assert {each["HOME"] for each in (first, second, third)} == {"/root"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"AUTHSVC_DATABASE_URL": "sqlite:////tmp/a.db"}, "need PostgreSQL", id="sqlite"),
        pytest.param(
            {"AUTHSVC_LISTEN": "127.0.0.1:65530"},
            "AUTHSVC_LISTEN: there is no address for worker 1 beside 127.0.0.1:65530",
            id="beyond-the-last-port",
        ),
        pytest.param(
            {"AUTHSVC_FAST_LISTEN": "unix:/" + "a" * 105},
            "AUTHSVC_FAST_LISTEN: there is no address for worker 1",
            id="path-too-long",
        ),
        pytest.param(
            {"AUTHSVC_ADMIN_LISTEN": "127.0.0.1:50061"},
            "AUTHSVC_LISTEN of worker 1 and AUTHSVC_ADMIN_LISTEN are one: port 50061",
            id="another-workers-port",
        ),
        pytest.param(
            {"AUTHSVC_FAST_LISTEN": "unix:/a", "AUTHSVC_LISTEN": "unix:/a.1"},
            "AUTHSVC_FAST_LISTEN of worker 1 and AUTHSVC_LISTEN are one: unix:/a.1",
            id="another-workers-socket",
        ),
    ],
)
def test_what_several_cannot_share_is_refused(changes: dict[str, str], told: str) -> None:
    """Before any of them starts, by the variable's name."""
    with pytest.raises(StartupError, match=r"^--workers: ") as refused:
        worker_environments(POSTGRES | changes, 2)

    assert told in str(refused.value)


def test_the_embedded_database_is_one_processes() -> None:
    """Without a database URL there is nothing to share."""
    with pytest.raises(StartupError, match="need PostgreSQL"):
        worker_environments({}, 2)
