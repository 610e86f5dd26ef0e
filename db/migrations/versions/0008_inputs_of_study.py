"""What a study learned from before its first trial, and which predictors its latencies came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables; studies from before have rows in neither."""
    op.create_table(
        "learned_trials",
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_study", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_learned_trials_position")),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.id"],
            name=op.f("fk_learned_trials_studies"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["from_study", "number"],
            ["trials.study_id", "trials.number"],
            name=op.f("fk_learned_trials_trials"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "position", name=op.f("pk_learned_trials")),
    )
    op.create_table(
        "study_predictors",
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("first_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("predictor", sa.String(), nullable=False),
        sa.Column("n_measured", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("first_number > 0 AND n_measured >= 0", name=op.f("ck_study_predictors_numbers")),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["studies.id"],
            name=op.f("fk_study_predictors_studies"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "first_number", name=op.f("pk_study_predictors")),
    )
