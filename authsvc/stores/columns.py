"""Column types that mean the same in PostgreSQL and in SQLite, and checks that need each one's own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Dialect, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

from authsvc.domain.keys import Micros

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Ids and names are compared byte by byte, whatever the database's locale: pages, prefixes and
# uniqueness then mean the same in both databases.
Text = String().with_variant(String(collation="C"), "postgresql")

# None is stored as SQL NULL, never as the JSON literal `null`: there is one way to say "unrestricted".
Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def timestamp(micros: Micros | None) -> datetime | None:
    """Return an instant as PostgreSQL's driver takes it."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[Micros]):
    """Microseconds since 1970, exactly: TIMESTAMPTZ in PostgreSQL, an integer in SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type the column really has."""
        return TIMESTAMP(timezone=True) if dialect.name == "postgresql" else BigInteger()

    def process_bind_param(self, value: Micros | None, dialect: Dialect) -> datetime | int | None:
        """Turn an instant into what the driver takes."""
        return timestamp(value) if dialect.name == "postgresql" else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Micros | None:  # noqa: ANN401 (the driver's)
        """Turn what the driver gives into an instant."""
        if value is None:
            return None
        if dialect.name != "postgresql":
            return int(value)
        micros: int = (value - _EPOCH) // _MICROSECOND
        return micros


def json_checks(column: str, kind: str) -> tuple[CheckConstraint, CheckConstraint]:
    """Hold a document to one JSON type; SQL NULL passes, the literal `null` does not."""
    name = f"{column}_is_{kind}"
    return (
        CheckConstraint(f"jsonb_typeof({column}) = '{kind}'", name=name).ddl_if(dialect="postgresql"),
        CheckConstraint(f"json_type({column}) = '{kind}'", name=name).ddl_if(dialect="sqlite"),
    )
