"""Rows of studies, what they rest on, trials, their values and the stored fronts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base, finite, one_of
from nas.types import TrialState


class StudyRow(Base):
    """A study; ``next_number`` is the number of the next trial."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(primary_key=True)
    space: Mapped[str]
    objectives: Mapped[list[Any]]
    constraints: Mapped[list[Any]]
    searcher: Mapped[str]
    budget: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger())
    batch_size: Mapped[int]
    supernet: Mapped[str | None]
    device: Mapped[str | None]
    predictor: Mapped[str | None]
    race: Mapped[str | None]
    next_number: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("next_number >= 0", name="next_number"),
        Index("ix_studies_supernet_device", "supernet", "device"),
        Index("ix_studies_race", "race"),
    )


class TrialRow(Base):
    """A trial. A trigger refuses any change of a finished row."""

    __tablename__ = "trials"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str]
    arch_key: Mapped[str]
    genes: Mapped[list[Any]]
    error: Mapped[str | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("state", TrialState),
        CheckConstraint("number >= 0", name="number_from_zero"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error_of_failure"),
        CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished_at"),
        Index("ix_trials_arch_key", "arch_key"),
    )


class TrialValueRow(Base):
    """One metric of one finished trial."""

    __tablename__ = "trial_values"

    study_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    metric: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]

    __table_args__ = (
        ForeignKeyConstraint(
            ["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"
        ),
        *finite("value"),
        Index("ix_trial_values_study_id_metric_value", "study_id", "metric", "value"),
        {"sqlite_with_rowid": False},
    )


class FrontMemberRow(Base):
    """A trial on its study's front, with the columns that fronts are filtered by."""

    __tablename__ = "front_members"

    study_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    top1: Mapped[float | None]
    predicted_latency_ms: Mapped[float | None]
    latency_low_ms: Mapped[float | None]
    latency_high_ms: Mapped[float | None]
    measured_latency_ms: Mapped[float | None]
    test_top1: Mapped[float | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"
        ),
        *finite("top1", "predicted_latency_ms", "latency_low_ms", "latency_high_ms"),
        CheckConstraint(
            "measured_latency_ms > 0 AND measured_latency_ms <= 1.7976931348623157e308",
            name="measured_latency_ms_positive",
        ),
        CheckConstraint("test_top1 >= 0 AND test_top1 <= 1", name="test_top1_share"),
    )


class LearnedTrialRow(Base):
    """A trial of an earlier study that a study's searcher learned from, in the order told."""

    __tablename__ = "learned_trials"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_study: Mapped[str]
    number: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(
            ["from_study", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"
        ),
        CheckConstraint("position >= 0", name="position"),
    )


class StudyPredictorRow(Base):
    """The latency predictor of a study's trials from ``first_number`` on, in place of the one before.

    ``n_measured`` subnets were measured for it; ``reason`` says why none were.
    """

    __tablename__ = "study_predictors"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    first_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    predictor: Mapped[str]
    n_measured: Mapped[int]
    reason: Mapped[str | None]

    __table_args__ = (CheckConstraint("first_number > 0 AND n_measured >= 0", name="numbers"),)
