"""Log lines: one JSON object each, which no value can forge and in which no secret is quoted."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from authsvc.telemetry import logs
from tests.support.canaries import everything_logged

CANARY = "canary-5f21"
FORGERY = '\n{"level":"info","message":"all is well"}\r\n\x1b[2K\x1b[31m\x85\u2028\u2029\0\ud800"}'


def line_of(name: str, message: object, *args: object, **extra: Any) -> dict[str, Any]:
    """Return what one record becomes."""
    record = logging.getLogger(name).makeRecord(name, logging.ERROR, "f", 1, message, args, None, extra=extra)  # type: ignore[arg-type]
    text = logs.JsonFormatter().format(record)

    assert text.isascii()
    assert text.isprintable()
    line: dict[str, Any] = json.loads(text)
    return line


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Configure logging as the service does, onto a string."""
    root, ours = logging.getLogger(), logging.getLogger("authsvc")
    before = list(root.handlers), root.level, ours.level
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    for handler in before[0]:
        root.removeHandler(handler)  # or `force` closes what is pytest's
    logs.configure("INFO")
    yield written
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_the_members_of_a_line() -> None:
    """Time, level, logger, message and what was attached; nothing else of a record."""
    line = line_of("authsvc.door", "denied", decision_id="d1", reason="unauthorized", key_id="", password=CANARY)

    assert set(line) == {"time", "level", "logger", "message", "decision_id", "reason"}
    assert (line["level"], line["logger"], line["message"]) == ("error", "authsvc.door", "denied")
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("field", logs.FIELDS)
def test_no_value_forges_a_line(field: str) -> None:
    """Line breaks, escapes and quotes stay within their value, whatever holds it."""
    assert line_of("authsvc", "x", **{field: FORGERY})[field] == FORGERY


def test_no_message_forges_a_line() -> None:
    """Arguments of our own messages cannot either."""
    assert line_of("authsvc", "for %s", FORGERY)["message"] == f"for {FORGERY}"


def test_values_that_are_no_text() -> None:
    """Whatever is attached, the line is written."""
    line = line_of("authsvc", "x", detail=ValueError, revision=7)

    assert (line["detail"], line["revision"]) == ("<class 'ValueError'>", 7)


def test_exceptions_are_named_and_not_quoted() -> None:
    """Their texts and tracebacks may hold a key, a password or a statement."""
    with everything_logged() as log:
        try:
            {}[CANARY]
        except KeyError:
            logging.getLogger("authsvc").exception("it failed")
            logging.getLogger("driver").exception("it failed")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]

    assert [line["fault"] for line in lines] == ["KeyError", "KeyError"]
    assert CANARY not in log.getvalue()


@pytest.mark.parametrize(
    ("message", "args", "kept"),
    [
        pytest.param("connection lost", (), "connection lost", id="plain"),
        pytest.param("cannot connect to %s: %r", (CANARY, CANARY), "cannot connect to", id="arguments"),
        pytest.param(f"cannot connect: {CANARY}", (), "cannot connect", id="colon"),
        pytest.param(f"bad value {CANARY!r}", (), "bad value", id="quoted"),
        pytest.param(f"Task exception was never retrieved\nfuture: <Task {CANARY}>", (), None, id="second-line"),
        pytest.param(f"Exception in callback f({CANARY})", (), "Exception in callback f", id="call"),
        pytest.param(f"[SQL] <{CANARY}>", (), "[SQL]", id="brackets"),
        pytest.param(f"dsn={CANARY}", (), "dsn", id="assignment"),
        pytest.param(ValueError(CANARY), (), "ValueError", id="exception-as-message"),
        pytest.param("%s", (CANARY,), "", id="arguments-alone"),
    ],
)
def test_other_peoples_messages_lose_what_may_be_ours(
    message: object, args: tuple[object, ...], kept: str | None
) -> None:
    """Of a message that we did not write the wording before the first value is kept."""
    line = line_of("driver.pool", message, *args)

    assert CANARY not in json.dumps(line)
    assert kept is None or line["message"] == kept


async def test_what_asyncio_says_of_a_lost_exception() -> None:
    """The loop itself quotes an exception that nobody asked for."""

    async def fail() -> None:
        raise ValueError(CANARY)

    def call_back(value: str) -> None:
        raise ValueError(value)

    with everything_logged() as log:
        task = asyncio.get_running_loop().create_task(fail())
        asyncio.get_running_loop().call_soon(call_back, CANARY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]

    assert {line["message"] for line in lines if line["level"] == "error"} >= {"Task exception was never retrieved"}
    assert len([line for line in lines if line.get("fault") == "ValueError"]) == 2
    assert CANARY not in log.getvalue()


def test_configured_output(output: io.StringIO) -> None:
    """Ours from the given level on, everybody else's from warnings on, each on a line of standard error."""
    logging.getLogger("authsvc.x").debug("no")
    logging.getLogger("authsvc.x").info("yes")
    logging.getLogger("driver").info("no")
    logging.getLogger("driver").warning("yes")

    assert [json.loads(line)["message"] for line in output.getvalue().splitlines()] == ["yes", "yes"]
