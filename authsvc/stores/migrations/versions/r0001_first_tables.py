"""The first tables."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

from authsvc.stores.columns import Document, Instant, Text, json_checks

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, at position zero of an epoch of its own."""
    _change_log()
    _start()
    _organizations()
    _keys()
    _key_indices()
    _audit()
    _idempotency()
    _usage()
    op.execute(
        sa.text("INSERT INTO change_head (id, epoch, seq, audit_seq) VALUES (1, :epoch, 0, 0)").bindparams(
            epoch=str(uuid.uuid4())
        )
    )
    op.execute("INSERT INTO schema_info (id, min_code_revision) VALUES (1, 1)")


def _change_log() -> None:
    op.create_table(
        "change_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", Text, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("audit_mac", sa.LargeBinary()),
        sa.CheckConstraint("id = 1", name=op.f("ck_change_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_head")),
    )
    op.create_table(
        "auth_change",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("key_id", Text),
        sa.Column("organization_id", Text),
        sa.Column("at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("seq", "ordinal", name=op.f("pk_auth_change")),
    )
    op.create_index("ix_auth_change_at", "auth_change", ["at"])


def _start() -> None:
    op.create_table(
        "schema_info",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("min_code_revision", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_schema_info_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema_info")),
    )
    op.create_table(
        "pepper_checks",
        sa.Column("pepper_id", Text, nullable=False),
        sa.Column("check_bytes", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("length(check_bytes) = 8", name=op.f("ck_pepper_checks_check_bytes_length")),
        sa.PrimaryKeyConstraint("pepper_id", name=op.f("pk_pepper_checks")),
    )


def _organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", Text, nullable=False),
        sa.Column("name", Text, nullable=False),
        sa.Column("status", Text, nullable=False),
        sa.Column("plan", Text),
        sa.Column("networks", Document),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("suspended_at", Instant),
        sa.Column("suspend_reason", Text, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        *json_checks("metadata", "object"),
        *json_checks("networks", "array"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_index("ix_organizations_created_at", "organizations", ["created_at"])
    op.create_index(
        "uq_organizations_name",
        "organizations",
        ["name"],
        unique=True,
        postgresql_where=sa.text("status <> 'deleted'"),
        sqlite_where=sa.text("status <> 'deleted'"),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", Text, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("pepper_id", Text, nullable=False),
        sa.Column("algorithm", Text, nullable=False),
        sa.Column("api", Text, nullable=False),
        sa.Column("organization_id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("environment", Text),
        sa.Column("scopes", Document, nullable=False),
        sa.Column("full_access", sa.Boolean(), nullable=False),
        sa.Column("origins", Document),
        sa.Column("networks", Document),
        sa.Column("limits", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("not_before", Instant),
        sa.Column("expires_at", Instant),
        sa.Column("grace_ends_at", Instant),
        sa.Column("revoked_at", Instant),
        sa.Column("revoke_reason", Text, nullable=False),
        sa.Column("deleted_at", Instant),
        sa.Column("predecessor_id", Text),
        sa.Column("successor_id", Text),
        sa.Column("name", Text, nullable=False),
        sa.Column("hint", Text, nullable=False),
        sa.Column("import_source", Text),
        sa.Column("external_id", Text),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", Text, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        *json_checks("limits", "array"),
        *json_checks("metadata", "object"),
        *json_checks("networks", "array"),
        *json_checks("origins", "array"),
        *json_checks("scopes", "array"),
        sa.CheckConstraint("(import_source IS NULL) = (external_id IS NULL)", name=op.f("ck_keys_import_pair")),
        sa.CheckConstraint("length(digest) = 32", name=op.f("ck_keys_digest_length")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_keys_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_keys_digest")),
        sa.UniqueConstraint("import_source", "external_id", name=op.f("uq_keys_import_source_external_id")),
    )


def _key_indices() -> None:
    op.create_index("ix_keys_created_at", "keys", ["created_at"])
    op.create_index("ix_keys_expires_at", "keys", ["expires_at"])
    op.create_index(
        "ix_keys_list_api",
        "keys",
        ["api", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_api_environment",
        "keys",
        ["api", "environment", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_api_kind",
        "keys",
        ["api", "kind", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_environment",
        "keys",
        ["environment", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_kind",
        "keys",
        ["kind", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_live",
        "keys",
        ["id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_keys_list_organization",
        "keys",
        ["organization_id", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
        sqlite_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_keys_name", "keys", ["name"])
    op.create_index("ix_keys_pepper_id", "keys", ["pepper_id"])


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor_key_id", Text, nullable=False),
        sa.Column("actor_organization_id", Text, nullable=False),
        sa.Column("address", Text, nullable=False),
        sa.Column("action", Text, nullable=False),
        sa.Column("target_kind", Text, nullable=False),
        sa.Column("target_id", Text, nullable=False),
        sa.Column("organization_id", Text, nullable=False),
        sa.Column("before", Document),
        sa.Column("after", Document),
        sa.Column("reason", Text, nullable=False),
        sa.Column("request_id", Text, nullable=False),
        sa.Column("revision_epoch", Text),
        sa.Column("revision_seq", sa.BigInteger()),
        sa.Column("outcome", Text, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary()),
        *json_checks("after", "object"),
        *json_checks("before", "object"),
        sa.CheckConstraint("count >= 1", name=op.f("ck_audit_events_count_positive")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_events")),
    )
    op.create_index("ix_audit_events_action_seq", "audit_events", ["action", "seq"])
    op.create_index("ix_audit_events_actor_key_id_seq", "audit_events", ["actor_key_id", "seq"])
    op.create_index("ix_audit_events_actor_organization_id_seq", "audit_events", ["actor_organization_id", "seq"])
    op.create_index("ix_audit_events_at", "audit_events", ["at"])
    op.create_index("ix_audit_events_organization_id_seq", "audit_events", ["organization_id", "seq"])
    op.create_index("ix_audit_events_request_id", "audit_events", ["request_id"])
    op.create_index("ix_audit_events_target_id_seq", "audit_events", ["target_id", "seq"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("actor", Text, nullable=False),
        sa.Column("request_id", Text, nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("target_id", Text, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint("length(body_hash) = 32", name=op.f("ck_idempotency_body_hash_length")),
        sa.PrimaryKeyConstraint("actor", "request_id", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def _usage() -> None:
    op.create_table(
        "key_uses",
        sa.Column("key_id", Text, nullable=False),
        sa.Column("last_used_at", Instant, nullable=False),
        sa.Column("address", Text, nullable=False),
        sa.Column("agent", Text, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_key_uses_key_id")),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_key_uses")),
    )
    op.create_index("ix_key_uses_last_used_at", "key_uses", ["last_used_at"])
    op.create_table(
        "usage_flushes",
        sa.Column("flush_id", Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("flush_id", name=op.f("pk_usage_flushes")),
    )
    op.create_index("ix_usage_flushes_at", "usage_flushes", ["at"])
    for name in ("usage_minutes", "usage_hours", "usage_days"):
        op.create_table(
            name,
            sa.Column("start", Instant, nullable=False),
            sa.Column("api", Text, nullable=False),
            sa.Column("organization_id", Text, nullable=False),
            sa.Column("key_id", Text, nullable=False),
            sa.Column("route", Text, nullable=False),
            sa.Column("outcome", Text, nullable=False),
            sa.Column("count", sa.BigInteger(), nullable=False),
            sa.CheckConstraint("count >= 1", name=op.f(f"ck_{name}_count_positive")),
            sa.PrimaryKeyConstraint(
                "start", "api", "organization_id", "key_id", "route", "outcome", name=op.f(f"pk_{name}")
            ),
        )
        op.create_index(f"ix_{name}_key_id_start", name, ["key_id", "start"])
        op.create_index(f"ix_{name}_organization_id_start", name, ["organization_id", "start"])
