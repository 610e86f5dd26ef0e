"""Rows of supernets, devices, samples, predictors and artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import BIG_KEY, Base


class SupernetRow(Base):
    """A trained supernet."""

    __tablename__ = "supernets"

    name: Mapped[str] = mapped_column(primary_key=True)
    space: Mapped[str]
    data: Mapped[str]
    n_classes: Mapped[int]
    in_channels: Mapped[int]
    resolution: Mapped[int]
    folder: Mapped[str]
    digest: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    job_id: Mapped[str | None]
    created_at: Mapped[datetime]


class FidelityRow(Base):
    """The newest fidelity report of a supernet."""

    __tablename__ = "fidelity_reports"

    supernet: Mapped[str] = mapped_column(ForeignKey("supernets.name", ondelete="CASCADE"), primary_key=True)
    report: Mapped[dict[str, Any]]
    job_id: Mapped[str | None]
    created_at: Mapped[datetime]


class FingerprintRow(Base):
    """What a device fingerprint stands for; never changed, so old samples keep their meaning."""

    __tablename__ = "fingerprints"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    hardware: Mapped[str]
    runtime: Mapped[str]
    runtime_version: Mapped[str]
    threads: Mapped[int]
    precision: Mapped[str]
    batch_size: Mapped[int]

    __table_args__ = (CheckConstraint("threads >= 1 AND batch_size >= 1", name="counts"),)


class DeviceRow(Base):
    """A device's name and what it is now."""

    __tablename__ = "devices"

    name: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(ForeignKey("fingerprints.fingerprint"))
    allowed_kinds: Mapped[list[Any]]
    created_at: Mapped[datetime]


class LatencySampleRow(Base):
    """The raw times of one arch in one measurement campaign."""

    __tablename__ = "latency_samples"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    supernet: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(ForeignKey("fingerprints.fingerprint"))
    campaign: Mapped[str]
    arch_key: Mapped[str]
    device: Mapped[str]
    space: Mapped[str]
    genes: Mapped[list[Any]]
    cpu_ms: Mapped[list[Any]]
    wall_ms: Mapped[list[Any]]
    file_size_bytes: Mapped[int | None] = mapped_column(BIG_KEY)
    run_peak_memory_bytes: Mapped[int | None] = mapped_column(BIG_KEY)
    energy_mj: Mapped[float | None]
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("supernet", "fingerprint", "campaign", "arch_key"),)


class CampaignRow(Base):
    """How far a measurement campaign is believed, and on what scale it is.

    Its samples name it; ``repeats`` and ``references`` hold the raw times that it was judged by.
    """

    __tablename__ = "campaigns"

    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(ForeignKey("fingerprints.fingerprint"))
    protocol: Mapped[dict[str, Any]]
    reference_set: Mapped[int]
    references: Mapped[list[Any]]
    references_ms: Mapped[list[Any]]
    repeats: Mapped[list[Any]]
    repeatability: Mapped[dict[str, Any]]
    scale: Mapped[float]
    is_good: Mapped[bool]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("scale > 0 AND scale < 1000", name="scale_plausible"),
        CheckConstraint("is_good = (reason IS NULL)", name="reason_if_suspect"),
        Index("ix_campaigns_fingerprint_created_at", "fingerprint", "created_at"),
    )


class PredictorRow(Base):
    """A fitted predictor."""

    __tablename__ = "predictors"

    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    fingerprint: Mapped[str]
    supernet: Mapped[str]
    space: Mapped[str]
    metric: Mapped[str]
    folder: Mapped[str]
    digest: Mapped[str]
    quality: Mapped[dict[str, Any]]
    n_samples: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("n_samples >= 0", name="n_samples"),
        Index("ix_predictors_supernet_device_metric", "supernet", "device", "metric", "created_at"),
    )


class ArtifactRow(Base):
    """A stored file as one job made it; several jobs may make the same bytes."""

    __tablename__ = "artifacts"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(primary_key=True)  # "" for a file that no job made
    name: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BIG_KEY)
    media_type: Mapped[str]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        CheckConstraint("length(sha256) = 64", name="sha256_length"),
        Index("ix_artifacts_job_id_name", "job_id", "name"),
    )
