"""`authsvc pepper`: a rotation and a wrap on the machine with the database, and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authsvc.stores.lock import single_process
from tests.support.databases import run_sql
from tests.unit.cli.conftest import Command


@pytest.fixture
def made(home: Path, command: Command) -> Path:
    """A home with a database, a pepper and one key: the administrator's."""
    assert command("init").status == 0
    return home


def states(command: Command) -> dict[str, tuple[str, int]]:
    """Return what `list` tells of each pepper."""
    listed = json.loads(command("pepper", "list", "--json").out)
    return {each["id"]: (each["state"], each["live_keys"]) for each in listed}


def test_a_rotation(made: Path, command: Command) -> None:
    """Add, promote, and retire once no live key is left; the file is private throughout."""
    url = f"sqlite:///{made}/authsvc.db"
    first = states(command)
    added, second = command("pepper", "add", "p2"), states(command)
    promoted, third = command("pepper", "promote", "p2"), states(command)
    early = command("pepper", "retire", "p1")
    run_sql(url, "UPDATE keys SET pepper_id = 'p2'")
    retired, last = command("pepper", "retire", "p1"), states(command)

    assert {"p1": ("current", 1)} == first
    assert {"p1": ("current", 1), "p2": ("accepted, newer", 0)} == second
    assert {"p1": ("accepted", 1), "p2": ("current", 0)} == third
    assert {"p1": ("retired", 0), "p2": ("current", 1)} == last
    assert (0, 0, 1, 0) == (added.status, promoted.status, early.status, retired.status)
    assert "1 live keys are stored under p1: wait until they are used" in early.err
    assert 0o600 == (made / "peppers.yaml").stat().st_mode & 0o777


def test_the_trail_outlives_a_pepper(made: Path, command: Command) -> None:
    """Retired without a process ever having started with both, its events are still verified."""
    command("pepper", "add", "p2")
    command("pepper", "promote", "p2")
    forced = command("pepper", "retire", "p1", "--force", "--yes")
    verified = command("audit", "verify")

    assert "p1" not in (made / "peppers.yaml").read_text()
    assert (0, 0) == (forced.status, verified.status), verified.err


def test_a_table_for_people(made: Path, command: Command) -> None:
    """Ids, states and counts; no secret."""
    printed = command("pepper", "list").out

    assert ["ID", "STATE", "LIVE", "KEYS"] == printed.splitlines()[0].split()
    assert ["p1", "current", "1"] == printed.splitlines()[1].split()


def test_retiring_by_force_is_asked_about(made: Path, command: Command) -> None:
    """Its keys are revoked, and the id is not used again."""
    command("pepper", "add", "p2")
    command("pepper", "promote", "p2")

    asked = command("pepper", "retire", "p1", "--force")
    forced = command("pepper", "retire", "p1", "--force", "--yes")
    again = command("pepper", "add", "p1")

    assert (2, "this revokes 1 live keys") == (
        asked.status,
        asked.err.removeprefix("authsvc: ").partition(":")[0],
    )
    assert (0, {"p1": ("retired", 0), "p2": ("current", 0)}) == (forced.status, states(command))
    assert (1, True) == (again.status, "an id is never used again" in again.err)
    revoked = run_sql(f"sqlite:///{made}/authsvc.db", "SELECT revoke_reason FROM keys WHERE revoked_at IS NOT NULL")
    assert [("pepper p1 is retired",)] == list(revoked)


def test_a_wrap(made: Path, command: Command) -> None:
    """Every key of the leaked pepper is under the new one, and doing it again finds none."""
    command("pepper", "add", "p2")
    command("pepper", "promote", "p2")

    asked = command("pepper", "wrap", "p1")
    done = command("pepper", "wrap", "p1", "--yes")
    again = command("pepper", "wrap", "p1", "--yes")
    retired = command("pepper", "retire", "p1")

    assert (2, 0, 0) == (asked.status, done.status, again.status)
    assert "1 keys of p1 are now under p2\n" == done.out
    assert "0 keys of p1 are now under p2\n" == again.out
    assert "1 live keys are stored under p1" in retired.err
    stored = run_sql(f"sqlite:///{made}/authsvc.db", "SELECT pepper_id, algorithm FROM keys")
    assert [("p2(p1)", "hmac(hmac)")] == list(stored)


def test_no_wrap_while_a_service_runs(made: Path, command: Command) -> None:
    """It would not find its keys any more."""
    command("pepper", "add", "p2")
    command("pepper", "promote", "p2")

    with single_process(made / "authsvc.db"):
        refused = command("pepper", "wrap", "p1", "--yes")

    assert (2, True) == (refused.status, "another authsvc serves from this file" in refused.err)
    assert "wrapped" not in (made / "peppers.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(("add", "p1"), "there is a pepper 'p1' already", id="add"),
        pytest.param(("add", "a b"), "an id is at most 32 letters", id="id"),
        pytest.param(("promote", "p2"), "there is no pepper 'p2' to promote", id="promote"),
        pytest.param(("wrap", "p1", "--yes"), "'p1' is the current pepper", id="wrap"),
        pytest.param(("retire", "p1"), "'p1' is the current pepper", id="retire"),
        pytest.param(("retire", "p7"), "there is no pepper 'p7'", id="unknown"),
    ],
)
def test_what_is_refused(made: Path, command: Command, arguments: tuple[str, ...], told: str) -> None:
    """In one sentence; the file stays as it is."""
    before = (made / "peppers.yaml").read_bytes()

    refused = command("pepper", *arguments)

    assert refused.status != 0
    assert told in refused.err
    assert before == (made / "peppers.yaml").read_bytes()
