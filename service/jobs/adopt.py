"""Take a trained supernet from a folder instead of training one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from db.records import FidelityRecord, Job, SupernetRecord
from nas.data.types import ImageData
from nas.errors import CheckpointError, DataError, FidelityError
from nas.fidelity import alone
from nas.fidelity.report import FidelityReport
from nas.supernet.calibration import load_calibration
from nas.supernet.checkpoint import load_supernet
from nas.supernet.supernet import Supernet
from predictors.accuracy.predictor import ACCURACY_FOLDER, LIKELIHOOD_FOLDER, AccuracyPredictor
from service.hints import hints_in
from service.jobs.context import JobContext
from service.jobs.inputs import open_data
from service.validate_imports import NO_IMAGES, PREDICTOR_METRIC

FIDELITY_FILE = "fidelity.json"
FILES = (
    "supernet.json",
    "supernet-*.safetensors",
    "calibration.json",
    "calibration-*.safetensors",
    FIDELITY_FILE,
    *(
        f"{folder}/accuracy.{suffix}"
        for folder in (ACCURACY_FOLDER, LIKELIHOOD_FOLDER)
        for suffix in ("json", "safetensors")
    ),
    "effects.json",
    "effects.safetensors",
    alone.FILE,
)
INFO = ("data_digest", "classes", "seed")  # of the header: what the jobs that follow need
MAX_BYTES = 2**30  # of all files together


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint folder, read and checked: every part that is there is sound."""

    supernet: Supernet
    header: Mapping[str, Any]
    calibration: list[Tensor] | None
    predictor: AccuracyPredictor | None
    fidelity: FidelityReport | None


def adopt(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Copy the payload's checkpoint, check the copy and store it as a supernet; nothing is trained.

    Raises CheckpointError, CorruptFitError, FidelityError or DataError, each naming the file or the
    images that do not fit; then nothing is stored.
    """
    payload = job.payload
    name, source = payload["supernet"], Path(payload["checkpoint"])
    folder = context.settings.folder / "supernets" / f"{name}-{job.id}"
    context.report("import", 0, 1)
    # where the folder exists, an earlier runner of the job made it and died
    found = read_checkpoint_folder(folder) if folder.exists() else _copied(source, folder)
    data = _images(payload["data"], found, source, context)
    record = SupernetRecord(
        name=name,
        space=found.supernet.space.id,
        data=NO_IMAGES if data is None else payload["data"],
        n_classes=found.supernet.n_classes,
        in_channels=found.supernet.in_channels,
        resolution=_resolution(found, data),
        folder=str(folder),
        digest=found.header["sha256"],
        metrics=_metrics(found),
        job_id=job.id,
        created_at=datetime.now(UTC),
    )
    context.stores.supernets.put(record)
    if found.fidelity is not None:
        report = replace(found.fidelity, supernet=name)
        context.stores.supernets.put_fidelity(FidelityRecord(name, report, job.id, datetime.now(UTC)))
    context.report("import", 1, 1)
    return {"supernet": name, "space": record.space, "metrics": dict(record.metrics)}


def read_checkpoint_folder(folder: Path) -> Found:
    """Everything in the folder; raises CheckpointError, CorruptFitError or FidelityError if it is unsound."""
    supernet = load_supernet(folder)
    header = json.loads((folder / "supernet.json").read_text())
    missing = [name for name in INFO if name not in header.get("info", {})]
    if missing:
        raise CheckpointError(f"{folder / 'supernet.json'}: info lacks {missing[0]!r}")
    if len(header["info"]["classes"]) != supernet.n_classes:
        raise CheckpointError(
            f"{folder / 'supernet.json'}: info names other than {supernet.n_classes} classes"
        )
    calibration = load_calibration(folder) if (folder / "calibration.json").exists() else None
    if calibration is not None and calibration[0].shape[1] != supernet.in_channels:
        raise CheckpointError(
            f"{folder / 'calibration.json'}: images have {calibration[0].shape[1]} channels; "
            f"the supernet takes {supernet.in_channels}"
        )
    predictor = _predictor(folder / ACCURACY_FOLDER, supernet, header)
    _predictor(folder / LIKELIHOOD_FOLDER, supernet, header)
    hints_in(folder, supernet.space, header["sha256"])
    alone.alone_in(folder, supernet.space)
    return Found(supernet, header, calibration, predictor, _fidelity(folder, supernet))


def _predictor(folder: Path, supernet: Supernet, header: Mapping[str, Any]) -> AccuracyPredictor | None:
    if not folder.exists():
        return None
    predictor = AccuracyPredictor.load(folder, supernet.space)
    if predictor.supernet != header["sha256"]:
        raise CheckpointError(f"{folder}: predicts accuracies of other weights")
    return predictor


def _copied(source: Path, folder: Path) -> Found:
    """What a copy of the source's files in ``folder`` holds; there is a copy only if all of it is sound."""
    read_checkpoint_folder(source)  # for an error that names the caller's file; what counts is the copy
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        files = [file for pattern in FILES for file in sorted(source.glob(pattern))]
        size = sum(file.stat().st_size for file in files)
        if size > MAX_BYTES:
            raise CheckpointError(f"{source}: its files have {size} bytes; at most {MAX_BYTES} are taken")
        for file in files:
            target = partial / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
        found = read_checkpoint_folder(partial)
        partial.replace(folder)
        return found
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _images(source: str | None, found: Found, folder: Path, context: JobContext) -> ImageData | None:
    """The supernet's images if a source is named; without one it must carry calibration images."""
    if source is None:
        if found.calibration is None:
            raise CheckpointError(
                f"{folder / 'calibration.json'}: missing, and no data is named; one of them is needed"
            )
        return None
    data = open_data(source, context)
    if data.digest != found.header["info"]["data_digest"]:
        raise DataError(f"{source}: its images are not those that {folder} was trained on")
    return data


def _resolution(found: Found, data: ImageData | None) -> int:
    if data is not None:
        return data.resolution
    assert found.calibration is not None
    return int(found.calibration[0].shape[-1])


def _metrics(found: Found) -> dict[str, float]:
    """What is known of the accuracy predictor, if there is one."""
    if found.predictor is None:
        return {}
    metrics = {PREDICTOR_METRIC: float(found.predictor.n_archs)}
    quality = found.predictor.quality
    if quality is not None:
        metrics |= {
            "accuracy_predictor_spearman": quality.spearman,
            "accuracy_predictor_mae_points": quality.mae_points,
            "accuracy_predictor_coverage_90": quality.coverage_90,
        }
    return metrics


def _fidelity(folder: Path, supernet: Supernet) -> FidelityReport | None:
    path = folder / FIDELITY_FILE
    if not path.exists():
        return None
    try:
        report = FidelityReport.from_json(path.read_text())
    except FidelityError as error:
        raise FidelityError(f"{path}: {error}") from error
    if report.space != supernet.space.id:
        raise FidelityError(f"{path}: is about {report.space}, not about {supernet.space.id}")
    return report
