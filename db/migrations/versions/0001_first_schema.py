"""The first schema.

Tables are spelled out here once and for all: a migration never changes after its release, so it
does not import the rows of today.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LARGEST = "1.7976931348623157e308"  # the largest finite double
FINAL = {
    "jobs": "'succeeded', 'failed', 'cancelled'",
    "trials": "'complete', 'failed'",
}


def upgrade() -> None:
    """Create all tables, and the triggers that make finished jobs and trials final."""
    _jobs()
    _job_events()
    _studies()
    _trials()
    _trial_values()
    _front_members()
    _supernets()
    _devices()
    _samples()
    _predictors()
    _artifacts()
    for table, states in FINAL.items():
        _final_rows(table, states)
    if op.get_bind().dialect.name == "postgresql":
        # rows of the queue change often: leave room for updates in place and vacuum early
        op.execute("ALTER TABLE jobs SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)")


def _columns(kind: TypeEngine[Any], *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable, autoincrement=False) for name in names]


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _finite(table: str, *columns: str) -> list[sa.CheckConstraint]:
    return [_check(f"ck_{table}_{column}_finite", f"abs({column}) <= {LARGEST}") for column in columns]


def _final_rows(table: str, states: str) -> None:
    """A trigger that refuses to change a row of ``table`` whose state is one of ``states``."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {table}_final BEFORE UPDATE ON {table} WHEN OLD.state IN ({states}) "
            f"BEGIN SELECT RAISE(ABORT, 'a finished row of {table} is final'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {table}_final() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION 'a finished row of {table} is final'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_final BEFORE UPDATE ON {table} FOR EACH ROW "
        f"WHEN (OLD.state IN ({states})) EXECUTE FUNCTION {table}_final()"
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        *_columns(sa.String(), "id", "kind", "state"),
        *_columns(sa.JSON(), "payload", "progress"),
        *_columns(sa.JSON(), "result", nullable=True),
        *_columns(sa.String(), "error", nullable=True),
        *_columns(sa.Integer(), "epoch", "attempts"),
        *_columns(sa.String(), "worker", nullable=True),
        *_columns(sa.BigInteger(), "created_at", "updated_at", "available_at"),
        *_columns(sa.BigInteger(), "lease_expires_at", nullable=True),
        *_columns(sa.Integer(), "last_seq"),
        *_columns(sa.String(), "idempotency_key", nullable=True),
        *_columns(sa.String(), "body_sha256"),
        _check("ck_jobs_result_of_success", "(state = 'succeeded') = (result IS NOT NULL)"),
        _check(
            "ck_jobs_lease_while_held",
            "(state IN ('running', 'cancelling')) = (lease_expires_at IS NOT NULL)",
        ),
        _check("ck_jobs_kind_known", "kind IN ('train', 'profile', 'search', 'extract')"),
        _check("ck_jobs_error_of_failure", "state <> 'failed' OR error IS NOT NULL"),
        _check(
            "ck_jobs_state_known",
            "state IN ('pending', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')",
        ),
        _check("ck_jobs_counts", "epoch >= 0 AND attempts >= 0 AND last_seq >= 0"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("idempotency_key", name="uq_jobs_idempotency_key"),
    )
    op.create_index("ix_jobs_kind_id", "jobs", ["kind", "id"])
    op.create_index("ix_jobs_lease_expires_at", "jobs", ["lease_expires_at"])
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])


def _job_events() -> None:
    op.create_table(
        "job_events",
        *_columns(sa.String(), "job_id"),
        *_columns(sa.Integer(), "seq"),
        *_columns(sa.String(), "kind"),
        *_columns(sa.JSON(), "data"),
        *_columns(sa.Boolean(), "is_final"),
        *_columns(sa.BigInteger(), "created_at"),
        _check("ck_job_events_kind_known", "kind IN ('state', 'progress', 'log')"),
        _check("ck_job_events_seq_from_one", "seq >= 1"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
    )
    op.create_index(
        "uq_job_events_final",
        "job_events",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("is_final"),
        postgresql_where=sa.text("is_final"),
    )


def _studies() -> None:
    op.create_table(
        "studies",
        *_columns(sa.String(), "id", "space"),
        *_columns(sa.JSON(), "objectives", "constraints"),
        *_columns(sa.String(), "searcher"),
        *_columns(sa.Integer(), "budget"),
        *_columns(sa.BigInteger(), "seed"),
        *_columns(sa.Integer(), "batch_size"),
        *_columns(sa.String(), "supernet", "device", nullable=True),
        *_columns(sa.Integer(), "next_number"),
        *_columns(sa.BigInteger(), "created_at"),
        _check("ck_studies_next_number", "next_number >= 0"),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
    )
    op.create_index("ix_studies_supernet_device", "studies", ["supernet", "device"])


def _trials() -> None:
    op.create_table(
        "trials",
        *_columns(sa.String(), "study_id"),
        *_columns(sa.Integer(), "number"),
        *_columns(sa.String(), "state", "arch_key"),
        *_columns(sa.JSON(), "genes"),
        *_columns(sa.String(), "error", nullable=True),
        *_columns(sa.BigInteger(), "started_at"),
        *_columns(sa.BigInteger(), "finished_at", nullable=True),
        _check("ck_trials_error_of_failure", "(state = 'failed') = (error IS NOT NULL)"),
        _check("ck_trials_finished_at", "(state = 'running') = (finished_at IS NULL)"),
        _check("ck_trials_state_known", "state IN ('running', 'complete', 'failed')"),
        _check("ck_trials_number_from_zero", "number >= 0"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_trials_studies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_trials"),
    )
    op.create_index("ix_trials_arch_key", "trials", ["arch_key"])


def _trial_values() -> None:
    op.create_table(
        "trial_values",
        *_columns(sa.String(), "study_id"),
        *_columns(sa.Integer(), "number"),
        *_columns(sa.String(), "metric"),
        *_columns(sa.Double(), "value"),
        *_finite("trial_values", "value"),
        sa.ForeignKeyConstraint(
            ["study_id", "number"],
            ["trials.study_id", "trials.number"],
            name="fk_trial_values_trials",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "number", "metric", name="pk_trial_values"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trial_values_study_id_metric_value", "trial_values", ["study_id", "metric", "value"])


def _front_members() -> None:
    op.create_table(
        "front_members",
        *_columns(sa.String(), "study_id"),
        *_columns(sa.Integer(), "number"),
        *_columns(sa.Double(), "top1", "predicted_latency_ms", "latency_low_ms", nullable=True),
        *_columns(sa.Double(), "latency_high_ms", "measured_latency_ms", "test_top1", nullable=True),
        *_finite("front_members", "top1", "predicted_latency_ms", "latency_low_ms", "latency_high_ms"),
        _check(
            "ck_front_members_measured_latency_ms_positive",
            f"measured_latency_ms > 0 AND measured_latency_ms <= {LARGEST}",
        ),
        _check("ck_front_members_test_top1_share", "test_top1 >= 0 AND test_top1 <= 1"),
        sa.ForeignKeyConstraint(
            ["study_id", "number"],
            ["trials.study_id", "trials.number"],
            name="fk_front_members_trials",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_front_members"),
    )


def _supernets() -> None:
    op.create_table(
        "supernets",
        *_columns(sa.String(), "name", "space", "data"),
        *_columns(sa.Integer(), "n_classes", "in_channels", "resolution"),
        *_columns(sa.String(), "folder", "digest"),
        *_columns(sa.JSON(), "metrics"),
        *_columns(sa.String(), "job_id", nullable=True),
        *_columns(sa.BigInteger(), "created_at"),
        sa.PrimaryKeyConstraint("name", name="pk_supernets"),
    )


def _devices() -> None:
    op.create_table(
        "fingerprints",
        *_columns(sa.String(), "fingerprint", "hardware", "runtime", "runtime_version"),
        *_columns(sa.Integer(), "threads"),
        *_columns(sa.String(), "precision"),
        *_columns(sa.Integer(), "batch_size"),
        _check("ck_fingerprints_counts", "threads >= 1 AND batch_size >= 1"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_fingerprints"),
    )
    op.create_table(
        "devices",
        *_columns(sa.String(), "name", "fingerprint"),
        *_columns(sa.JSON(), "allowed_kinds"),
        *_columns(sa.BigInteger(), "created_at"),
        sa.ForeignKeyConstraint(
            ["fingerprint"], ["fingerprints.fingerprint"], name="fk_devices_fingerprints"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_devices"),
    )


def _samples() -> None:
    op.create_table(
        "latency_samples",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *_columns(sa.String(), "supernet", "fingerprint", "campaign", "arch_key", "device", "space"),
        *_columns(sa.JSON(), "genes", "cpu_ms", "wall_ms"),
        *_columns(sa.BigInteger(), "created_at"),
        sa.ForeignKeyConstraint(
            ["fingerprint"], ["fingerprints.fingerprint"], name="fk_latency_samples_fingerprints"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_latency_samples"),
        sa.UniqueConstraint(
            "supernet",
            "fingerprint",
            "campaign",
            "arch_key",
            name="uq_latency_samples_supernet_fingerprint_campaign_arch_key",
        ),
    )


def _predictors() -> None:
    op.create_table(
        "predictors",
        *_columns(
            sa.String(), "id", "device", "fingerprint", "supernet", "space", "metric", "folder", "digest"
        ),
        *_columns(sa.JSON(), "quality"),
        *_columns(sa.Integer(), "n_samples"),
        *_columns(sa.BigInteger(), "created_at"),
        _check("ck_predictors_n_samples", "n_samples >= 0"),
        sa.PrimaryKeyConstraint("id", name="pk_predictors"),
    )
    op.create_index(
        "ix_predictors_supernet_device_metric", "predictors", ["supernet", "device", "metric", "created_at"]
    )


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        *_columns(sa.String(), "sha256", "job_id", "name"),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *_columns(sa.String(), "media_type"),
        *_columns(sa.BigInteger(), "created_at"),
        _check("ck_artifacts_sha256_length", "length(sha256) = 64"),
        _check("ck_artifacts_size", "size >= 0"),
        sa.PrimaryKeyConstraint("sha256", "job_id", "name", name="pk_artifacts"),
    )
    op.create_index("ix_artifacts_job_id_name", "artifacts", ["job_id", "name"])
