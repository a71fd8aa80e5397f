"""The digest that an imported key came with, once it is stored under another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; code that does not know it leaves it empty, and an import of such a digest unnoticed."""
    op.add_column("keys", sa.Column("former_digest", sa.LargeBinary))
    there = sa.text("former_digest IS NOT NULL")
    op.create_index("ix_keys_former_digest", "keys", ["former_digest"], postgresql_where=there, sqlite_where=there)
