"""What a driver raises, as our own faults: fixed texts, the cause chained for logs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError, IntegrityError

from authsvc.domain.errors import AuthsvcError, StartupError, UnavailableError

_UNIQUE = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


@contextmanager
def translated() -> Iterator[None]:
    """
    Let nothing but our own faults out.

    Whatever else goes wrong in here, a lost connection, a full disk, a missing table or a bug, is no
    answer about a key: it must never be taken for an absent record.
    """
    try:
        yield
    except (AuthsvcError, StartupError):
        raise
    except Exception as error:
        raise UnavailableError("the database is not available") from error


def is_taken(error: IntegrityError) -> bool:
    """Whether a unique value exists already."""
    if isinstance(error.orig, psycopg.Error):
        return isinstance(error.orig, errors.UniqueViolation)
    return _sqlite_code(error) in _UNIQUE


def is_forbidden(error: DBAPIError) -> bool:
    """Whether the role may not do it."""
    return isinstance(error.orig, errors.InsufficientPrivilege)


def is_orphan(error: IntegrityError) -> bool:
    """Whether what a row refers to does not exist."""
    if isinstance(error.orig, psycopg.Error):
        return isinstance(error.orig, errors.ForeignKeyViolation)
    return _sqlite_code(error) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY


def _sqlite_code(error: IntegrityError) -> int | None:
    return getattr(error.orig, "sqlite_errorcode", None)
