"""Faults → gRPC. The one table of codes, and the one place that decides what a caller may read."""

from __future__ import annotations

import logging
import traceback

import grpc

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
    UnauthenticatedError,
    UnavailableError,
)

_LOG = logging.getLogger(__name__)

STATUS_BY_FAULT: dict[type[AuthsvcError], grpc.StatusCode] = {
    AdministratorsChangedError: grpc.StatusCode.ABORTED,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    ConflictError: grpc.StatusCode.ABORTED,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}

INTERNAL = "internal error"


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Return the code and the text for a caller. Only faults raised on purpose have a text of their own."""
    code = next((STATUS_BY_FAULT[kind] for kind in type(error).__mro__ if kind in STATUS_BY_FAULT), None)
    return (grpc.StatusCode.INTERNAL, INTERNAL) if code is None else (code, str(error))


def report(error: BaseException, decision_id: str = "") -> None:
    """
    Log a fault that nobody expected: its type and where it was raised.

    Never its text and never its traceback: both may quote a key, a password or a statement.
    """
    if isinstance(error, AuthsvcError):
        return
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    _LOG.error("unexpected fault", extra={"fault": type(error).__name__, "where": where, "decision_id": decision_id})
