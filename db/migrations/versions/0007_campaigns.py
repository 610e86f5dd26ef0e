"""Campaigns of every device, with the judgement that agents' tasks held; quantities beside latency."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CAMPAIGNS = "campaigns"
TASK_CHECKS = {  # all but the one of the scale, which is the campaign's now
    "state_known": "state IN ('ready', 'leased', 'done', 'suspect', 'dead')",
    "counts": "epoch >= 0 AND attempts >= 0",
    "lease_while_held": "(state = 'leased') = (lease_expires_at IS NOT NULL)",
    "result_at_the_end": "(state IN ('done', 'suspect')) = (result IS NOT NULL)",
}


def upgrade() -> None:
    """Add the table and the columns, and move what agents' tasks know of their campaigns."""
    campaigns = _campaigns()
    op.create_index("ix_campaigns_fingerprint_created_at", CAMPAIGNS, ["fingerprint", "created_at"])
    for name, kind in (
        ("file_size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        ("run_peak_memory_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        ("energy_mj", sa.Double()),
    ):
        op.add_column("latency_samples", sa.Column(name, kind, nullable=True))
    found = [_campaign_of(dict(row)) for row in op.get_bind().execute(_finished_tasks()).mappings()]
    if found:
        op.bulk_insert(campaigns, found)
    _drop_from_tasks()


def _campaigns() -> sa.Table:
    return op.create_table(
        CAMPAIGNS,
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("protocol", sa.JSON(), nullable=False),
        sa.Column("reference_set", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.JSON(), nullable=False)
            for name in ("references", "references_ms", "repeats", "repeatability")
        ),
        sa.Column("scale", sa.Double(), nullable=False),
        sa.Column("is_good", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("scale > 0 AND scale < 1000", name=op.f("ck_campaigns_scale_plausible")),
        sa.CheckConstraint("is_good = (reason IS NULL)", name=op.f("ck_campaigns_reason_if_suspect")),
        sa.ForeignKeyConstraint(
            ["fingerprint"], ["fingerprints.fingerprint"], name=op.f("fk_campaigns_fingerprints")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )


def _finished_tasks() -> sa.Select[Any]:
    """Tasks with a result, of fingerprints that are still known."""
    tasks = sa.table(
        "measurement_tasks",
        *(sa.column(name, sa.JSON()) for name in ("protocol", "candidates", "result", "references_ms")),
        *(
            sa.column(name)
            for name in ("id", "agent", "fingerprint", "state", "scale", "error", "updated_at")
        ),
    )
    known = sa.select(sa.table("fingerprints", sa.column("fingerprint")).c.fingerprint)
    done = tasks.c.state.in_(("done", "suspect")) & tasks.c.fingerprint.in_(known)
    return sa.select(tasks).where(done)


def _campaign_of(task: Mapping[str, Any]) -> dict[str, Any]:
    result, is_good = task["result"], task["state"] == "done"
    references = [_times(item) for item in result.get("references", [])]
    medians = [statistics.median(item["cpu_ms"]) for item in references]
    return {
        "id": task["id"],
        "device": task["agent"],
        "fingerprint": task["fingerprint"],
        "protocol": task["protocol"],
        "reference_set": 1,
        "references": references,
        "references_ms": medians if task["references_ms"] is None else task["references_ms"],
        "repeats": [
            {"genes": task["candidates"][item["index"]]["genes"], **_times(item)}
            for item in result.get("repeats", [])
        ],
        "repeatability": {},
        "scale": 1.0 if task["scale"] is None else task["scale"],
        "is_good": is_good,
        "reason": None if is_good else task["error"] or "suspect",
        "created_at": task["updated_at"],
    }


def _times(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"cpu_ms": item["cpu_ms"], "wall_ms": item["wall_ms"]}


def _drop_from_tasks() -> None:
    """In SQLite the table, to which no other refers, is made anew: a checked column cannot be dropped."""
    with op.batch_alter_table("measurement_tasks", copy_from=_tasks()) as batch:
        batch.drop_column("scale")
        batch.drop_column("references_ms")


def _tasks() -> sa.Table:
    """The table as it was, without the check of the scale: spelled out, since not every version of
    SQLAlchemy reads checks back.
    """
    live = sa.text("state = 'leased'")
    return sa.Table(
        "measurement_tasks",
        sa.MetaData(),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "job_id", "agent", "fingerprint")),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("protocol", "candidates", "references")),
        sa.Column("state", sa.String(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("epoch", "attempts")),
        sa.Column("claim_id", sa.String()),
        *(sa.Column(name, sa.BigInteger()) for name in ("leased_at", "lease_expires_at")),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("result_sha256", sa.String()),
        sa.Column("scale", sa.Double()),
        sa.Column("references_ms", sa.JSON()),
        sa.Column("error", sa.String()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("created_at", "updated_at")),
        *(
            sa.CheckConstraint(text, name=f"ck_measurement_tasks_{name}")
            for name, text in TASK_CHECKS.items()
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], "fk_measurement_tasks_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_measurement_tasks"),
        sa.Index("ix_measurement_tasks_job_id", "job_id"),
        sa.Index("ix_measurement_tasks_agent_state", "agent", "state"),
        sa.Index("ix_measurement_tasks_fingerprint_state", "fingerprint", "state"),
        sa.Index("uq_measurement_tasks_live", "agent", unique=True, sqlite_where=live),
    )
