"""The commands that change keys and organizations, against a real service."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from authsvc.cli.main import run
from tests.support.administration import NO_KEY
from tests.unit.cli.conftest import Command, Served

CREATE = ("key", "create", "--api", "shop", "--environment", "live", "--name", "ci", "--org", "acme", "--json")


def made(command: Command, *arguments: str) -> dict[str, Any]:
    """Make an organization, if there is none, and a key of it."""
    command("org", "create", "--name", "acme")
    answer: dict[str, Any] = json.loads(command(*CREATE, *arguments).out)
    return answer


def key(command: Command, key_id: str) -> dict[str, Any]:
    """Return a key as it is now."""
    answer: dict[str, Any] = json.loads(command("key", "show", key_id, "--json").out)["key"]
    return answer


def organization(command: Command) -> dict[str, Any]:
    """Return the organization as it is now."""
    answer: dict[str, Any] = json.loads(command("org", "show", "acme", "--json").out)["organization"]
    return answer


def test_a_key_is_updated(command: Command, served: Served) -> None:
    """What is named is set or cleared; the rest stays."""
    key_id = made(command, "--scope", "things:read", "--network", "10.0.0.0/8", "--metadata", "a=1")["key"]["id"]
    values = ("--name", "new", "--scope", "things:write", "--rate-limit", "1/day", "--expires-in", "1d")

    changed = command("key", "update", key_id, *values, "--clear", "networks", "--json")

    now = key(command, key_id)
    assert json.loads(changed.out)["key"] == now
    assert (now["name"], now["scopes"], now["rate_limits"], now["metadata"]) == (
        "new",
        ["things:write"],
        ["1/day"],
        {"a": "1"},
    )
    assert ("networks" in now, "expires_at" in now) == (False, True)
    assert "name          again" in command("key", "update", key_id, "--name", "again").out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nothing"),
        pytest.param(["--clear", "name"], id="not-to-be-cleared"),
        pytest.param(["--scope", "things:read", "--clear", "scopes"], id="set-and-cleared"),
        pytest.param(["--full-access"], id="refused"),
        pytest.param(["--not-before", "tomorrow"], id="no-instant"),
        pytest.param(["--expires-in", "1d", "--expires-at", "2030-01-31T12:00:00Z"], id="two-ends"),
    ],
)
def test_a_mistake_changes_nothing(command: Command, served: Served, arguments: list[str]) -> None:
    """One sentence and exit status 2."""
    before = made(command)["key"]

    ran = command("key", "update", before["id"], *arguments)

    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert before == key(command, before["id"])


def test_a_key_is_rotated(command: Command, served: Served, tmp_path: Path) -> None:
    """The new text is shown once or kept in a file, and until when the old key works is told beside it."""
    first = made(command)["key"]["id"]
    file = tmp_path / "new.key"

    shown = command("key", "rotate", first, "--grace", "5m")
    second = shown.out.split()[1]
    kept = command("key", "rotate", second, "--secret-file", str(file), "--json")
    third = json.loads(kept.out)
    alone = command("key", "rotate", third["key"]["id"], "--secret-only")

    assert "key text: sk_live_" in shown.out
    assert f"{first} works until 2" in shown.err
    assert f"replaces      {first}" in shown.out
    assert (file.read_text()[:8], third["secret"]) == ("sk_live_", "")
    assert third["predecessor"]["status"] == "KEY_STATUS_ROTATING"
    assert (alone.out[:8], alone.out.count("\n")) == ("sk_live_", 1)
    assert f"replaced by   {second}, works until 2" in command("key", "show", first).out
    again = command("key", "rotate", first)
    assert (again.status, again.out, "etag is now 2" in again.err) == (1, "", True)


@pytest.mark.parametrize("arguments", [["--grace", "soon"], ["--grace", "16m"], ["--json", "--secret-only"]])
def test_a_rotation_that_cannot_be_is_not_made(command: Command, served: Served, arguments: list[str]) -> None:
    """No duration, one above the API's, and two ways of printing."""
    key_id = made(command)["key"]["id"]

    ran = command("key", "rotate", key_id, *arguments)

    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "grace_ends_at" not in key(command, key_id)


def test_both_keys_of_a_rotation_are_revoked(command: Command, served: Served) -> None:
    """With one command, where that is asked for."""
    first = made(command)["key"]["id"]
    second = json.loads(command("key", "rotate", first, "--json").out)["key"]["id"]

    ran = command("key", "revoke", first, "--include-successor")

    assert ran.out.splitlines()[1] == f"so is its successor {second}"
    assert key(command, second)["status"] == "KEY_STATUS_REVOKED"


def test_a_key_is_deleted(command: Command, served: Served) -> None:
    """It is shown no more, but listed where deleted ones are asked for."""
    first, second = made(command)["key"]["id"], made(command)["key"]["id"]

    ran = command("key", "delete", first, "--reason", "unused", "--yes")
    as_json = command("key", "delete", second, "--yes", "--json")

    assert (ran.status, ran.out) == (0, f"{first} (ci) is deleted\n")
    assert json.loads(as_json.out)["key"]["status"] == "KEY_STATUS_DELETED"
    assert command("key", "show", first).status == 1
    assert first not in command("key", "list").out
    assert first in command("key", "list", "--status", "deleted").out
    assert command("key", "delete", NO_KEY, "--yes").status == 1


def test_keys_are_reviewed(command: Command, served: Served) -> None:
    """By status, name, age, expiry and use."""
    soon = made(command, "--expires-in", "5d", "--name", "soon")["key"]["id"]
    later = made(command, "--expires-in", "90d", "--name", "later")["key"]["id"]

    def found(*arguments: str) -> list[str]:
        listed = json.loads(command("key", "list", "--api", "shop", "--json", *arguments).out)
        return [item["id"] for item in listed["keys"]]

    assert found("--expires-within", "30d") == [soon]
    assert found("--name-prefix", "lat") == [later]
    assert found("--status", "active", "--unused") == [soon, later]
    assert found("--status", "revoked", "--status", "not-yet-valid") == []
    assert found("--older-than", "1d") == found("--unused-for", "1d") == []
    for mistake in (["--status", "odd"], ["--older-than", "long"], ["--unused-for", "999999d"]):
        ran = command("key", "list", *mistake)
        assert (ran.status, ran.err.count("\n")) == (2, 1)


def test_an_organization_is_updated(command: Command, served: Served) -> None:
    """By its name, which may change too."""
    command("org", "create", "--name", "acme", "--network", "10.0.0.0/8")

    changed = command("org", "update", "acme", "--metadata", "a=1", "--clear", "networks", "--json")
    renamed = command("org", "update", "acme", "--name", "new")
    nothing = command("org", "update", "new")

    told = json.loads(changed.out)["organization"]
    assert (told["metadata"], "networks" in told) == ({"a": "1"}, False)
    assert renamed.out.splitlines()[1].split() == ["name", "new"]
    assert (nothing.status, nothing.err.count("\n")) == (2, 1)


def test_an_organization_is_suspended_and_reinstated(command: Command, served: Served) -> None:
    """Shown to people and to programs."""
    command("org", "create", "--name", "acme")

    suspended = command("org", "suspend", "acme", "--reason", "unpaid", "--yes")
    during = organization(command)
    reinstated = command("org", "reinstate", "acme")
    commands = (("suspend", "--yes"), ("reinstate",), ("delete", "--yes"))
    as_json = [json.loads(command("org", verb, "acme", *yes, "--json").out) for verb, *yes in commands]

    assert f"{during['id']} (acme) is suspended since 2" in suspended.out
    assert during["suspend_reason"] == "unpaid"
    assert reinstated.out == f"{during['id']} (acme) is active\n"
    assert [answer["organization"]["status"][20:] for answer in as_json] == [
        "SUSPENDED",
        "ACTIVE",
        "DELETED",
    ]


def test_an_organization_is_deleted(command: Command, served: Served) -> None:
    """When its last key is gone."""
    key_id = made(command)["key"]["id"]

    early = command("org", "delete", "acme", "--yes")
    command("key", "revoke", key_id)
    ran = command("org", "delete", "acme", "--yes")

    assert (early.status, key_id in early.err) == (1, True)
    assert (ran.status, ran.out.endswith("(acme) is deleted\n")) == (0, True)


DESTRUCTIVE = [("key", "delete", NO_KEY), ("org", "suspend", "acme"), ("org", "delete", "acme")]


@pytest.mark.parametrize("arguments", DESTRUCTIVE)
def test_where_nobody_can_be_asked_yes_must_be_said(
    command: Command, served: Served, arguments: tuple[str, ...]
) -> None:
    """A pipe is not a person: nothing is done, and the sentence says how."""
    command("org", "create", "--name", "acme")

    ran = command(*arguments, stdin="y\n")

    assert (ran.status, ran.out, "add --yes" in ran.err, ran.err.count("\n")) == (2, "", True, 1)
    assert organization(command)["status"] == "ORGANIZATION_STATUS_ACTIVE"


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        """Say that it is a person."""
        return True


@pytest.mark.parametrize(
    ("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("yesterday\n", 1)]
)
def test_a_person_is_asked(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    """And only a yes is one."""
    command("org", "create", "--name", "acme")
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    ended = run(["org", "suspend", "acme"])

    suspended = organization(command)["status"] == "ORGANIZATION_STATUS_SUSPENDED"
    assert (ended, suspended) == (status, status == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "update", "--name", "x"),
        ("key", "rotate"),
        ("key", "delete", "--yes"),
        ("key", "revoke"),
    ],
)
def test_another_etag_is_refused(command: Command, served: Served, arguments: tuple[str, ...]) -> None:
    """With the one of now."""
    key_id = made(command)["key"]["id"]
    group, verb, *options = arguments

    ran = command(group, verb, key_id, *options, "--etag", "9")

    assert (ran.status, "its etag is now 1" in ran.err) == (1, True)


@pytest.mark.parametrize("group", ["key", "org"])
def test_every_command_shows_an_example(command: Command, group: str) -> None:
    """In its help."""
    listed = command(group, "--help").out.partition("Commands:")[2]
    verbs = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]

    assert len(verbs) >= 7
    for verb in verbs:
        assert f"Example: authsvc {group} {verb}" in command(group, verb, "--help").out
