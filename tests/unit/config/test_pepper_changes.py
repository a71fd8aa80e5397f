"""What becomes of a pepper file: each step of a pepper's life, what it refuses, and how the file is replaced."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from authsvc.config import pepper_changes, peppers
from authsvc.config.peppers import PepperFile, Wrapped
from authsvc.domain.errors import StartupError


def secret(number: int) -> bytes:
    """Return a pepper that passes for random."""
    return bytes((number * 37 + place * 11) % 256 for place in range(32))


ONE = PepperFile(current="p1", peppers={"p1": secret(1)})
TWO = PepperFile(current="p1", peppers={"p1": secret(1), "p2": secret(2)})


def test_a_new_pepper_is_accepted_and_not_current() -> None:
    """Keys under it stay as they are: it is newer than the current one."""
    added = pepper_changes.added(ONE, "p2", lambda _: secret(2))

    made = added.pepper_set()
    assert TWO == added
    assert ("p1", ["p2"], {"p2"}) == (made.current.id, [pepper.id for pepper in made.others], set(made.newer))


def test_a_promoted_pepper_leaves_the_old_one_accepted() -> None:
    """The old one is no newer than it: keys come over from there."""
    made = pepper_changes.promoted(TWO, "p2").pepper_set()

    assert ("p2", ["p1"], set()) == (made.current.id, [pepper.id for pepper in made.others], set(made.newer))


def test_a_wrapped_pepper_serves_inside_the_current_one_only() -> None:
    """By itself it is not accepted any more; doing it again changes nothing."""
    file = pepper_changes.wrapped(pepper_changes.promoted(TWO, "p2"), "p1")

    assert ["p2", "p2(p1)"] == [pepper.id for pepper in file.pepper_set().all]
    assert file == pepper_changes.wrapped(file, "p1")


def test_a_pepper_that_wraps_may_leak_too() -> None:
    """Then the layers are three."""
    file = pepper_changes.wrapped(pepper_changes.promoted(TWO, "p2"), "p1")
    file = pepper_changes.promoted(pepper_changes.added(file, "p3", lambda _: secret(3)), "p3")

    layers = pepper_changes.wrapped(file, "p2").pepper_set()
    assert ["p3", "p3(p2(p1))", "p3(p2)"] == [pepper.id for pepper in layers.all]


def test_a_retired_pepper_is_gone() -> None:
    """From either place; what is not there is gone already."""
    wrapped = pepper_changes.wrapped(pepper_changes.promoted(TWO, "p2"), "p1")
    last = PepperFile(current="p2", peppers={"p2": secret(2)})

    assert last == pepper_changes.retired(pepper_changes.promoted(TWO, "p2"), "p1")
    assert last == pepper_changes.retired(wrapped, "p1")
    assert last == pepper_changes.retired(last, "p0")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda: pepper_changes.added(ONE, "p1"), "an id is never used again", id="add-twice"),
        pytest.param(
            lambda: pepper_changes.added(
                PepperFile(current="a", peppers={name: secret(n) for n, name in enumerate("abcd")}), "e"
            ),
            "retire one first",
            id="add-a-fifth",
        ),
        pytest.param(lambda: pepper_changes.promoted(ONE, "p2"), "there is no pepper 'p2' to promote", id="promote"),
        pytest.param(
            lambda: pepper_changes.promoted(pepper_changes.promoted(TWO, "p2"), "p1"), "is older", id="go-back"
        ),
        pytest.param(lambda: pepper_changes.wrapped(TWO, "p1"), "'p1' is the current pepper", id="wrap-current"),
        pytest.param(lambda: pepper_changes.wrapped(TWO, "p3"), "there is no pepper 'p3'", id="wrap-none"),
        pytest.param(lambda: pepper_changes.retired(TWO, "p1"), "'p1' is the current pepper", id="retire-current"),
        pytest.param(
            lambda: pepper_changes.retired(
                PepperFile(
                    current="p3",
                    peppers={"p2": secret(2), "p3": secret(3)},
                    wrapped={"p1": Wrapped(under="p2", secret=secret(1))},
                ),
                "p2",
            ),
            "'p1' is wrapped under 'p2'",
            id="retire-the-outer",
        ),
    ],
)
def test_what_is_refused(change: object, told: str) -> None:
    """Each in a sentence that says what to do."""
    with pytest.raises(StartupError, match=told.replace("(", r"\(")):
        change()  # type: ignore[operator]  # a step to take


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Mode 0600 whatever it was, everything in it kept, nothing left beside it."""
    path = tmp_path / "peppers.yaml"
    peppers.write(path, ONE, replace=False)
    everything = PepperFile(
        current="on",
        peppers={"p1": secret(1), "on": secret(2)},
        wrapped={"0": Wrapped(under="on", secret=secret(3))},
        foreign={"old": b"sixteen bytes, 24 in all", "null": b"f" * 16},
    )

    pepper_changes.store(path, everything)

    assert (everything, 0o600, [path]) == (peppers.load(path), path.stat().st_mode & 0o777, list(tmp_path.iterdir()))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told in a line, and the old file is still there."""
    with pytest.raises(StartupError, match="cannot be written: No such file or directory"):
        pepper_changes.store(tmp_path / "nowhere" / "peppers.yaml", ONE)


def test_no_text_form_shows_a_secret() -> None:
    """Whatever prints it."""
    shown = repr(TWO) + repr(Wrapped(under="p2", secret=secret(1))) + repr(TWO.pepper_set())

    assert repr(secret(1))[2:12] not in shown
    assert base64.b64encode(secret(1)).decode()[:8] not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("wrapped: {p0: {under: p9, pepper: OTHER}}", "is under none that is in peppers", id="orphan"),
        pytest.param("wrapped: {p0: {under: p0, pepper: OTHER}}", "is under none that is in peppers", id="circle"),
        pytest.param("wrapped: {p0: OTHER}", "exactly the keys under and pepper", id="shape"),
        pytest.param("wrapped: {p1: {under: p1, pepper: OTHER}}", "two peppers the same id", id="same-id"),
        pytest.param("wrapped: {p0: {under: p1, pepper: FIRST}}", "two ids have the same pepper", id="same-pepper"),
        pytest.param("foreign: {Old: OTHER}", "a foreign secret's name is at most 16", id="name"),
        pytest.param("foreign: {old: c2hvcnQ=}", "'old' must be base64 text of 16 to 1024 bytes", id="short"),
        pytest.param("foreign: [OTHER]", "foreign must be a mapping of 0 to 8 names to values", id="list"),
    ],
)
def test_a_doubtful_file_stops_the_start(tmp_path: Path, text: str, told: str) -> None:
    """What stands beside the peppers is read as strictly as they are."""
    first, other = (base64.b64encode(secret(number)).decode() for number in (1, 9))
    path = tmp_path / "peppers.yaml"
    path.touch(0o600)
    said = text.replace("OTHER", other).replace("FIRST", first)
    path.write_text(f"{{current: p1, peppers: {{p1: {first}}}, {said}}}")

    with pytest.raises(StartupError, match=told) as refused:
        peppers.load(path)

    assert not any(value in str(refused.value) for value in (first, other))
