"""The audit trail's chain: which key a row is authenticated with, and keys that outlive their peppers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from authsvc.stores.columns import Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and a table; code that knows neither goes on writing rows outside the chain."""
    op.add_column("audit_events", sa.Column("mac_key", Text))
    op.create_table(
        "audit_keys",
        sa.Column("key_id", Text, nullable=False),
        sa.Column("wrapped_by", Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "wrapped_by", name=op.f("pk_audit_keys")),
    )
