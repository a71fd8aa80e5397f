"""`authsvc key bulk-revoke`, and the options that select keys for a review."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authsvc.domain.usage import DAY, Use
from authsvc.stores.sql import SqlStore
from tests.support.usage import batch
from tests.unit.cli.conftest import Command, Served

CREATE = ("key", "create", "--api", "shop", "--environment", "live", "--org", "acme", "--json", "--name")
REVIEW = ("--reason", "quarterly review")


@pytest.fixture
def ids(command: Command, served: Served) -> list[str]:
    """Three keys: one used lately, one used long ago, one never; the last one expires soon."""
    command("org", "create", "--name", "acme")
    names = ((), (), ("--expires-in", "20d"))
    made = [json.loads(command(*CREATE, f"ci-{n}", *more).out)["key"]["id"] for n, more in enumerate(names)]
    now = served.do(served.server.store.head()).now
    uses = {made[0]: Use(now, "", ""), made[1]: Use(now - 100 * DAY, "", "")}
    served.do(served.server.store.write_usage(batch({}, uses)))
    return made


def listed(command: Command, *options: str) -> list[str]:
    """Return the ids that `key list` tells."""
    answer: dict[str, Any] = json.loads(command("key", "list", "--api", "shop", *options, "--json").out)
    return [key["id"] for key in answer["keys"]]


def test_a_review_finds_them(command: Command, ids: list[str]) -> None:
    """Expiring soon, not used for long, never used, and old."""
    assert listed(command, "--expires-within", "30d", "--status", "active") == [ids[2]]
    assert listed(command, "--expires-within", "10d") == []
    assert listed(command, "--unused-for", "90d") == [ids[1]]
    assert listed(command, "--unused") == [ids[2]]
    assert listed(command, "--older-than", "1d") == []
    assert listed(command, "--older-than", "0s") == ids


def test_a_dry_run_changes_nothing(command: Command, ids: list[str]) -> None:
    """It needs no consent and tells how many."""
    ran = command("key", "bulk-revoke", "--org", "acme", *REVIEW, "--dry-run")

    assert (ran.status, ran.out, ran.err) == (0, "3 keys would be revoked\n", "")
    assert listed(command, "--status", "active") == ids


def test_by_options(command: Command, ids: list[str]) -> None:
    """Those that they select, and no others."""
    ran = command("key", "bulk-revoke", "--org", "acme", "--unused-for", "90d", *REVIEW, "--yes")

    assert (ran.status, ran.out) == (0, "1 keys are revoked\n")
    assert listed(command, "--status", "active") == [ids[0], ids[2]]


def test_by_ids(command: Command, ids: list[str]) -> None:
    """Those that are dead are told apart."""
    command("key", "revoke", ids[0])

    ran = command("key", "bulk-revoke", *ids[:2], *REVIEW, "--yes")
    answer = json.loads(command("key", "bulk-revoke", *ids, *REVIEW, "--yes", "--json").out)

    assert ran.out == "1 keys are revoked\n1 of those named did not work any more\n"
    assert (answer["revoked"], answer["already_dead"], answer["key_ids"]) == (1, 2, [ids[2]])


def test_in_batches(command: Command, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As many calls as it takes."""
    monkeypatch.setattr("authsvc.usecases.bulk_revoke_keys.MOST", 2)

    ran = command("key", "bulk-revoke", "--api", "shop", "--org", "acme", *REVIEW, "--yes", "--json")

    assert json.loads(ran.out)["key_ids"] == ids
    assert listed(command, "--status", "active") == []


def test_what_was_made_meanwhile_is_told_and_left(
    command: Command, served: Served, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has agreed to its end."""
    acme = served.do(served.server.store.get_organization("acme")).id
    revoke = SqlStore.bulk_revoke_keys

    async def overtaken(*arguments: Any, **options: Any) -> Any:
        await served.server.key(acme, "things:read")
        return await revoke(*arguments, **options)

    monkeypatch.setattr(SqlStore, "bulk_revoke_keys", overtaken)
    ran = command("key", "bulk-revoke", "--org", "acme", *REVIEW, "--yes")

    assert ran.out == "3 keys are revoked\n1 that match were made meanwhile and live: run it again\n"
    assert len(listed(command, "--status", "active")) == 1
    assert listed(command, "--status", "revoked") == ids


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("--org", "acme", *REVIEW), 2, "this revokes 3 keys for good: add --yes"),
        (("--org", "acme", *REVIEW, "--yes", "--expect", "2"), 1, "3 keys match and live, 2 were expected"),
        ((*REVIEW, "--yes"), 2, "ids: give either ids or a filter"),
        (("--org", "acme", "--yes"), 2, "Missing option '--reason'"),
        (("--org", "acme", *REVIEW, "--yes", "--status", "dead"), 2, "--status: one of"),
    ],
    ids=["consent", "another-number", "nothing-selected", "no-reason", "status"],
)
def test_mistakes_change_nothing(
    command: Command, ids: list[str], arguments: tuple[str, ...], status: int, text: str
) -> None:
    """And say what to do."""
    ran = command("key", "bulk-revoke", *arguments)

    assert (ran.status, ran.out, text in ran.err) == (status, "", True)
    assert listed(command, "--status", "active") == ids


@pytest.mark.parametrize("flag", ["--org", "--api", "--kind", "--environment", "--name-prefix"])
def test_an_empty_text_selects_nothing(command: Command, ids: list[str], flag: str) -> None:
    """As of a script's variable that is not set; beside another filter it would mean every organization's keys."""
    ran = command("key", "bulk-revoke", flag, "", "--unused", *REVIEW, "--yes")

    assert ran.status == 2
    assert f"{flag}: is empty" in ran.err
    assert listed(command, "--status", "active") == ids
