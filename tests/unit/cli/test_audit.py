"""`authsvc audit …` and `authsvc admin recover`, against a real service and on a database without one."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authsvc.domain.usage import DAY
from tests.unit.cli.conftest import Command, Served

REASON = "found in a repository"


@pytest.fixture
def busy(command: Command, served: Served) -> str:
    """Some events: an organization, a key of it, its revocation, and a refusal; returns the key's id."""
    command("org", "create", "--name", "acme")
    made = command("key", "create", "--api", "shop", "--environment", "live", "--org", "acme", "--name", "ci", "--json")
    key_id: str = json.loads(made.out)["key"]["id"]
    command("key", "revoke", key_id, "--reason", REASON)
    command("key", "show", "key_" + "0" * 26)
    served.do(served.server.refusals.flush())
    return key_id


def cells(out: str, column: str) -> list[str]:
    """Return one column of a table, whose cells stand apart by three blanks."""
    heading, *lines = out.splitlines()
    at = heading.index(column)
    return [line[at:].split("   ")[0] for line in lines]


def test_the_newest_come_first(command: Command, busy: str) -> None:
    """Who, what, to what, and why."""
    ran = command("audit", "list")

    assert (ran.status, ran.err) == (0, "")
    assert cells(ran.out, "ACTION")[:4] == ["key.get", "key.revoke", "key.create", "organization.create"]
    assert cells(ran.out, "OUTCOME")[:2] == ["refused", "done"]
    assert cells(ran.out, "TARGET")[1:3] == [busy, busy]
    assert cells(ran.out, "REASON")[:3] == ["no such key", REASON, "-"]
    assert cells(ran.out, "ACTOR")[-1] == "init"


@pytest.mark.parametrize(
    ("options", "actions"),
    [
        (("--org", "acme"), ["key.revoke", "key.create", "organization.create"]),
        (("--action", "key.create", "--limit", "1"), ["key.create"]),
        (("--refused",), ["key.get"]),
        (("--since", "1h", "--limit", "2"), ["key.get", "key.revoke"]),
        (("--until", "2001-01-01T00:00:00Z"), []),
        (("--from", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"), []),
        (("--request-id", "none"), []),
        (("--actor-org", "authsvc-operators", "--target", "key_" + "0" * 26), ["key.get"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_filters(command: Command, busy: str, options: tuple[str, ...], actions: list[str]) -> None:
    """Each option that selects."""
    ran = command("audit", "list", *options)

    assert (ran.status, ran.err) == (0, "")
    assert cells(ran.out, "ACTION") == actions


def test_filters_by_key(command: Command, busy: str, served: Served) -> None:
    """What was done to it, and what was done with it."""
    assert cells(command("audit", "list", "--target", busy).out, "ACTION") == ["key.revoke", "key.create"]
    assert cells(command("audit", "list", "--actor", busy).out, "ACTION") == []
    assert len(cells(command("audit", "list", "--actor", served.server.operator_id).out, "ACTION")) == 4


def test_for_programs(command: Command, busy: str) -> None:
    """As the response; documents as they are."""
    ran = command("audit", "list", "--target", busy, "--json")
    revoked, created = json.loads(ran.out)["events"]

    assert (revoked["action"], revoked["outcome"], revoked["reason"]) == ("key.revoke", "AUDIT_OUTCOME_DONE", REASON)
    assert revoked["before"] == {"revoked_at": None}
    assert created["after"]["name"] == "ci"
    assert len(created["mac"]) == 64


def test_export_is_a_line_an_event(command: Command, busy: str, tmp_path: Path) -> None:
    """The oldest first; a file is private and new, and holds the same."""
    ran = command("audit", "export")
    events = [json.loads(line) for line in ran.out.splitlines()]
    file = tmp_path / "audit.jsonl"
    written, again = (command("audit", "export", "--output", str(file)) for _ in range(2))

    assert [event["seq"] for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert (written.status, written.out) == (0, "")
    assert written.err == f"{len(events)} events are in {file}\n"
    assert file.read_text() == ran.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (again.status, "is already there" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("list", "--since", "1h", "--from", "2030-01-01T00:00:00Z"), "either --since or --from"),
        (("list", "--since", "soon"), "--since: write a number"),
        (("export", "--output", "/nonexistent/file"), "cannot be written"),
        (("verify", "--anchor", "/nonexistent"), "--anchor: neither"),
        (("verify", "--anchor", "/proc/self/exe"), "--anchor: the file must hold"),
        (("prune", "--older-than", "1y", "--yes"), "--older-than: write a number"),
        (("prune", "--older-than", "90d"), "add --yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_sentence(command: Command, served: Served, arguments: tuple[str, ...], text: str) -> None:
    """It says what can be written instead."""
    ran = command("audit", *arguments)

    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert text in ran.err


def sql(home: Path, *statements: str) -> list[Any]:
    """Change the embedded database behind everybody's back."""
    with closing(sqlite3.connect(home / "authsvc.db", isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


@pytest.fixture
def first(command: Command, home: Path) -> str:
    """A database after `init`; returns the anchor of its two events."""
    command("init")
    return command("audit", "verify").out.splitlines()[-1].removeprefix("anchor: ")


def test_a_sound_trail_has_an_anchor(command: Command, first: str, tmp_path: Path) -> None:
    """Which may be given back as text or as a file, and as long as it holds the trail does."""
    file = tmp_path / "anchor"
    file.write_text(f"{first}\n")

    ran = [command("audit", "verify", "--anchor", given) for given in (first, str(file))]
    report = json.loads(command("audit", "verify", "--json").out)

    assert {(each.status, each.out, each.err) for each in ran} == {
        (0, f"2 events are authentic\nanchor: {first}\n", "")
    }
    assert (report["sound"], report["verified"], report["anchor"]) == (True, 2, first)


def test_an_edited_event_is_told(command: Command, first: str, home: Path) -> None:
    """With exit status 1 and without an anchor."""
    sql(home, "UPDATE audit_events SET reason = 'x' WHERE seq = 1")

    ran = command("audit", "verify")

    assert (ran.status, ran.err) == (1, "")
    assert ran.out == "1 events are authentic\nevent 1: altered, or moved from another place\n"


def test_a_cut_end_is_told(command: Command, first: str, home: Path) -> None:
    """By the anchor alone."""
    sql(
        home,
        "DELETE FROM audit_events WHERE seq = 2",
        "UPDATE change_head SET audit_seq = 1, audit_mac = (SELECT mac FROM audit_events)",
    )

    assert command("audit", "verify").status == 0
    ran = command("audit", "verify", "--anchor", first)
    assert (ran.status, "its end is cut" in ran.out) == (1, True)


def test_events_from_before_the_chain_are_told(command: Command, first: str, home: Path) -> None:
    """And a trail with nothing else has no anchor."""
    sql(home, "UPDATE audit_events SET mac = NULL, mac_key = NULL", "UPDATE change_head SET audit_mac = NULL")

    assert command("audit", "verify").out.splitlines()[1:] == [
        "2 events are older than the chain: nothing can be told about them"
    ]


def test_old_events_go_and_the_rest_verifies(command: Command, first: str, home: Path) -> None:
    """It tells how many went, then and later; an anchor of one of them is told as old."""
    young = command("audit", "prune", "--older-than", "90d", "--yes")
    sql(home, f"UPDATE audit_events SET at = at - {100 * DAY}")
    ran = command("audit", "prune", "--older-than", "90d", "--yes")
    verified = command("audit", "verify", "--anchor", first)
    older = command("audit", "verify", "--anchor", f"1:{'0' * 64}")

    assert (young.status, young.out) == (0, "0 events were removed\n")
    assert (ran.status, ran.out) == (0, "2 events were removed\n")
    assert verified.out.splitlines()[:-1] == ["1 events are authentic", "2 events were removed after their time"]
    assert older.status == 0
    assert "keep a newer one" in older.out


def test_less_than_a_day_is_not_kept(command: Command, first: str) -> None:
    """A mistake with the unit must not empty the trail."""
    ran = command("audit", "prune", "--older-than", "90s", "--yes")

    assert (ran.status, ran.out, ran.err) == (1, "", "authsvc: the trail is kept for a day at least\n")


def test_the_peppers_must_be_the_databases(command: Command, first: str, home: Path) -> None:
    """Another pepper would find fault with everything, and break the chain by adding to it."""
    (home / "peppers.yaml").unlink()
    (home / "peppers.yaml").touch(0o600)
    (home / "peppers.yaml").write_text(
        f"current: p1\npeppers:\n  p1: {'QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk='}\n"
    )

    for arguments in (("audit", "verify"), ("audit", "prune", "--older-than", "90d", "--yes")):
        ran = command(*arguments)
        assert (ran.status, "wrong pepper" in ran.err) == (2, True)


def test_without_a_database_there_is_nothing_to_verify(command: Command, home: Path) -> None:
    """One sentence, and no file is made."""
    for arguments in (("audit", "verify"), ("admin", "recover", "--reason", "x", "--yes")):
        ran = command(*arguments)
        assert (ran.status, ran.out, "run `authsvc init`" in ran.err) == (2, "", True)
    assert not home.exists()


def test_a_lost_key_is_replaced(command: Command, first: str, home: Path) -> None:
    """By another with every scope, private in its file, and the trail tells it and why."""
    (home / "admin.key").unlink()

    ran = command("admin", "recover", "--reason", "laptop stolen", "--yes")

    secret = (home / "admin.key").read_text().strip()
    assert (ran.status, ran.out.splitlines()[0]) == (0, f"new administrator key: {secret}")
    assert stat.S_IMODE((home / "admin.key").stat().st_mode) == 0o600
    assert sql(home, "SELECT name, created_by, full_access FROM keys ORDER BY created_at") == [
        ("first administrator", "init", 0),
        ("recovered administrator", "cli", 0),
    ]
    assert sql(home, "SELECT action, reason, actor_key_id FROM audit_events WHERE seq = 3") == [
        ("admin.recover", "laptop stolen", "")
    ]
    assert len(set(sql(home, "SELECT scopes FROM keys"))) == 1
    assert command("audit", "verify", "--anchor", first).status == 0
    assert secret.encode() not in (home / "authsvc.db").read_bytes()


def test_recovering_writes_over_nothing(command: Command, first: str, home: Path, tmp_path: Path) -> None:
    """A key that is still there is kept; another file may be named, and the answer may be JSON."""
    before = (home / "admin.key").read_text()
    refused = command("admin", "recover", "--reason", "x", "--yes")
    asked = command("admin", "recover", "--reason", "x")
    ran = command("admin", "recover", "--reason", "x", "--yes", "--json", "--secret-file", str(tmp_path / "new.key"))

    assert (refused.status, "is already there" in refused.err) == (2, True)
    assert (asked.status, "add --yes" in asked.err) == (2, True)
    assert json.loads(ran.out)["secret"] == (tmp_path / "new.key").read_text().strip()
    assert (home / "admin.key").read_text() == before
    assert sql(home, "SELECT count(*) FROM keys") == [(2,)]


def test_recovering_is_no_first_start(command: Command, first: str, home: Path) -> None:
    """Where there never was an administrator, `init` makes the first."""
    sql(home, "DELETE FROM keys")

    ran = command("admin", "recover", "--reason", "x", "--yes")

    assert (ran.status, "never was" in ran.err) == (2, True)
