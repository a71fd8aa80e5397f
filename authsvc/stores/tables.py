"""
Every table. Migrations make them; a test holds the two to each other.

Three rules shape them. `change_head` is one row, and whoever changes anything locks it first, so the
order of positions is the order of commits. What is written on every request (use, counts) lives apart
from what decides, so it never waits for a change nor makes one wait. A nullable list that is NULL is
unrestricted; an empty one matches nobody.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from authsvc.stores.columns import Document, Instant, Text, json_checks

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_NOT_DELETED = text("deleted_at IS NULL")
_NAME_IN_USE = text("status <> 'deleted'")


def _counter(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


change_head = Table(
    "change_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # The audit trail counts on its own: refusals are events too, and they move nobody's cache.
    Column("audit_seq", BigInteger, nullable=False),
    Column("audit_mac", LargeBinary),
    CheckConstraint("id = 1", name="one_row"),
)

auth_change = Table(
    "auth_change",
    metadata,
    _counter("seq"),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("key_id", Text),
    Column("organization_id", Text),
    Column("at", Instant, nullable=False, index=True),
)

schema_info = Table(
    "schema_info",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("min_code_revision", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

pepper_checks = Table(
    "pepper_checks",
    metadata,
    Column("pepper_id", Text, primary_key=True),
    Column("check_bytes", LargeBinary, nullable=False),
    CheckConstraint("length(check_bytes) = 8", name="check_bytes_length"),
)

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("plan", Text),
    Column("networks", Document),
    Column("metadata", Document, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
    Column("updated_at", Instant, nullable=False),
    Column("suspended_at", Instant),
    Column("suspend_reason", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    *json_checks("networks", "array"),
    *json_checks("metadata", "object"),
    # The name of a deleted organization is free again.
    Index("uq_organizations_name", "name", unique=True, postgresql_where=_NAME_IN_USE, sqlite_where=_NAME_IN_USE),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("pepper_id", Text, nullable=False, index=True),
    Column("algorithm", Text, nullable=False),
    Column("api", Text, nullable=False),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("environment", Text),
    Column("scopes", Document, nullable=False),
    Column("full_access", Boolean, nullable=False),
    Column("origins", Document),
    Column("networks", Document),
    Column("limits", Document, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("not_before", Instant),
    Column("expires_at", Instant, index=True),
    Column("grace_ends_at", Instant),
    Column("revoked_at", Instant),
    Column("revoke_reason", Text, nullable=False),
    Column("deleted_at", Instant),
    Column("predecessor_id", Text),
    Column("successor_id", Text),
    Column("name", Text, nullable=False, index=True),
    Column("hint", Text, nullable=False),
    Column("import_source", Text),
    Column("external_id", Text),
    Column("created_at", Instant, nullable=False, index=True),
    Column("created_by", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("import_source", "external_id"),
    CheckConstraint("length(digest) = 32", name="digest_length"),
    CheckConstraint("(import_source IS NULL) = (external_id IS NULL)", name="import_pair"),
    *json_checks("scopes", "array"),
    *json_checks("origins", "array"),
    *json_checks("networks", "array"),
    *json_checks("limits", "array"),
    *json_checks("metadata", "object"),
    Column("assurance", Text),  # of an imported digest; NULL: the text was seen, or made here
)

# Under which imported keys were stored before their texts were seen: they must be known when they are imported again.
former_digests = Table(
    "former_digests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, ForeignKey("keys.id"), nullable=False),
)

# A page of a list starts at a key id within one of these, so it costs the same on its first and on
# its thousandth page, however many keys there are and were.
for _name, _columns in {
    "live": ("id",),
    "api": ("api", "id"),
    "api_kind": ("api", "kind", "id"),
    "api_environment": ("api", "environment", "id"),
    "kind": ("kind", "id"),
    "environment": ("environment", "id"),
    "organization": ("organization_id", "id"),
}.items():
    Index(
        f"ix_keys_list_{_name}",
        *(keys.c[column] for column in _columns),
        postgresql_where=_NOT_DELETED,
        sqlite_where=_NOT_DELETED,
    )

key_uses = Table(
    "key_uses",
    metadata,
    Column("key_id", Text, ForeignKey("keys.id"), primary_key=True),
    Column("last_used_at", Instant, nullable=False, index=True),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    _counter("seq"),
    Column("at", Instant, nullable=False, index=True),
    Column("actor_key_id", Text, nullable=False),
    Column("actor_organization_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target_kind", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("organization_id", Text, nullable=False),
    Column("before", Document),
    Column("after", Document),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False, index=True),
    Column("revision_epoch", Text),  # NULL with the next: a refusal, which changed nothing
    Column("revision_seq", BigInteger),
    Column("outcome", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("mac", LargeBinary),  # NULL with the next: written before there was a chain
    CheckConstraint("count >= 1", name="count_positive"),
    *json_checks("before", "object"),
    *json_checks("after", "object"),
    Column("mac_key", Text),
)
for _column in ("actor_key_id", "actor_organization_id", "action", "target_id", "organization_id"):
    Index(f"ix_audit_events_{_column}_seq", audit_events.c[_column], audit_events.c.seq)

# Keys of the chain, encrypted under those peppers that were current later.
audit_keys = Table(
    "audit_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("wrapped_by", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
    CheckConstraint("length(body_hash) = 32", name="body_hash_length"),
)


def _usage(width: str) -> Table:
    # Unknown keys, organizations, APIs and routes are empty text: a primary key has no NULL.
    name = f"usage_{width}s"
    return Table(
        name,
        metadata,
        Column("start", Instant, primary_key=True),
        *(Column(column, Text, primary_key=True) for column in ("api", "organization_id", "key_id", "route")),
        Column("outcome", Text, primary_key=True),  # `allow`, or the reason of the denial
        Column("count", BigInteger, nullable=False),
        CheckConstraint("count >= 1", name="count_positive"),
        Index(f"ix_{name}_organization_id_start", "organization_id", "start"),
        Index(f"ix_{name}_key_id_start", "key_id", "start"),
    )


usage_minutes = _usage("minute")
usage_hours = _usage("hour")
usage_days = _usage("day")

usage_flushes = Table(
    "usage_flushes",
    metadata,
    Column("flush_id", Text, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
)
