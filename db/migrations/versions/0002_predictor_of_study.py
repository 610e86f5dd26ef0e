"""A study names the latency predictor that it uses from beginning to end.

Studies begun before take the one that was the newest of their supernet and device at that time.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Not in batch mode: a table that is made anew would lose its trials to a cascade."""
    op.add_column("studies", sa.Column("predictor", sa.String(), nullable=True))
    op.execute(
        "UPDATE studies SET predictor = (SELECT id FROM predictors WHERE metric = 'latency_ms' "
        "AND predictors.supernet = studies.supernet AND predictors.device = studies.device "
        "AND predictors.created_at <= studies.created_at "
        "ORDER BY predictors.created_at DESC, predictors.id DESC LIMIT 1)"
    )
