"""A study that is a racer names the study that unites its race."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, not in batch mode: a table that is made anew would lose its trials to a cascade."""
    op.add_column("studies", sa.Column("race", sa.String(), nullable=True))
    op.create_index("ix_studies_race", "studies", ["race"])
