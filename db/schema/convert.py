"""Rows to records and back: lossless for every record that the stores accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from db.records import (
    ArtifactRecord,
    CampaignRecord,
    DeviceRecord,
    FidelityRecord,
    Job,
    JobEvent,
    JobKind,
    JobState,
    PredictorRecord,
    SupernetRecord,
)
from db.schema.job_rows import JobEventRow, JobRow
from db.schema.registry_rows import (
    ArtifactRow,
    CampaignRow,
    DeviceRow,
    FidelityRow,
    FingerprintRow,
    LatencySampleRow,
    PredictorRow,
    SupernetRow,
)
from db.schema.study_rows import StudyRow, TrialRow
from nas.fidelity.report import FidelityReport
from nas.types import Constraint, Direction, Evaluation, Objective, Study, Trial, TrialState
from predictors.device import Device
from predictors.protocol import MeasurementProtocol
from predictors.sample import LatencySample, Quantities
from searchspaces.space import Arch


def job_of(row: JobRow) -> Job:
    """The job of a row."""
    return Job(
        id=row.id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        payload=row.payload,
        progress=row.progress,
        result=row.result,
        error=row.error,
        epoch=row.epoch,
        attempts=row.attempts,
        worker=row.worker,
        created_at=row.created_at,
        updated_at=row.updated_at,
        lease_expires_at=row.lease_expires_at,
    )


def event_of(row: JobEventRow) -> JobEvent:
    """The event of a row; the table's check admits no other kind."""
    return JobEvent(row.job_id, row.seq, cast(Any, row.kind), row.data, row.created_at)


def study_columns(study: Study) -> dict[str, Any]:
    """The columns that hold a study's settings."""
    return {
        "id": study.id,
        "space": study.space,
        "objectives": [
            {"metric": o.metric, "direction": str(o.direction), "reference": o.reference}
            for o in study.objectives
        ],
        "constraints": [
            {"metric": c.metric, "minimum": c.minimum, "maximum": c.maximum} for c in study.constraints
        ],
        "searcher": study.searcher,
        "budget": study.budget,
        "seed": study.seed,
        "batch_size": study.batch_size,
        "supernet": study.supernet,
        "device": study.device,
        "predictor": study.predictor,
        "race": study.race,
    }


def study_of(row: StudyRow) -> Study:
    """The study of a row."""
    return Study(
        id=row.id,
        space=row.space,
        objectives=tuple(
            Objective(o["metric"], Direction(o["direction"]), o["reference"]) for o in row.objectives
        ),
        searcher=row.searcher,
        budget=row.budget,
        seed=row.seed,
        batch_size=row.batch_size,
        constraints=tuple(Constraint(c["metric"], c["minimum"], c["maximum"]) for c in row.constraints),
        supernet=row.supernet,
        device=row.device,
        predictor=row.predictor,
        race=row.race,
    )


def trial_of(row: TrialRow, space: str, values: Mapping[str, float]) -> Trial:
    """The trial of a row of a study of this space, with the values of its other rows."""
    arch = Arch(space, tuple(row.genes))
    return Trial(row.number, TrialState(row.state), Evaluation(arch, dict(values), row.error))


def supernet_of(row: SupernetRow) -> SupernetRecord:
    """The supernet of a row."""
    return SupernetRecord(
        name=row.name,
        space=row.space,
        data=row.data,
        n_classes=row.n_classes,
        in_channels=row.in_channels,
        resolution=row.resolution,
        folder=row.folder,
        digest=row.digest,
        metrics=row.metrics,
        job_id=row.job_id,
        created_at=row.created_at,
    )


def fidelity_of(row: FidelityRow) -> FidelityRecord:
    """The fidelity record of a row."""
    report = FidelityReport.from_dict(row.report)
    return FidelityRecord(row.supernet, report, row.job_id, row.created_at)


def fingerprint_columns(device: Device) -> dict[str, Any]:
    """The columns that hold what a device is, without its name."""
    return {
        "fingerprint": device.fingerprint,
        "hardware": device.hardware,
        "runtime": device.runtime,
        "runtime_version": device.runtime_version,
        "threads": device.threads,
        "precision": device.precision,
        "batch_size": device.batch_size,
    }


def named_device(name: str, row: FingerprintRow) -> Device:
    """The device of this name with the properties of a row."""
    return Device(
        name=name,
        hardware=row.hardware,
        runtime=row.runtime,
        runtime_version=row.runtime_version,
        threads=row.threads,
        precision=row.precision,
        batch_size=row.batch_size,
    )


def device_of(row: DeviceRow, fingerprint: FingerprintRow) -> DeviceRecord:
    """The device of two rows."""
    return DeviceRecord(named_device(row.name, fingerprint), row.created_at, tuple(row.allowed_kinds))


def sample_of(row: LatencySampleRow, fingerprint: FingerprintRow) -> LatencySample:
    """The sample of two rows."""
    return LatencySample(
        arch=Arch(row.space, tuple(row.genes)),
        device=named_device(row.device, fingerprint),
        cpu_ms=tuple(row.cpu_ms),
        wall_ms=tuple(row.wall_ms),
        quantities=Quantities(row.file_size_bytes, row.run_peak_memory_bytes, row.energy_mj),
    )


def campaign_of(row: CampaignRow, fingerprint: FingerprintRow) -> CampaignRecord:
    """The campaign of two rows."""
    return CampaignRecord(
        id=row.id,
        device=named_device(row.device, fingerprint),
        protocol=MeasurementProtocol(**row.protocol),
        references_ms=tuple(row.references_ms),
        repeatability=row.repeatability,
        scale=row.scale,
        reason=row.reason,
        created_at=row.created_at,
    )


def predictor_of(row: PredictorRow) -> PredictorRecord:
    """The predictor of a row."""
    return PredictorRecord(
        id=row.id,
        device=row.device,
        fingerprint=row.fingerprint,
        supernet=row.supernet,
        space=row.space,
        metric=row.metric,
        folder=row.folder,
        digest=row.digest,
        quality=row.quality,
        n_samples=row.n_samples,
        created_at=row.created_at,
    )


def artifact_of(row: ArtifactRow) -> ArtifactRecord:
    """The artifact of a row."""
    return ArtifactRecord(
        sha256=row.sha256,
        size=row.size,
        media_type=row.media_type,
        name=row.name,
        job_id=row.job_id or None,
        created_at=row.created_at,
    )
