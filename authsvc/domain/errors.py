"""
The fault tree. A refusal is a value (`decision.Deny`); a fault is an exception.

    AuthsvcError
    ├── InvalidInputError         the caller's mistake; a retry cannot help
    ├── UnauthenticatedError      an administrative call without a valid administrator key
    ├── PermissionDeniedError     a known administrator who may not do this
    ├── NotFoundError             no such thing, or not the caller's
    ├── AlreadyExistsError        a unique name or a request id is taken
    ├── ConflictError             the thing has changed meanwhile (stale etag)
    ├── AdministratorsChangedError   those who were to stay have changed meanwhile
    ├── FailedPreconditionError   the state forbids it
    ├── OverloadedError           a bound of ours is reached
    └── UnavailableError          the database did not answer in time
    StartupError                  the process cannot start as configured

The text of an `AuthsvcError` is shown to callers, so it is written for them and never built from
another exception. Causes are chained, and only logs see their type.
"""

from __future__ import annotations


class AuthsvcError(Exception):
    """Base of every fault raised on purpose; its text is safe to show to the caller."""


class InvalidInputError(AuthsvcError):
    """The request is malformed or out of bounds; the text names the field."""


class UnauthenticatedError(AuthsvcError):
    """The caller of an administrative RPC presented no valid key."""


class PermissionDeniedError(AuthsvcError):
    """The caller is known and may not do this."""


class NotFoundError(AuthsvcError):
    """There is no such thing within the caller's reach."""


class AlreadyExistsError(AuthsvcError):
    """A unique name, or a request id with another body, is already taken."""


class ConflictError(AuthsvcError):
    """The thing changed since the caller read it."""


class AdministratorsChangedError(AuthsvcError):
    """A change would end an administrator, and those who were to stay have all changed since they were read."""


class FailedPreconditionError(AuthsvcError):
    """The present state forbids the operation."""


class OverloadedError(AuthsvcError):
    """One of our own bounds is reached; a later retry may succeed."""


class UnavailableError(AuthsvcError):
    """The database did not answer in time; a retry may succeed."""


class StartupError(Exception):
    """The process cannot start as configured: one line for the operator, exit status 2."""
