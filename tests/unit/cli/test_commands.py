"""The commands that talk to a service, against a real one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from authsvc.cli import client, secrets
from authsvc.cli.errors import CommandError
from authsvc.domain.secret import Secret
from tests.support.administration import NO_KEY, NO_ORGANIZATION
from tests.unit.cli.conftest import Command, Served

CREATE = ("key", "create", "--api", "shop", "--environment", "live", "--name", "ci")
DAY = 86_400


def test_organizations(command: Command, served: Served) -> None:
    """Made, listed, and shown by id and by name; a name that looks like markup stays as it is."""
    name = "Acme [red]<b> & Söhne"
    made = command("org", "create", "--name", name, "--network", "10.0.0.0/8", "--metadata", "crm=1", "--json")
    organization = json.loads(made.out)["organization"]

    listed = command("org", "list")
    by_id, by_name = command("org", "show", organization["id"]), command("org", "show", name)

    assert organization["networks"]["cidrs"] == ["10.0.0.0/8"]
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [
        served.server.operators_id,
        organization["id"],
    ]
    assert name in listed.out
    assert by_id.out == by_name.out
    assert "metadata crm  1" in by_id.out
    assert json.loads(command("org", "show", name, "--json").out)["organization"] == organization
    assert len(json.loads(command("org", "list", "--json").out)["organizations"]) == 2


def test_an_organization_for_people(command: Command, served: Served) -> None:
    """Without --json, what was made is shown."""
    ran = command("org", "create", "--name", "acme")

    assert (ran.status, ran.out.splitlines()[1]) == (0, "name      acme")


def test_a_key_from_its_making_to_its_end(command: Command, served: Served) -> None:
    """Its text is shown once; afterwards it is shown, listed, identified and revoked by its id."""
    command("org", "create", "--name", "acme")
    made = command(
        *CREATE, "--org", "acme", "--scope", "things:read", "--metadata", "team=a", "--rate-limit", "5/minute"
    )
    secret = made.out.rsplit("key text: ", 1)[1].strip()
    key_id = made.out.split()[1]

    shown, listed = command("key", "show", key_id), command("key", "list", "--api", "shop", "--org", "acme")
    identified = command("key", "identify", stdin=f"{secret}\n")
    revoked = command("key", "revoke", key_id, "--reason", "found in a repository")

    assert made.err == "This is the only time the text is available. Keep it where you keep secrets.\n"
    assert (shown.status, secret in shown.out) == (0, False)
    assert listed.out.splitlines()[1].split()[0] == key_id
    assert identified.out == shown.out
    assert (revoked.status, revoked.out.startswith(f"{key_id} (ci) is revoked since ")) == (0, True)
    assert "found in a repository" in command("key", "show", key_id).out


def test_the_response_for_programs(command: Command, served: Served) -> None:
    """Protobuf JSON with the proto's field names."""
    command("org", "create", "--name", "acme")
    made = json.loads(command(*CREATE, "--org", "acme", "--json").out)
    key_id = made["key"]["id"]

    assert made["secret"].startswith("sk_live_")
    assert json.loads(command("key", "show", key_id, "--json").out)["key"]["organization_id"]
    assert [key["id"] for key in json.loads(command("key", "list", "--api", "shop", "--json").out)["keys"]] == [key_id]
    assert json.loads(command("key", "identify", "--json", stdin=made["secret"]).out)["key"]["id"] == key_id
    assert json.loads(command("key", "revoke", key_id, "--json").out)["key"]["status"] == "KEY_STATUS_REVOKED"


def test_a_preset_in_place_of_scopes(command: Command, served: Served) -> None:
    """By its name in the configuration; another name is refused with those that there are."""
    command("org", "create", "--name", "acme")

    made = json.loads(command(*CREATE, "--org", "acme", "--preset", "writer", "--json").out)
    unknown = command(*CREATE, "--org", "acme", "--preset", "editor")
    both = command(*CREATE, "--org", "acme", "--preset", "reader", "--scope", "things:read")

    assert made["key"]["scopes"] == ["things:read", "things:write"]
    assert (unknown.status, "preset: one of reader, writer" in unknown.err) == (2, True)
    assert (both.status, "preset: stands in place of scopes" in both.err) == (2, True)


def test_only_the_text(command: Command, served: Served, tmp_path: Path) -> None:
    """To standard output, or into a file that nobody else reads."""
    command("org", "create", "--name", "acme")
    file = tmp_path / "ci.key"

    alone = command(*CREATE, "--org", "acme", "--secret-only")
    filed = command(*CREATE, "--org", "acme", "--secret-file", str(file))
    both = command(*CREATE, "--org", "acme", "--secret-only", "--secret-file", str(tmp_path / "b"))
    again = command(*CREATE, "--org", "acme", "--secret-file", str(file))
    as_json = json.loads(command(*CREATE, "--org", "acme", "--json", "--secret-file", str(tmp_path / "c")).out)

    assert (alone.out.count("\n"), alone.out[:8]) == (1, "sk_live_")
    assert (file.stat().st_mode & 0o777, file.read_text()[:8]) == (0o600, "sk_live_")
    assert f"key text: in {file}" in filed.out
    assert file.read_text().strip() not in filed.out
    assert (both.out, as_json["secret"]) == ("", "")
    assert (again.status, "already there" in again.err) == (2, True)
    assert len(json.loads(command("key", "list", "--api", "shop", "--json").out)["keys"]) == 4


def test_a_text_that_cannot_be_kept_is_told(
    command: Command, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is there, and only its id is known."""
    command("org", "create", "--name", "acme")
    ran = command(*CREATE, "--org", "acme", "--secret-file", str(tmp_path / "absent" / "ci.key"))

    assert ran.status == 2
    assert "was made: revoke it" in ran.err


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        pytest.param(["--expires-in", "90d"], 90 * DAY, id="in"),
        pytest.param(["--expires-at", "2030-01-31T12:00:00Z"], None, id="at"),
        pytest.param(["--expires-at", "2030-01-31T13:00:00+01:00"], None, id="at-elsewhere"),
    ],
)
def test_the_end_of_a_key(command: Command, served: Served, arguments: list[str], seconds: int | None) -> None:
    """As a time from now, or as an instant with its zone."""
    command("org", "create", "--name", "acme")
    before = time.time()

    key = json.loads(command(*CREATE, "--org", "acme", "--json", *arguments).out)["key"]

    if seconds is None:
        assert key["expires_at"] == "2030-01-31T12:00:00Z"
    else:
        told = json.loads(command("key", "show", key["id"], "--json").out)["key"]["expires_at"]
        assert abs(_seconds(told) - before - seconds) < 60


def _seconds(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415 - beside its only use

    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--expires-in", "1d", "--expires-at", "2030-01-31T12:00:00Z"], id="twice"),
        pytest.param(["--expires-in", "soon"], id="no-duration"),
        pytest.param(["--expires-in", "999999999d"], id="too-long"),
        pytest.param(["--expires-at", "2030-01-31T12:00:00"], id="without-zone"),
        pytest.param(["--expires-at", "tomorrow"], id="no-instant"),
        pytest.param(["--expires-at", "0001-01-01T00:00:00+10:00"], id="out-of-range"),
        pytest.param(["--metadata", "team"], id="no-label"),
        pytest.param(["--metadata", "a=1", "--metadata", "a=2"], id="label-twice"),
        pytest.param(["--json", "--secret-only"], id="two-outputs"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(command: Command, served: Served, arguments: list[str]) -> None:
    """One sentence, exit status 2, and no key."""
    command("org", "create", "--name", "acme")

    ran = command(*CREATE, "--org", "acme", *arguments)

    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert not json.loads(command("key", "list", "--api", "shop", "--json").out)["keys"]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        pytest.param(["key", "show", NO_KEY], 1, "no such key", id="not-found"),
        pytest.param(["org", "show", NO_ORGANIZATION], 1, "no such organization", id="no-organization"),
        pytest.param(["org", "create", "--name", "authsvc-operators"], 1, "reserved", id="taken"),
        pytest.param(["key", "show", "key_1"], 2, "id: ", id="invalid"),
        pytest.param([*CREATE, "--org", "nobody"], 1, "no such organization", id="unknown-name"),
        pytest.param([*CREATE, "--scope", "a:b"], 2, "organization_id: ", id="whose"),
    ],
)
def test_a_refusal_is_one_sentence(
    command: Command, served: Served, arguments: list[str], status: int, text: str
) -> None:
    """Refused is 1, a malformed request is 2."""
    ran = command(*arguments)

    assert (ran.status, ran.out, text in ran.err, ran.err.count("\n")) == (status, "", True, 1)


def test_more_than_a_page_is_listed_whole(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are followed to the end, of keys and of organizations."""
    monkeypatch.setattr("authsvc.servicers.wire.MAX_PAGE", 1000)
    monkeypatch.setattr("authsvc.servicers.wire.page_size", lambda _: 2)
    for name in "abcd":
        command("org", "create", "--name", name)
        command(*CREATE, "--org", name)

    assert len(json.loads(command("org", "list", "--json").out)["organizations"]) == 5
    assert len(json.loads(command("key", "list", "--api", "shop", "--json").out)["keys"]) == 4


def test_check(command: Command, served: Served, tmp_path: Path) -> None:
    """Every rule with its verdict; allowed is 0, denied is 1."""
    command("org", "create", "--name", "acme")
    secret = command(*CREATE, "--org", "acme", "--scope", "things:read", "--secret-only").out
    file = tmp_path / "ci.key"
    file.write_text(secret)
    ask = ("check", "--api", "shop", "--path", "/v1/things", "--environment", "live")

    allowed = command(*ask, "--key-file", str(file))
    by_stdin = command(*ask, "-", stdin=secret)
    denied = command(*ask, "--method", "POST", "--key-file", "-", "--header", "X-Trace: 1", stdin=secret)
    nobody = command(*ask, "--source-ip", "192.0.2.1")
    as_json = command(*ask, "--host", "x.example", "--json")

    assert (allowed.status, allowed.out.splitlines()[-1][:8]) == (0, "allowed,")
    assert allowed.out.splitlines()[0].split() == ["RULE", "VERDICT", "DETAIL"]
    assert by_stdin.out == allowed.out
    assert (denied.status, "denied: route_not_configured (403)" in denied.out) == (1, True)
    assert (nobody.status, "denied: unauthorized (401)" in nobody.out) == (1, True)
    assert (as_json.status, json.loads(as_json.out)["decision"]["reason"]) == (1, "unauthorized")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--header", "Authorization: Bearer x"], id="credential-header"),
        pytest.param(["--header", "nonsense"], id="no-header"),
        pytest.param(["--header", ": x"], id="nameless-header"),
        pytest.param(["sk_live_0"], id="key-as-argument"),
        pytest.param(["-", "--key-file", "x"], id="two-sources"),
        pytest.param(["--key-file", "absent"], id="absent-file"),
    ],
)
def test_check_takes_no_key_from_its_arguments(command: Command, served: Served, arguments: list[str]) -> None:
    """Other users of the machine can read them."""
    ran = command("check", "--api", "shop", "--path", "/", *arguments)

    assert (ran.status, ran.out) == (2, "")


def test_without_a_service_the_status_is_three(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sentence says where nobody answered."""
    monkeypatch.setenv("AUTHSVC_ADMIN_KEY", "authsvc_0")

    ran = command("key", "list")

    assert (ran.status, ran.err.count("\n")) == (3, 1)
    assert "nothing answers at 127.0.0.1:1" in ran.err


def test_a_slow_service_is_not_waited_for(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call has a deadline."""
    monkeypatch.setattr(client, "TIMEOUT", 1e-6)

    assert command("key", "list").status == 3


def test_a_lost_database_is_told_in_the_services_words(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something answers, and cannot."""
    from authsvc.domain.errors import UnavailableError  # noqa: PLC0415 - beside its only use

    async def lost(*_: object) -> None:
        raise UnavailableError("the database is not available")

    monkeypatch.setattr(served.server.store, "load", lost)

    ran = command("key", "list")

    assert (ran.status, ran.err) == (3, "authsvc: the database is not available\n")


@pytest.mark.parametrize("key", ["authsvc_" + "0" * 38, "sk_live_0"])
def test_a_key_that_is_not_valid(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The sentence says where it came from."""
    monkeypatch.setenv("AUTHSVC_ADMIN_KEY", key)

    ran = command("key", "list")

    assert ran.status == 1
    assert (
        ran.err
        == "authsvc: The API key is not valid. Check AUTHSVC_ADMIN_KEY, or the file admin.key in AUTHSVC_HOME.\n"
    )


def test_a_malformed_key_is_not_sent(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor shown."""
    monkeypatch.setenv("AUTHSVC_ADMIN_KEY", "a canary")

    ran = command("key", "list")

    assert (ran.status, "canary" in ran.err) == (2, False)


def test_without_any_key_the_way_to_one_is_told(command: Command) -> None:
    """Configuration, not a refusal."""
    ran = command("key", "list")

    assert (ran.status, "authsvc init" in ran.err) == (2, True)


def test_the_key_of_the_home_is_used(
    command: Command, served: Served, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment names none."""
    monkeypatch.delenv("AUTHSVC_ADMIN_KEY")
    home.mkdir()
    secrets.write_private(home / "admin.key", Secret(served.server.operator))

    assert command("key", "list").status == 0


def test_the_data_address_is_told_apart(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that does not exist means another listener."""
    monkeypatch.setattr("authsvc_client.v1.key_service_pb2_grpc.KeyServiceStub", _Elsewhere)

    ran = command("key", "list")

    assert (ran.status, "not the data one" in ran.err) == (2, True)


class _Elsewhere:
    def __init__(self, channel: object) -> None:
        self.ListKeys = channel.unary_unary(  # type: ignore[attr-defined]
            "/authsvc.v1.Nowhere/ListKeys", request_serializer=lambda message: message.SerializeToString()
        )


def test_other_machines_are_called_with_tls(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """A key never leaves the machine in the clear."""
    called = []
    monkeypatch.setattr("grpc.insecure_channel", lambda *_, **__: pytest.fail("in the clear"))
    monkeypatch.setattr("grpc.secure_channel", lambda target, *_, **__: called.append(target) or _Dead())
    monkeypatch.setenv("AUTHSVC_ADMIN_TARGET", "authsvc.example:50052")
    monkeypatch.setenv("AUTHSVC_ADMIN_KEY", "authsvc_0")

    assert command("key", "list").status == 1
    assert called == ["authsvc.example:50052"]


class _Dead:
    def unary_unary(self, *_: object, **__: object) -> object:
        raise CommandError("dead", 1)

    stream_unary = unary_unary


@pytest.mark.parametrize("text", ["", "   \n", "a b", "ключ", "x" * 1025])
def test_a_key_is_one_word(command: Command, served: Served, text: str) -> None:
    """Standard input with anything else holds no key."""
    ran = command("key", "identify", stdin=text)

    assert (ran.status, "standard input: holds no key" in ran.err) == (2, True)


def test_a_key_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With the system's reason, not the path's content."""
    with pytest.raises(CommandError, match="cannot be read"):
        secrets.read_private_key(tmp_path)
    with pytest.raises(CommandError, match="already there"):
        secrets.write_private(tmp_path, Secret("x"))
