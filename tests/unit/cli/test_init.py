"""`init` and `migrate`: a first start, once, and completed when interrupted."""

from __future__ import annotations

import json
import secrets
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authsvc.cli import initialize
from authsvc.config import admin_api
from authsvc.stores.sql import SqlStore
from tests.support.databases import run_sql
from tests.unit.cli.conftest import Command


def rows(home: Path, statement: str) -> list[Any]:
    """Ask the embedded database."""
    with closing(sqlite3.connect(home / "authsvc.db")) as connection:
        return connection.execute(statement).fetchall()


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_init_makes_everything(command: Command, home: Path) -> None:
    """Private folder and files, one operator with its organization, audited as made by init."""
    ran = command("init")

    secret = (home / "admin.key").read_text().strip()
    assert ran.status == 0
    assert f"first administrator key: {secret}\n" in ran.out
    modes = [mode(path) for path in (home, home / "admin.key", home / "peppers.yaml", home / "authsvc.db")]
    assert modes == [0o700, 0o600, 0o600, 0o600]
    assert rows(home, "SELECT name FROM organizations") == [("authsvc-operators",)]
    assert rows(home, "SELECT api, full_access, created_by FROM keys") == [("authsvc", 0, "init")]
    assert rows(home, "SELECT action, actor_key_id FROM audit_events ORDER BY seq") == [
        ("organization.create", "init"),
        ("key.create", "init"),
    ]
    assert secret.encode() not in (home / "authsvc.db").read_bytes()


def test_a_second_init_makes_nothing(command: Command, home: Path) -> None:
    """Not even after the key was revoked or its file moved away."""
    command("init")
    before = rows(home, "SELECT * FROM keys"), rows(home, "SELECT * FROM audit_events")
    with closing(sqlite3.connect(home / "authsvc.db")) as connection:
        connection.execute("UPDATE keys SET deleted_at = 1")
        connection.commit()
    (home / "admin.key").unlink()

    ran = command("init")

    assert (ran.status, ran.out) == (0, "There is an administrator key already: nothing was made.\n")
    assert [len(found) for found in before] == [
        len(rows(home, "SELECT * FROM keys")),
        len(rows(home, "SELECT * FROM audit_events")),
    ]
    assert not (home / "admin.key").exists()


def test_where_the_first_key_is_kept_is_told_again(command: Command, home: Path) -> None:
    """The text itself is not."""
    command("init")

    assert command("init").out.splitlines()[1] == f"The first one was kept in {home}/admin.key."


def test_the_answer_for_programs(command: Command, home: Path) -> None:
    """The response of CreateKey; the second time without a key."""
    first, second = json.loads(command("init", "--json").out), json.loads(command("init", "--json").out)

    assert first["secret"] == (home / "admin.key").read_text().strip()
    assert first["key"]["api"] == "authsvc"
    assert (second["secret"], second["secret_already_shown"]) == ("", True)


@pytest.mark.parametrize("step", ["verify_peppers", "create_organization", "create_key"])
def test_an_interrupted_init_is_completed(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whichever step it ended at, the next attempt ends with one key, and it is the one that was written down."""

    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SqlStore, step, interrupted)
        assert command("init").status == 130
    kept = (home / "admin.key").read_text() if (home / "admin.key").exists() else None

    ran = command("init")

    assert ran.status == 0
    assert len(rows(home, "SELECT * FROM keys")) == 1
    assert kept in (None, (home / "admin.key").read_text())


def test_a_lost_pepper_is_not_replaced(command: Command, home: Path) -> None:
    """Its keys would be lost with it."""
    command("init")
    (home / "peppers.yaml").unlink()

    ran = command("init")

    assert ran.status == 2
    assert "pepper of this database is missing" in ran.err
    assert not (home / "peppers.yaml").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("sk_live_0\n", "is no administrator key", id="another"),
        pytest.param("a b", "holds no key", id="two"),
    ],
)
def test_a_key_file_with_something_else_is_not_overwritten(command: Command, home: Path, text: str, told: str) -> None:
    """Whatever it is, somebody put it there."""
    home.mkdir(mode=0o700)
    (home / "admin.key").write_text(text)
    (home / "admin.key").chmod(0o600)

    ran = command("init")

    assert (ran.status, told in ran.err, (home / "admin.key").read_text()) == (2, True, text)


def test_a_key_file_others_can_read_is_refused(command: Command, home: Path) -> None:
    """It may have been read already."""
    command("init")
    (home / "admin.key").chmod(0o644)

    ran = command("key", "list")

    assert ran.status == 2
    assert "other users can read it" in ran.err


@pytest.mark.parametrize("permissions", [0o770, 0o707])
def test_a_home_others_can_write_to_is_refused(command: Command, home: Path, permissions: int) -> None:
    """They could put their own pepper there."""
    home.mkdir()
    home.chmod(permissions)

    ran = command("init")

    assert ran.status == 2
    assert "other users can write there" in ran.err


def test_a_home_that_is_a_file_is_refused(command: Command, home: Path) -> None:
    """And left alone."""
    home.write_text("")

    assert command("init").err == f"authsvc: {home}: is no folder; AUTHSVC_HOME must name one\n"


def test_a_home_that_cannot_be_made_is_told(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's reason."""
    home.write_text("")
    monkeypatch.setenv("AUTHSVC_HOME", str(home / "below"))

    assert command("init").status == 2


async def none(*_: object) -> bool:
    """Find no key, as who looks before the other has made it."""
    return False


def test_two_at_the_same_moment_make_one_key(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one says so, and keeps the text that both have."""
    command("init")
    monkeypatch.setattr(initialize.first_start, "has_keys", none)

    ran = command("init")

    assert ran.status == 2
    assert "it is in admin.key" in ran.err
    assert len(rows(home, "SELECT * FROM keys")) == 1
    assert (home / "admin.key").exists()


@pytest.mark.parametrize("interrupted", [False, True], ids=["begun-anew", "interrupted-before"])
def test_two_homes_at_the_same_moment_make_one_key(
    command: Command, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, *, interrupted: bool
) -> None:
    """The slower one has a text of its own, which is no key: it removes the file that it has just written."""
    monkeypatch.setenv("AUTHSVC_DATABASE_URL", database_url)
    command("init")
    other = home.with_name("other")
    other.mkdir(mode=0o700)
    (other / "peppers.yaml").write_bytes((home / "peppers.yaml").read_bytes())
    (other / "peppers.yaml").chmod(0o600)
    monkeypatch.setenv("AUTHSVC_HOME", str(other))
    monkeypatch.setattr(initialize.first_start, "has_keys", none)
    if interrupted:
        table = admin_api().keys
        another = table.generate(table.classes[0], secrets.choice)
        (other / "admin.key").write_text(another)
        (other / "admin.key").chmod(0o600)

    ran = command("init")

    assert ran.status == 2
    assert "with another AUTHSVC_HOME" in ran.err
    assert len(run_sql(database_url, "SELECT id FROM keys")) == 1
    assert (other / "admin.key").exists() == interrupted


def test_another_database_needs_its_schema_first(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`init` migrates the embedded one only; `migrate` any."""
    url = f"sqlite:///{tmp_path}/other.db"
    Path(tmp_path / "other.db").touch()
    monkeypatch.setenv("AUTHSVC_DATABASE_URL", url)

    missing = command("init")
    migrated = command("migrate")
    made = command("init")

    assert missing.status == 2
    assert "authsvc migrate" in missing.err
    assert (migrated.status, made.status) == (0, 0)
    assert migrated.out.startswith("the schema is at revision ")
    assert len(run_sql(url, "SELECT id FROM keys")) == 1


def test_migrate_prefers_the_url_that_may(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own role has no right to change the schema."""
    monkeypatch.setenv("AUTHSVC_DATABASE_URL", f"sqlite:///{tmp_path}/service.db")
    monkeypatch.setenv("AUTHSVC_MIGRATE_DATABASE_URL", f"sqlite:///{tmp_path}/owner.db")

    assert command("migrate").status == 0
    assert ((tmp_path / "owner.db").exists(), (tmp_path / "service.db").exists()) == (True, False)


def test_migrate_upgrades_the_embedded_database(command: Command) -> None:
    """Once there is one."""
    before = command("migrate")
    command("init")

    assert (before.status, "authsvc init" in before.err) == (2, True)
    assert command("migrate").status == 0
