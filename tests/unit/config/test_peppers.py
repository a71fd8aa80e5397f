"""The pepper file: made once, refused when weak, never shown."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from authsvc.config import peppers
from authsvc.domain.errors import StartupError

FIRST = base64.b64encode(bytes(range(100, 132))).decode()
SECOND = base64.b64encode(bytes(range(150, 190))).decode()
SHORT = base64.b64encode(bytes(range(100, 131))).decode()
SAMPLE = base64.b64encode(bytes(range(32))).decode()
EQUAL = base64.b64encode(b"x" * 32).decode()


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a pepper file with a mode."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_generate_then_read(tmp_path: Path) -> None:
    """A new file is private, and the same peppers come back from it."""
    path = tmp_path / "peppers.yaml"

    made = peppers.generate(path, lambda count: bytes(range(100, 100 + count)))

    assert path.stat().st_mode & 0o777 == 0o600
    assert f"current: p1\npeppers:\n  p1: {FIRST}\n" == path.read_text()
    assert [path] == list(tmp_path.iterdir())
    assert made.current.digest("key") == peppers.read(path).current.digest("key")


def test_generated_peppers_differ(tmp_path: Path) -> None:
    """The default source is random."""
    one, other = peppers.generate(tmp_path / "a"), peppers.generate(tmp_path / "b")

    assert one.current.check != other.current.check


def test_generate_never_replaces_a_file(tmp_path: Path) -> None:
    """Whatever stands there stays, and nothing is left beside it."""
    path = write(tmp_path / "peppers.yaml", "precious")

    with pytest.raises(StartupError, match="is already there and is not replaced"):
        peppers.generate(path)

    assert path.read_text() == "precious"
    assert [path] == list(tmp_path.iterdir())


def test_generate_into_nowhere(tmp_path: Path) -> None:
    """A folder that is missing is one line, not a traceback."""
    with pytest.raises(StartupError, match="cannot be written: No such file or directory"):
        peppers.generate(tmp_path / "nowhere" / "peppers.yaml")


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_two_peppers_in_either_form(tmp_path: Path, form: str) -> None:
    """The current one is for new keys; both are accepted."""
    data = {"current": "p2", "peppers": {"p1": FIRST, "p2": SECOND}}
    text = json.dumps(data) if form == "json" else f"current: p2\npeppers:\n  p1: {FIRST}\n  p2: {SECOND}\n"

    found = peppers.read(write(tmp_path / "peppers", text))

    assert (found.current.id, [pepper.id for pepper in found.others]) == ("p2", ["p1"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param(FIRST, "must have exactly the keys current and peppers", id="bare-value"),
        pytest.param(
            f"{{peppers: {{p1: {FIRST}}}}}", "must have exactly the keys current and peppers", id="no-current"
        ),
        pytest.param(
            f"{{current: p1, peppers: {{p1: {FIRST}}}, x: y}}", "must have exactly the keys", id="unknown-key"
        ),
        pytest.param("{current: p1, peppers: {}}", "peppers must be a mapping of 1 to 4 ids", id="none"),
        pytest.param(f"{{current: p1, peppers: [{FIRST}]}}", "peppers must be a mapping of 1 to 4 ids", id="list"),
        pytest.param(
            f"{{current: p2, peppers: {{p1: {FIRST}}}}}", "current must be one of the ids in peppers", id="current"
        ),
        pytest.param(
            f"{{current: 1, peppers: {{p1: {FIRST}}}}}", "current must be one of the ids in peppers", id="number"
        ),
        pytest.param(
            f"{{current: p1, peppers: {{p1: {SHORT}}}}}", "pepper 'p1' must have 32 to 1024 bytes", id="short"
        ),
        pytest.param(f"{{current: p1, peppers: {{p1: {EQUAL}}}}}", "pepper 'p1' is not random", id="all-equal"),
        pytest.param(
            f"{{current: p1, peppers: {{p1: {SAMPLE}}}}}", "pepper 'p1' is a sample from documentation", id="sample"
        ),
        pytest.param("{current: p1, peppers: {p1: 'not base64!'}}", "pepper 'p1' is not base64 text", id="not-base64"),
        pytest.param("{current: p1, peppers: {p1: 12}}", "pepper 'p1' is not base64 text", id="not-text"),
        pytest.param(
            f"{{current: p1, peppers: {{p1: {FIRST}, p1: {SECOND}}}}}", "the key is here twice", id="id-twice"
        ),
        pytest.param(
            f"{{current: p1, peppers: {{p1: {FIRST}, p2: {FIRST}}}}}", "two ids have the same pepper", id="same"
        ),
        pytest.param(f"{{current: p/1, peppers: {{p/1: {FIRST}}}}}", "an id is at most 32 letters", id="id"),
        pytest.param(f"{{current: p1, peppers: {{p1: {FIRST}", "not valid YAML", id="syntax"),
        pytest.param("#" * 70_000, "larger than 65536 bytes", id="large"),
    ],
)
def test_a_doubtful_file_stops_the_start(tmp_path: Path, text: str, told: str) -> None:
    """Each refusal names the file and the reason, and none shows a value."""
    path = write(tmp_path / "peppers.yaml", text)

    with pytest.raises(StartupError) as refused:
        peppers.read(path)

    assert told in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert not any(value in str(refused.value) for value in (FIRST, SECOND, SHORT, SAMPLE, EQUAL, "not base64!"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610])
def test_a_file_that_others_may_use(tmp_path: Path, mode: int) -> None:
    """A pepper that the machine shares is no secret."""
    path = write(tmp_path / "peppers.yaml", f"{{current: p1, peppers: {{p1: {FIRST}}}}}", mode)

    with pytest.raises(StartupError, match=f"others may read or write it \\(mode {mode:04o}\\); run chmod 0600"):
        peppers.read(path)


@pytest.mark.parametrize(("mode", "accepted"), [(0o440, True), (0o460, False), (0o444, False)])
def test_a_mounted_secret_of_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, *, accepted: bool
) -> None:
    """Where another user owns the file, its group may read it: that is how secrets are mounted."""
    path = write(tmp_path / "peppers.yaml", f"{{current: p1, peppers: {{p1: {FIRST}}}}}", mode)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    if accepted:
        assert peppers.read(path).current.id == "p1"
    else:
        with pytest.raises(StartupError, match="others may read or write it"):
            peppers.read(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are refused without waiting."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(StartupError, match="there is no pepper file; `authsvc init` makes one"):
        peppers.read(tmp_path / "absent")
    with pytest.raises(StartupError, match="is not a regular file"):
        peppers.read(tmp_path / "pipe")
    with pytest.raises(StartupError, match="is not a regular file"):
        peppers.read(tmp_path)
