"""Fidelity reports of supernets, and the kind of job that makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = "kind IN ('train', 'profile', 'search', 'extract')"
AFTER = "kind IN ('train', 'profile', 'search', 'extract', 'fidelity')"


def upgrade() -> None:
    """Add the table and let jobs be of the new kind."""
    op.create_table(
        "fidelity_reports",
        sa.Column("supernet", sa.String(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["supernet"], ["supernets.name"], name="fk_fidelity_reports_supernets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("supernet", name="pk_fidelity_reports"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _change_check_in_sqlite()
        return
    op.drop_constraint(op.f("ck_jobs_kind_known"), "jobs", type_="check")
    op.create_check_constraint(op.f("ck_jobs_kind_known"), "jobs", AFTER)


def _change_check_in_sqlite() -> None:
    """SQLite has no statement for this. Making the table anew would lose its events to a cascade, so
    the text of the constraint is changed in place, as SQLite's documentation of ALTER TABLE says
    (section 7): rows are not touched, and the new check admits all that the old one did.
    """
    connection = op.get_bind()
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after) "
            "WHERE type = 'table' AND name = 'jobs'"
        ),
        {"before": BEFORE, "after": AFTER},
    )
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))  # others read the schema again
    connection.execute(sa.text("PRAGMA writable_schema = RESET"))
