"""`authsvc key import`: files of either form, what is wrong with their lines, and what is told of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from authsvc_client.v1.key_service_pb2 import ImportRecord, ImportRejection

from authsvc.cli import import_files, key_import
from authsvc.cli.errors import CommandError
from authsvc.cli.import_files import MAX_LINE, Source
from authsvc.cli.progress import progress
from tests.unit.cli.conftest import Command, Served

OWNER = "org_" + "1" * 26
# The product of these tests makes keys with the prefix sk_live_; as texts they can be imported.
COMMAND = ("key", "import", "-", "--api", "shop", "--source", "legacy")


def read(text: str, *, is_csv: bool = False) -> list[ImportRecord | ImportRejection]:
    """Return what a file says."""
    return list(import_files.records(Source(io.StringIO(text), is_csv, None), OWNER))


def line(**fields: Any) -> str:
    """Return one line of JSON."""
    return json.dumps(fields) + "\n"


def test_both_forms_say_the_same() -> None:
    """Blank lines are passed over and still count; what a line leaves out is left out."""
    rows = "external_id,scopes,full_access,expires_at\na,x:read x:write,TRUE,2030-01-31T12:00:00Z\n\nb,,,\n"
    lines = (
        line(external_id="a", scopes=["x:read", "x:write"], full_access=True, expires_at="2030-01-31T13:00:00+01:00")
        + "\n"
        + line(external_id="b")
    )

    written, table = read(lines), read(rows, is_csv=True)
    first = written[0]
    assert [(1, 2), (3, 4)] == [(one.line, two.line) for one, two in zip(written, table, strict=True)]
    for record in (*written, *table):
        record.line = 1
    assert written == table
    assert isinstance(first, ImportRecord)
    assert (OWNER, 1, ["x:read", "x:write"], True) == (
        first.organization_id,
        first.line,
        list(first.scopes),
        first.full_access,
    )
    assert first.expires_at.ToJsonString() == "2030-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("nonsense\n", "not a JSON object", id="no-json"),
        pytest.param("[]\n", "not a JSON object", id="list"),
        pytest.param("[" * 60_000 + "\n", "not a JSON object", id="deep"),
        pytest.param(line(external_id="a", colour="red"), "a field is none of", id="unknown"),
        pytest.param(line(external_id=5), "another type", id="number"),
        pytest.param(line(external_id="a", scopes="x:read"), "another type", id="scopes"),
        pytest.param(line(external_id="a", scopes=[5]), "another type", id="scope"),
        pytest.param(line(external_id="a", full_access="yes"), "another type", id="flag"),
        pytest.param(line(external_id="a", expires_at=5), "expires_at: an instant", id="instant"),
        pytest.param(line(name="x" * MAX_LINE), "a line has at most", id="long"),
    ],
)
def test_a_line_that_cannot_be_sent(text: str, told: str) -> None:
    """It is told with its number, and the next line is read as ever."""
    first, second = read(text + line(external_id="b"))

    assert isinstance(first, ImportRejection)
    assert (1, True) == (first.line, told in first.cause)
    assert (2, "b") == (second.line, second.external_id)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "the first line must name columns", id="empty"),
        pytest.param("external_id,colour\n", "the first line must name columns", id="unknown"),
        pytest.param("name,name\n", "the first line must name columns", id="twice"),
        pytest.param('name\n"a\n', "is not CSV", id="quote"),
    ],
)
def test_a_table_that_cannot_be_read(text: str, told: str) -> None:
    """The whole of it is refused."""
    with pytest.raises(CommandError, match=told):
        read(text, is_csv=True)


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    """It is told in a sentence."""
    path = tmp_path / "keys.jsonl"
    path.write_bytes(b"\xff\xfe\n")

    with (
        pytest.raises(CommandError, match="the file is not UTF-8"),
        import_files.opened(str(path), "") as source,
    ):
        list(import_files.records(source, OWNER))


@pytest.mark.parametrize(
    ("name", "form", "is_csv"),
    [("a.jsonl", "", False), ("a.csv", "", True), ("a.csv", "jsonl", False), ("a.jsonl", "csv", True)],
)
def test_the_name_tells_the_form(tmp_path: Path, name: str, form: str, *, is_csv: bool) -> None:
    """Unless the option does."""
    (tmp_path / name).write_text("ab")

    with import_files.opened(str(tmp_path / name), form) as source:
        assert (is_csv, 2) == (source.is_csv, source.size)


def test_batches_are_bounded() -> None:
    """In records and in bytes, and none is lost."""
    small = [ImportRecord(line=number) for number in range(2500)]
    large = [ImportRecord(line=number, name="x" * 10_000) for number in range(200)]

    for records in (small, large):
        batches = [request.batch for request in key_import._batches(records)]
        assert all(len(batch.records) <= 1000 and batch.ByteSize() < 1024 * 1024 for batch in batches)
        assert [record.line for batch in batches for record in batch.records] == [record.line for record in records]


def test_an_import_from_standard_input(served: Served, command: Command) -> None:
    """Counts at the end, every rejected line before them, and a status that scripts see."""
    acme = served.do(served.server.organization("acme"))
    api = served.server.apis.by_name["shop"]
    text = api.keys.generate(api.keys.classes[0], lambda letters: letters[0])
    file = line(external_id="a", secret=text) + line(external_id="b") + "nonsense\n"

    tried = command(*COMMAND, "--org", acme, "--dry-run", stdin=file)
    done = command(*COMMAND, "--org", "acme", stdin=file)
    again = command(*COMMAND, "--org", acme, stdin=line(external_id="a", secret=text))

    told = [
        "line 2: b: digest: give a digest with alg and encoding, or a secret",
        "line 3: (no id): not a JSON object",
    ]
    assert [*told, "1 would be imported, 0 there already, 2 rejected"] == tried.out.splitlines()
    assert [*told, "1 imported, 0 there already, 2 rejected"] == done.out.splitlines()
    assert (1, 1, 0) == (tried.status, done.status, again.status)
    assert again.out == "0 imported, 1 there already, 0 rejected\n"
    assert text not in done.out + done.err


def test_json_for_programs(served: Served, command: Command, tmp_path: Path) -> None:
    """The response as it is defined, with every rejected record in it."""
    acme = served.do(served.server.organization("acme"))
    (tmp_path / "keys.csv").write_text("external_id,secret\na,\n")

    done = command("key", "import", "keys.csv", "--api", "shop", "--source", "legacy", "--org", acme, "--json")

    answer = json.loads(done.out)
    assert (1, "0", "1") == (done.status, answer["imported"], answer["rejected_count"])
    assert ["2"] == [told["line"] for told in answer["rejected"]]


def test_files_are_sent_in_parts(served: Served, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a file is, one part of it is in memory, and every rejected line of each is told."""
    monkeypatch.setattr(key_import, "CALL", 2)
    acme = served.do(served.server.organization("acme"))

    done = command(*COMMAND, "--org", acme, stdin="".join(line(external_id=f"id-{n}") for n in range(5)))

    assert [f"line {n + 1}: id-{n}" for n in range(5)] == [
        told.rpartition(": digest")[0] for told in done.out.splitlines()[:5]
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(("nowhere.jsonl", "--api", "shop", "--source", "a"), "nowhere.jsonl: cannot be read", id="file"),
        pytest.param(("-", "--api", "shop", "--source", "a", "--format", "xml"), "--format: jsonl or csv", id="form"),
        pytest.param(("-", "--api", "none", "--source", "a"), "header.api: one of shop", id="api"),
        pytest.param(
            ("-", "--api", "shop", "--source", "a", "--assurance", "sure"),
            "--assurance: one of unknown, declared",
            id="assurance",
        ),
        pytest.param(("-", "--api", "shop", "--source", "A"), "header.source: 1 to 64", id="source"),
    ],
)
def test_what_is_refused_in_one_line(served: Served, command: Command, arguments: tuple[str, ...], told: str) -> None:
    """With the status of wrong usage."""
    done = command("key", "import", *arguments, stdin=line(external_id="a"))

    assert (2, True) == (done.status, told in done.err), done
    assert len(done.err.splitlines()) == 1


def test_a_bar_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever redirects standard error gets none, nor who reads from a pipe."""
    (tmp_path / "keys.jsonl").write_text("{}\n" * 3)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    with _file(tmp_path) as source, progress(source) as advance:
        source.file.read()
        advance()
    shown = terminal.getvalue()
    terminal.is_one = False
    with _file(tmp_path) as source, progress(source) as advance:
        advance()

    assert "importing" in shown
    assert "100%" in shown
    assert shown == terminal.getvalue()


class Terminal(io.StringIO):
    """A standard error that somebody sits at."""

    is_one = True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.is_one


def _file(folder: Path) -> Any:
    return import_files.opened(str(folder / "keys.jsonl"), "")
