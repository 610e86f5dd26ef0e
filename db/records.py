"""The plain data that the stores take and give. Datetimes are timezone-aware UTC.

Mappings hold JSON values only (no NaN, no infinity). Records never change once returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from nas.evaluate.predicted import has_predicted_top1
from nas.fidelity.report import FidelityReport
from predictors.device import Device
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample
from searchspaces.space import Arch

T = TypeVar("T")


class JobKind(StrEnum):
    """What a job does."""

    TRAIN = "train"
    PROFILE = "profile"
    SEARCH = "search"
    EXTRACT = "extract"
    FIDELITY = "fidelity"


class JobState(StrEnum):
    """Where a job is; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether no event can change the job any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. ``epoch`` grows with every claim and fences the writes of earlier holders."""

    id: str
    kind: JobKind
    state: JobState
    payload: Mapping[str, Any]
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: str | None
    epoch: int
    attempts: int
    worker: str | None
    created_at: datetime
    updated_at: datetime
    lease_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job; ``seq`` counts densely from 1 within the job.

    ``data`` of a "state" event holds ``from``, ``to`` and ``reason``; of a "log" event ``message``;
    of a "progress" event the progress itself.
    """

    job_id: str
    seq: int
    kind: Literal["state", "progress", "log"]
    data: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SupernetRecord:
    """A trained supernet: its files lie in ``folder``, ``digest`` is their SHA-256."""

    name: str
    space: str  # SearchSpace.id
    data: str  # source string of the images it was trained on
    n_classes: int
    in_channels: int
    resolution: int  # native side length of the images, pixels
    folder: str
    digest: str
    metrics: Mapping[str, float]
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FidelityRecord:
    """How well a supernet ranks, as it was last checked."""

    supernet: str
    report: FidelityReport
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A registered device; ``allowed_kinds`` are the block kinds it runs exactly (empty: all)."""

    device: Device
    created_at: datetime
    allowed_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """How far a measurement campaign is believed; ``reason`` says why it is suspect, if it is.

    ``scale`` times its raw times are on the scale of the device's first good campaign.
    ``repeatability`` is as in ``Campaign``; ``references_ms`` are the references' median times.
    """

    id: str  # as its samples name it
    device: Device
    protocol: MeasurementProtocol
    references_ms: tuple[float, ...]
    repeatability: Mapping[str, float]
    scale: float
    reason: str | None
    created_at: datetime

    @property
    def is_good(self) -> bool:
        """Whether its samples may enter a fit."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class MeasuredSubnet:
    """What one campaign measured of a subnet; its times are the device's on one scale."""

    sample: LatencySample
    campaign: str
    is_good: bool
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class PredictorRecord:
    """A fitted predictor of one metric of one supernet's subnets on one device fingerprint."""

    id: str
    device: str  # Device.name
    fingerprint: str  # Device.fingerprint
    supernet: str
    space: str  # SearchSpace.id
    metric: str  # "latency_ms"
    folder: str
    digest: str
    quality: Mapping[str, float]
    n_samples: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One member of a stored front. ``latency_ms`` is the measured value where there is one.

    ``top1`` was estimated on the validation split, or predicted where ``top1_source`` says so;
    ``test_top1`` is set once for final members.
    """

    study_id: str
    supernet: str
    device: str
    number: int  # of the trial
    arch: Arch
    subnet_id: str  # "SUPERNET:ARCHKEY"
    top1: float
    latency_ms: float
    latency_source: Literal["measured", "predicted"]
    predicted_latency_ms: float | None
    latency_low_ms: float | None
    latency_high_ms: float | None
    measured_latency_ms: float | None
    test_top1: float | None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def top1_source(self) -> Literal["evaluated", "predicted"]:
        """Whether a network was run for ``top1``."""
        return "predicted" if has_predicted_top1(self.values) else "evaluated"

    @property
    def top1_low(self) -> float | None:
        """Low end of the 90 % interval of a predicted ``top1``."""
        return self.values.get("top1_low")

    @property
    def top1_high(self) -> float | None:
        """High end of the 90 % interval of a predicted ``top1``."""
        return self.values.get("top1_high")


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A stored file, addressed by the SHA-256 (64 hex digits) of its bytes; ``size`` in bytes."""

    sha256: str
    size: int
    media_type: str
    name: str
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None on the last page."""

    items: list[T]
    next_cursor: str | None
