"""`authsvc usage show`, and the last use of keys, against a real service."""

from __future__ import annotations

import json

import pytest

from authsvc.domain.usage import HOUR, MINUTE, Tally, Use, floor
from tests.support.stored import key_id, organization_id
from tests.support.usage import batch
from tests.unit.cli.conftest import Command, Served

CREATE = ("key", "create", "--api", "shop", "--environment", "live", "--org", "acme", "--name", "ci", "--json")
NOBODY = key_id(404)


@pytest.fixture
def counted(command: Command, served: Served) -> str:
    """Some usage of an organization's key, and of nobody; returns the key's id."""
    command("org", "create", "--name", "acme")
    key = json.loads(command(*CREATE).out)["key"]
    store = served.server.store
    now = served.do(store.head()).now
    own = Tally(floor(now, MINUTE), "shop", key["organization_id"], key["id"], "GET /v1/things", "allow")
    counts = {
        own: 7,
        own._replace(start=own.start - HOUR): 3,
        own._replace(outcome="rate_limited"): 2,
        Tally(own.start, "shop", "", "", "", "invalid_key"): 5,
    }
    served.do(store.write_usage(batch(counts, {key["id"]: Use(now, "192.0.2.1", "curl")})))
    identified: str = key["id"]
    return identified


def lines(out: str) -> list[list[str]]:
    """Return a table's cells, without its headings."""
    return [line.split() for line in out.splitlines()[1:]]


def test_everything_of_a_day_is_one_sum(command: Command, counted: str) -> None:
    """What is asked for when nothing is."""
    ran = command("usage", "show")

    assert (ran.status, ran.out.split()) == (0, ["COUNT", "17"])


def test_sums_are_told_apart(command: Command, counted: str) -> None:
    """In the order of their dimensions; what is not known is a dash."""
    ran = command("usage", "show", "--by", "reason", "--by", "key", "--by", "verdict")

    assert ran.out.splitlines()[0].split() == ["KEY", "VERDICT", "REASON", "COUNT"]
    assert lines(ran.out) == [
        ["-", "deny", "invalid_key", "5"],
        [counted, "allow", "allow", "10"],
        [counted, "deny", "rate_limited", "2"],
    ]


def test_sums_are_told_apart_in_time(command: Command, counted: str) -> None:
    """A row for each bucket that has any."""
    ran = command("usage", "show", "--since", "3h", "--bucket", "hour", "--verdict", "allow")

    assert [row[1] for row in lines(ran.out)] == ["3", "7"]
    assert all(row[0].endswith(":00:00Z") for row in lines(ran.out))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--org", "acme"), "12"),
        (("--org", organization_id(404)), None),
        (("--key", NOBODY), None),
        (("--api", "shop"), "17"),
        (("--route", "GET /v1/things"), "12"),
        (("--reason", "rate_limited"), "2"),
        (("--verdict", "deny"), "7"),
        (("--from", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_filters(command: Command, counted: str, options: tuple[str, ...], expected: str | None) -> None:
    """Each option that selects."""
    ran = command("usage", "show", *options)

    assert (ran.status, ran.err) == (0, "")
    assert lines(ran.out) == ([] if expected is None else [[expected]])


def test_for_programs(command: Command, counted: str) -> None:
    """The response in protobuf JSON; every page of it."""
    rows = json.loads(command("usage", "show", "--by", "key", "--key", counted, "--json").out)["rows"]

    assert [(row["key_id"], row["count"]) for row in rows] == [(counted, "12")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--by", "moon"), "--by: one of key, org, api, route, verdict, reason"),
        (("--bucket", "week"), "--bucket: one of minute, hour, day"),
        (("--verdict", "maybe"), "--verdict: one of allow, deny"),
        (("--since", "soon"), "--since: write a number"),
        (("--since", "500d"), "400 days"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_sentence(command: Command, served: Served, options: tuple[str, ...], text: str) -> None:
    """It says what can be written instead."""
    ran = command("usage", "show", *options)

    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert text in ran.err


def test_a_key_shows_its_last_use(command: Command, counted: str) -> None:
    """When, from where and by which class of client; and keys are found by it."""
    unused = json.loads(command(*CREATE).out)["key"]["id"]
    shown = command("key", "show", counted).out
    listed = command("key", "list", "--api", "shop")

    assert "Z from 192.0.2.1 by curl\n" in shown
    assert listed.out.splitlines()[0].split()[-2:] == ["LAST", "USED"]
    assert [line.split()[-1][-1] for line in listed.out.splitlines()[1:]] == ["Z", "-"]
    assert json.loads(command("key", "show", counted, "--json").out)["key"]["last_used_agent"] == "curl"
    assert [row[0] for row in lines(command("key", "list", "--api", "shop", "--unused").out)] == [unused]
    assert lines(command("key", "list", "--api", "shop", "--unused-for", "1d").out) == []
