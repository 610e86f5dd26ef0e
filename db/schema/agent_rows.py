"""Rows of device agents, their one-time codes and the measurement tasks that they lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.remote.records import AgentState, TaskState
from db.schema.base import Base, one_of


class AgentRow(Base):
    """A machine that measures for the server; only the SHA-256 of its token is kept."""

    __tablename__ = "agents"

    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(ForeignKey("fingerprints.fingerprint"))
    token_sha256: Mapped[str | None] = mapped_column(unique=True)
    state: Mapped[str]
    reason: Mapped[str | None]
    enrolled_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]

    __table_args__ = (
        one_of("state", AgentState),
        CheckConstraint("(state = 'revoked') = (token_sha256 IS NULL)", name="token_unless_revoked"),
    )


class AgentCodeRow(Base):
    """A code that enrolls one agent once; only its SHA-256 is kept."""

    __tablename__ = "agent_codes"

    code_sha256: Mapped[str] = mapped_column(primary_key=True)
    agent: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class MeasurementTaskRow(Base):
    """Networks to be measured by one agent for one job."""

    __tablename__ = "measurement_tasks"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    agent: Mapped[str]
    fingerprint: Mapped[str]
    protocol: Mapped[dict[str, Any]]
    candidates: Mapped[list[Any]]
    references: Mapped[list[Any]]
    state: Mapped[str]
    epoch: Mapped[int]
    attempts: Mapped[int]
    claim_id: Mapped[str | None]
    leased_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    result_sha256: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        one_of("state", TaskState),
        CheckConstraint("epoch >= 0 AND attempts >= 0", name="counts"),
        CheckConstraint("(state = 'leased') = (lease_expires_at IS NOT NULL)", name="lease_while_held"),
        CheckConstraint("(state IN ('done', 'suspect')) = (result IS NOT NULL)", name="result_at_the_end"),
        Index("ix_measurement_tasks_job_id", "job_id"),
        Index("ix_measurement_tasks_agent_state", "agent", "state"),
        Index("ix_measurement_tasks_fingerprint_state", "fingerprint", "state"),
        Index(
            "uq_measurement_tasks_live",
            "agent",
            unique=True,
            sqlite_where=text("state = 'leased'"),
            postgresql_where=text("state = 'leased'"),
        ),
    )
