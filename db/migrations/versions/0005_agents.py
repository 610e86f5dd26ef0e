"""Device agents, the one-time codes that enroll them, and their measurement tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the three tables."""
    _agents()
    _tasks()
    op.create_index("ix_measurement_tasks_job_id", "measurement_tasks", ["job_id"])
    op.create_index("ix_measurement_tasks_agent_state", "measurement_tasks", ["agent", "state"])
    op.create_index("ix_measurement_tasks_fingerprint_state", "measurement_tasks", ["fingerprint", "state"])
    op.create_index(
        "uq_measurement_tasks_live",
        "measurement_tasks",
        ["agent"],
        unique=True,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'quarantined', 'revoked')", name=op.f("ck_agents_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'revoked') = (token_sha256 IS NULL)", name=op.f("ck_agents_token_unless_revoked")
        ),
        sa.ForeignKeyConstraint(
            ["fingerprint"], ["fingerprints.fingerprint"], name=op.f("fk_agents_fingerprints")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agents")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_agents_token_sha256")),
    )
    op.create_table(
        "agent_codes",
        sa.Column("code_sha256", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code_sha256", name=op.f("pk_agent_codes")),
    )


def _tasks() -> None:
    op.create_table(
        "measurement_tasks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("protocol", "candidates", "references")),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claim_id", sa.String(), nullable=True),
        sa.Column("leased_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("result_sha256", sa.String(), nullable=True),
        sa.Column("scale", sa.Double(), nullable=True),
        sa.Column("references_ms", sa.JSON(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('ready', 'leased', 'done', 'suspect', 'dead')",
            name=op.f("ck_measurement_tasks_state_known"),
        ),
        sa.CheckConstraint("epoch >= 0 AND attempts >= 0", name=op.f("ck_measurement_tasks_counts")),
        sa.CheckConstraint(
            "(state = 'leased') = (lease_expires_at IS NOT NULL)",
            name=op.f("ck_measurement_tasks_lease_while_held"),
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'suspect')) = (result IS NOT NULL)",
            name=op.f("ck_measurement_tasks_result_at_the_end"),
        ),
        sa.CheckConstraint(
            "scale IS NULL OR (scale > 0 AND scale < 1000)",
            name=op.f("ck_measurement_tasks_scale_plausible"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_measurement_tasks_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurement_tasks")),
    )
