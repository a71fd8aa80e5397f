"""Faults become codes by one table, and nothing of an unexpected one is told."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest

from authsvc.domain.errors import (
    AdministratorsChangedError,
    AlreadyExistsError,
    AuthsvcError,
    ConflictError,
    FailedPreconditionError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    StartupError,
    UnauthenticatedError,
    UnavailableError,
)
from authsvc.ports import CorruptRecordError
from authsvc.servicers.faults import INTERNAL, STATUS_BY_FAULT, report, status_of

CODES = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AdministratorsChangedError: grpc.StatusCode.ABORTED,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    ConflictError: grpc.StatusCode.ABORTED,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}
UNEXPECTED: list[BaseException] = [
    ValueError("canary"),
    AssertionError("canary"),
    MemoryError("canary"),
    RecursionError("canary"),
    asyncio.CancelledError("canary"),
    KeyboardInterrupt("canary"),
    StartupError("canary"),
    AuthsvcError("canary"),
]


def test_every_fault_has_a_code() -> None:
    """A new fault cannot ship without one."""
    assert set(AuthsvcError.__subclasses__()) == set(STATUS_BY_FAULT)
    assert CODES == STATUS_BY_FAULT


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in CODES])
def test_a_fault_raised_on_purpose_keeps_its_text(kind: type[AuthsvcError]) -> None:
    """Its text was written for callers."""
    assert status_of(kind("the field: why")) == (CODES[kind], "the field: why")


def test_a_special_case_of_a_fault_is_told_as_the_fault() -> None:
    """A record that cannot be read is, to callers, a database that does not answer."""
    assert status_of(CorruptRecordError("a stored record")) == (grpc.StatusCode.UNAVAILABLE, "a stored record")


@pytest.mark.parametrize("error", [pytest.param(error, id=type(error).__name__) for error in UNEXPECTED])
def test_an_unexpected_fault_says_nothing(error: BaseException) -> None:
    """Whatever it is, callers get one fixed text."""
    assert status_of(error) == (grpc.StatusCode.INTERNAL, INTERNAL)


@pytest.mark.parametrize("error", [pytest.param(error, id=type(error).__name__) for error in UNEXPECTED[:-1]])
def test_the_log_names_an_unexpected_fault(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """The log gets the type and the place, and neither text nor traceback."""
    with pytest.raises(type(error)) as raised:
        raise error
    report(raised.value, "an-id")

    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.ERROR, "unexpected fault")
    assert (line.__dict__["fault"], line.__dict__["decision_id"]) == (type(error).__name__, "an-id")
    assert "test_faults.py:" in line.__dict__["where"]
    assert line.exc_info is None
    assert "canary" not in str(line.__dict__)


def test_a_fault_without_a_traceback_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that was made and never raised has no place."""
    report(ValueError("canary"))

    assert [line.__dict__["where"] for line in caplog.records] == [""]


def test_faults_raised_on_purpose_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The caller is told; a client that sends nonsense must not fill the log."""
    report(InvalidInputError("x"))

    assert caplog.records == []
