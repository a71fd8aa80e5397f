"""Exceptions of every kind, with secrets in their texts, and a way to raise one at any line of the package."""

from __future__ import annotations

import asyncio
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from sqlalchemy.exc import OperationalError

import authsvc
from tests.support.doors import KEY, PEPPER_SECRET, new_key

PACKAGE = str(Path(authsvc.__file__).parent)
DSN = "postgresql://authsvc:canary-password-6b1f@db.internal/authsvc"
TEXT = "canary text 9d2e of an exception"
UNKNOWN_KEY = new_key(seed=77)
SECRETS = {
    "key": KEY.encode(),
    "unknown key": UNKNOWN_KEY.encode(),
    "pepper": PEPPER_SECRET,
    "dsn": DSN.encode(),
    "password": b"canary-password-6b1f",
    "text": TEXT.encode(),
}


class StrangeError(Exception):
    """An exception whose own text cannot be had."""

    def __str__(self) -> str:
        raise ValueError(TEXT)

    __repr__ = __str__


class Interrupt(BaseException):
    """Something that is no `Exception`, as an interrupt is."""


def operational_error() -> OperationalError:
    """Return what a driver raises: statement, parameters and address in its text."""
    return OperationalError(f"SELECT {TEXT}", {"key": KEY}, ConnectionError(f"{DSN}: {TEXT}"))


ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError(f"{TEXT} {KEY} {DSN}"),
    "driver": operational_error,
    "memory": lambda: MemoryError(TEXT),
    "recursion": lambda: RecursionError(TEXT),
    "cancelled": lambda: asyncio.CancelledError(TEXT),
    "base": lambda: Interrupt(f"{TEXT} {KEY}"),
    "strange": StrangeError,
}
# What asyncio lets through the loop when a task of its own raises it; elsewhere it is like any other.
INTERRUPTS: dict[str, Callable[[], BaseException]] = {
    "keyboard": lambda: KeyboardInterrupt(TEXT),
    "exit": lambda: SystemExit(TEXT),
}

Point = tuple[str, int]  # file within the package, line
# The listener's outermost function: what it does outside its own `try` is nothing that can fail.
_OUTERMOST = "_handler.<locals>.handle"
# Runs wherever anybody logs, the test's own client included; `logging` keeps its faults to itself.
_FORMATTER = f"{PACKAGE}/telemetry/logs.py"


class Tracer:
    """Notes every line of the package that runs, or raises an error before one of them, once."""

    def __init__(self, at: Point | None = None, error: BaseException | None = None) -> None:
        self.seen: dict[Point, None] = {}
        self.raised = False
        self._at = at
        self._error = error
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        ours = code.co_filename.startswith(PACKAGE) and code.co_filename != _FORMATTER
        return self._line if ours and code.co_qualname != _OUTERMOST else None

    def _line(self, frame: FrameType, event: str, _: object) -> Any:
        # `try:` alone does nothing that could fail; a fault there would escape even the `with` around it.
        if event == "line" and linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() != "try:":
            point = (frame.f_code.co_filename.removeprefix(PACKAGE + "/"), frame.f_lineno)
            if self._error is None:
                self.seen[point] = None
            elif point == self._at and not self.raised:
                self.raised = True
                raise self._error
        return self._line
