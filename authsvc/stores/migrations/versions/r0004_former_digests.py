"""The digests that imported keys came with, once they are stored under others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from authsvc.stores.columns import Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make a table; code that does not know it remembers nothing, and an import of such a digest goes unnoticed."""
    op.create_table(
        "former_digests",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("key_id", Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_former_digests")),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_former_digests_key_id")),
    )
