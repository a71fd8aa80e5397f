"""Keys of another system through the real service: imported, accepted, brought into our own form; peppers replaced."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from authsvc_client.v1.key_service_pb2 import CreateKeyRequest, RevokeKeyRequest

from tests.support.databases import run_sql
from tests.support.imports import old_digest, old_text
from tests.support.serving import Serving, cli, environment, serving, until, with_foreign_secret
from tests.support.stack import TIMEOUT

EACH = 250  # keys of every form
FORMS = (("sha256", "old_"), ("sha512", "old_"), ("hmac-sha256:old", "own_"), ("", "own_"))
UPGRADED_WITHIN = 60.0  # seconds: three quarters of a thousand at fifty a second, on a busy machine


def texts(algorithm: str, prefix: str) -> list[str]:
    """Return the keys of one form."""
    first = 1_000 * (1 + [name for name, _ in FORMS].index(algorithm))
    return [old_text(number, prefix) for number in range(first, first + EACH)]


def line(text: str, algorithm: str, prefix: str) -> dict[str, object]:
    """Return what a file says of a key."""
    said: dict[str, object] = {"external_id": f"id-{text}", "scopes": ["orders:read"], "prefix_class": prefix}
    if not algorithm:
        return {**said, "secret": text}
    return {**said, "alg": algorithm, "encoding": "hex", "digest": old_digest(text, algorithm)}


def everything() -> list[dict[str, object]]:
    """Return a file's records, a thousand in all."""
    return [line(text, algorithm, prefix) for algorithm, prefix in FORMS for text in texts(algorithm, prefix)]


def stored_forms(url: str) -> dict[tuple[str, str], int]:
    """Return how many product keys are stored under which pepper in which form."""
    rows = run_sql(url, "SELECT pepper_id, algorithm, count(*) FROM keys WHERE api = 'shop' GROUP BY 1, 2")
    return {(pepper, algorithm): count for pepper, algorithm, count in rows}


COMMAND = ("key", "import", "-", "--api", "shop", "--source", "legacy", "--assurance", "declared")


@pytest.fixture
def environ(tmp_path: Path, database_url: str) -> Mapping[str, str]:
    """A made home on either database, whose peppers know the old system's secret."""
    made = environment(tmp_path / "home", {"AUTHSVC_DATABASE_URL": database_url})
    assert cli(made, "init").returncode == 0
    with_foreign_secret(Path(made["AUTHSVC_HOME"]) / "peppers.yaml")
    return made


@pytest.mark.parametrize(
    ("ending", "used_between"),
    [
        pytest.param("revoke", True, id="the-second-after-its-use"),
        pytest.param("delete", False, id="both-before-its-use"),
    ],
)
def test_either_record_of_a_text_ends_it_at_once(
    environ: Mapping[str, str], ending: str, *, used_between: bool
) -> None:
    """Whichever digest of it came when: the process that answered allows it no more."""
    text = old_text(1)
    with serving(environ) as service:
        command = (*COMMAND, "--org", service.organization())
        for algorithm in ("sha256", "sha512"):
            record = line(text, algorithm, "old_") | {"external_id": algorithm}
            assert service.cli(*command, stdin=json.dumps(record)).stdout.startswith("1 imported")
            if used_between:
                assert service.allows(text)
        before = service.allows(text)
        listed = json.loads(service.cli("key", "list", "--api", "shop", "--json").stdout)["keys"]
        (second,) = [key["id"] for key in listed if key["external_id"] == "sha512"]
        ended = service.cli("key", ending, second, "--reason", "leaked", *(["--yes"] if ending == "delete" else []))
        after = service.allows(text)

    assert (0, "") == (ended.returncode, ended.stderr)
    assert (True, False) == (before, after)


def test_a_thousand_keys_of_every_form(environ: Mapping[str, str], database_url: str) -> None:
    """A dry run, the import, and again; each key authenticates, and is in our own form soon after."""
    with serving(environ) as service:
        file = "".join(json.dumps(record) + "\n" for record in everything())
        command = (*COMMAND, "--org", service.organization())
        tried = service.cli(*command, "--dry-run", stdin=file)
        before = service.allows(texts("sha256", "old_")[0])
        done = service.cli(*command, stdin=file)
        again = service.cli(*command, stdin=file)
        refused = [t for algorithm, prefix in FORMS for t in texts(algorithm, prefix) if not service.allows(t)]
        upgraded = until(lambda: stored_forms(database_url), {("p1", "hmac"): 4 * EACH}, UPGRADED_WITHIN)
        after = [service.allows(t) for algorithm, prefix in FORMS for t in texts(algorithm, prefix)[:5]]

    assert (tried.returncode, tried.stdout) == (0, "1000 would be imported, 0 there already, 0 rejected\n"), (
        tried.stderr
    )
    assert (done.returncode, done.stdout) == (0, "1000 imported, 0 there already, 0 rejected\n")
    assert (again.returncode, again.stdout) == (0, "0 imported, 1000 there already, 0 rejected\n")
    assert (before, refused, {("p1", "hmac"): 4 * EACH}, [True] * 20) == (False, [], upgraded, after)


def test_a_file_with_mistakes(environ: Mapping[str, str]) -> None:
    """Every rejected line is told with its cause, whichever end found it; the others are in. CSV this time."""
    columns = ["external_id", "alg", "encoding", "digest", "prefix_class", "scopes", "expires_at"]
    good = old_digest(old_text(1), "sha256")
    rows = [
        ["1", "sha256", "hex", good, "old_", "orders:read", ""],
        ["2", "md5", "hex", "d41d8cd98f00b204e9800998ecf8427e", "old_", "", ""],
        ["3", "sha256", "hex", good[:-1], "old_", "", ""],
        ["4", "sha256", "hex", old_digest("4", "sha256"), "old_", "orders:write", ""],
        ["5", "sha256", "hex", old_digest("5", "sha256"), "old_", "", "tomorrow"],
        ["6", "sha256", "hex", good, "old_", "", ""],
        ["7", "sha256", "hex"],
    ]
    written = io.StringIO()
    csv.writer(written).writerows([columns, *rows])
    with serving(environ) as service:
        command = (*COMMAND, "--format", "csv")
        done = service.cli(*command, "--org", service.organization(), stdin=written.getvalue())
        accepted = service.allows(old_text(1))

    *told, summary = done.stdout.splitlines()
    assert (1, "1 imported, 0 there already, 6 rejected", True) == (done.returncode, summary, accepted), done.stderr
    assert [
        "line 3: 2: alg: md5 is broken: texts that share a digest are made at will; issue new keys",
        "line 4: 3: digest: 32 bytes written in hex are expected",
        "line 5: 4: scopes[0]: shop has no scope orders:write",
        "line 6: 5: expires_at: an instant with its zone is expected, such as 2030-01-31T12:00:00Z",
        "line 7: 6: digest: another record of this batch is the same key",
        "line 8: (no id): 7 fields are expected",
    ] == told
    assert good not in done.stdout + done.stderr


def test_keys_of_which_nothing_is_said(environ: Mapping[str, str]) -> None:
    """They need an end that is near, their record tells why, and a change cannot lengthen it; a text needs none."""
    soon = (datetime.now(UTC) + timedelta(days=80)).isoformat()
    said = [line(old_text(number), "sha256", "old_") for number in (1, 2)]
    said[1]["expires_at"] = soon
    file = "".join(json.dumps(record) + "\n" for record in (*said, line(old_text(3, "own_"), "", "own_")))
    with serving(environ) as service:
        done = service.cli(*COMMAND[:-2], "--org", service.organization(), stdin=file)
        listed = service.cli("key", "list", "--api", "shop", "--json").stdout
        keys = {key["external_id"]: key for key in json.loads(listed)["keys"]}
        brief = keys[f"id-{old_text(2)}"]
        shown = service.cli("key", "show", brief["id"])
        longer = service.cli("key", "update", brief["id"], "--expires-in", "91d")
        trail = service.cli("audit", "list", "--action", "key.import", "--json").stdout

    *told, summary = done.stdout.splitlines()
    assert (1, "2 imported, 0 there already, 1 rejected") == (done.returncode, summary), done.stderr
    assert told[0].startswith(f"line 1: id-{old_text(1)}: expires_at: at most 90 days after the import, unless")
    assert ("KEY_ASSURANCE_UNKNOWN", "KEY_ASSURANCE_UNSPECIFIED") == (
        brief["assurance"],
        keys[f"id-{old_text(3, 'own_')}"]["assurance"],
    )
    assert ["assurance", "unknown"] in [row.split() for row in shown.stdout.splitlines()]
    assert (True, True) == (longer.returncode != 0, "at most 90 days after the import" in longer.stderr)
    assert "unknown" in trail


def make_keys(service: Serving, organization: str, count: int) -> list[tuple[str, str]]:
    """Make keys and return their ids and texts."""
    made = []
    for number in range(count):
        wanted = CreateKeyRequest(api="shop", organization_id=organization, name=f"k{number}")
        answer = service.keys.CreateKey(wanted, metadata=service.metadata, timeout=TIMEOUT)
        made.append((answer.key.id, answer.secret))
    return made


def test_a_rotation_refuses_nobody(environ: Mapping[str, str], database_url: str, tmp_path: Path) -> None:
    """One instance has the new pepper as current while the other still has the old: no wrong refusal, no way back."""
    if database_url.startswith("sqlite"):
        pytest.skip("one process serves from a SQLite file")
    pepper_file = tmp_path / "home" / "peppers.yaml"
    other = {
        **environ,
        "AUTHSVC_LISTEN": f"unix:{tmp_path}/b.sock",
        "AUTHSVC_ADMIN_LISTEN": f"unix:{tmp_path}/ba.sock",
        "AUTHSVC_PEPPER_FILE": str(tmp_path / "old.yaml"),
    }
    other.pop("AUTHSVC_FAST_LISTEN", None)
    assert cli(environ, "pepper", "add", "p2").returncode == 0
    (tmp_path / "old.yaml").write_text(pepper_file.read_text())
    (tmp_path / "old.yaml").chmod(0o600)
    with serving(other, "old") as old:
        organization = old.organization()
        made = make_keys(old, organization, 60)
        assert cli(environ, "pepper", "promote", "p2").returncode == 0
        too_early = cli(environ, "pepper", "retire", "p1")
        with serving(environ, "new") as new:
            made += make_keys(new, organization, 20)
            wrong: list[str] = []

            def ask(service: Serving) -> None:
                wrong.extend(text for _ in range(3) for _, text in made if not service.allows(text))

            asking = [threading.Thread(target=ask, args=[service]) for service in (old, new)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            forms = until(lambda: stored_forms(database_url), {("p2", "hmac"): 80}, UPGRADED_WITHIN)
            revoked, text = made[0]
            new.keys.RevokeKey(RevokeKeyRequest(id=revoked), metadata=new.metadata, timeout=TIMEOUT)
            refused = new.allows(text)
    listed = json.loads(cli(environ, "pepper", "list", "--json").stdout)

    assert ([], {("p2", "hmac"): 80}, False) == (wrong, forms, refused)
    assert (1, True) == (too_early.returncode, "live keys are stored under p1" in too_early.stderr)
    # One of 80 was revoked; the operator's own key was used, and came over too.
    assert [
        {"id": "p1", "state": "accepted", "live_keys": 0},
        {"id": "p2", "state": "current", "live_keys": 80},
    ] == listed


def test_a_leaked_pepper(environ: Mapping[str, str], database_url: str, tmp_path: Path) -> None:
    """Wrapped while stopped: every key works afterwards, made here or imported, and ends up without the old pepper."""
    record = line(old_text(1), "sha256", "old_")
    with serving(environ) as service:
        organization = service.organization()
        made = make_keys(service, organization, 20)
        service.cli(
            *(*COMMAND, "--org", organization),
            stdin=json.dumps(record),
        )
    steps = [("add", "p2"), ("promote", "p2"), ("wrap", "p1", "--yes")]
    done = [cli(environ, "pepper", *step) for step in steps]
    wrapped = stored_forms(database_url)
    early = cli(environ, "pepper", "retire", "p1")
    with serving(environ) as service:
        allowed = [service.allows(text) for text in [*(text for _, text in made), old_text(1)]]
        made += make_keys(service, organization, 1)  # which uses the operator's key too
        forms = until(lambda: stored_forms(database_url), {("p2", "hmac"): 22}, UPGRADED_WITHIN)
    retired = cli(environ, "pepper", "retire", "p1")
    with serving(environ) as service:
        still = service.allows(made[0][1])

    assert [0, 0, 0] == [step.returncode for step in done], [step.stderr for step in done]
    assert {("p2(p1)", "hmac(hmac)"): 20, ("p2(p1)", "hmac(hmac(sha256))"): 1} == wrapped
    assert (1, [True] * 21, {("p2", "hmac"): 22}) == (early.returncode, allowed, forms)
    assert (0, True, False) == (retired.returncode, still, "p1" in (tmp_path / "home" / "peppers.yaml").read_text())
