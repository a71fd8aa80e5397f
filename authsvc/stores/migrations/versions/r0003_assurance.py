"""What is known of the text behind an imported digest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from authsvc.stores.columns import Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; code that does not know it imports keys of which nothing is said."""
    op.add_column("keys", sa.Column("assurance", Text))
