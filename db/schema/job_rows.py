"""Rows of jobs and of what happened to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.records import JobKind, JobState
from db.schema.base import Base, one_of


class JobRow(Base):
    """A job. A trigger refuses any change of a row in a final state."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    payload: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    epoch: Mapped[int]
    attempts: Mapped[int]
    worker: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    available_at: Mapped[datetime]  # not claimed before this time of the database clock
    lease_expires_at: Mapped[datetime | None]
    last_seq: Mapped[int]  # number of the newest event
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    body_sha256: Mapped[str]  # of kind and payload, to compare requests under one key

    __table_args__ = (
        one_of("kind", JobKind),
        one_of("state", JobState),
        CheckConstraint("epoch >= 0 AND attempts >= 0 AND last_seq >= 0", name="counts"),
        CheckConstraint(
            "(state IN ('running', 'cancelling')) = (lease_expires_at IS NOT NULL)", name="lease_while_held"
        ),
        CheckConstraint("(state = 'succeeded') = (result IS NOT NULL)", name="result_of_success"),
        CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="error_of_failure"),
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_kind_id", "kind", "id"),
        Index("ix_jobs_lease_expires_at", "lease_expires_at"),
    )


class JobEventRow(Base):
    """One event of a job; at most one of them is the final one."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    is_final: Mapped[bool]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("kind IN ('state', 'progress', 'log')", name="kind_known"),
        CheckConstraint("seq >= 1", name="seq_from_one"),
        Index(
            "uq_job_events_final",
            "job_id",
            unique=True,
            sqlite_where=text("is_final"),
            postgresql_where=text("is_final"),
        ),
    )
