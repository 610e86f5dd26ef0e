"""Write one subnet as a standalone package and put its files into the artifact store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from db.errors import PredictorNotFoundError
from db.records import ArtifactRecord, FrontPoint, Job
from nas.data.types import ImageData
from nas.evaluate.accuracy import top1
from nas.export.manifest import (
    Accuracy,
    Lineage,
    Manifest,
    MeasuredLatency,
    PackageFacts,
    PredictedLatency,
)
from nas.export.package import export_subnet
from nas.supernet.resize import to_float
from predictors.device import Device
from predictors.latency_files import load_latency
from predictors.profiler import MeasurementProtocol
from searchspaces.space import Arch
from service.jobs.context import JobContext
from service.jobs.inputs import Trained, open_supernet
from service.jobs.measuring import local_runtime, measure
from service.schemas.jobs import SubnetGenes
from service.validate import find_arch

N_CAMPAIGNS = 3  # of the latency that the package claims
N_SAMPLES = 64  # validation images that formats are compared on
MEDIA_TYPES = {".json": "application/json", ".md": "text/markdown", ".py": "text/x-python"}


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Export in the formats asked for; those that fail their parity check are named, not shipped.

    Raises ExportError if not even the plain model passes; JobStoppedError when asked to stop.
    """
    subnet = job.payload["subnet"]
    record, arch = find_arch(
        subnet if isinstance(subnet, str) else SubnetGenes.model_validate(subnet), context.stores
    )
    trained = open_supernet(record.name, context)
    data = trained.images(context) if trained.has_images else None
    calibration = trained.calibration(data)
    samples = calibration[0] if data is None else to_float(torch.from_numpy(data.val.images[:N_SAMPLES]))
    facts = _facts(job, trained, arch, data, context)
    context.check_stop()
    context.report("export", 0, 1)
    folder = context.settings.folder / "packages" / f"{record.name}-{arch.key}-{job.id}"
    if folder.exists():  # an earlier runner exported it and died before the files were stored
        shutil.rmtree(folder)
    manifest = export_subnet(
        trained.supernet,
        arch,
        folder,
        formats=job.payload["formats"],
        calibration=calibration,
        samples=samples[:N_SAMPLES],
        classes=tuple(trained.info["classes"]),
        facts=facts,
    )
    files = [_store(file, job, context) for file in sorted(folder.iterdir())]
    context.report("export", 1, 1)
    return _result(f"{record.name}:{arch.key}", manifest, files)


def _result(subnet_id: str, manifest: Manifest, files: list[ArtifactRecord]) -> dict[str, Any]:
    facts = manifest.facts
    return {
        "subnet": subnet_id,
        "formats": [entry.name for entry in manifest.formats],
        "parity": {item.format: item.max_abs_error for item in manifest.parity},
        "failed": {item.format: item.error for item in manifest.parity if not item.passed},
        "top1": None if facts.val is None else facts.val.top1,
        "test_top1": None if facts.test is None else facts.test.top1,
        "latency_ms": None if facts.measured is None else facts.measured.latency_ms,
        "files": [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in files],
    }


def _store(file: Path, job: Job, context: JobContext) -> ArtifactRecord:
    """File first, row last: a crash in between leaves only a file that nobody asks for."""
    digest, size = context.stores.files.put(file)
    media_type = MEDIA_TYPES.get(file.suffix, "application/octet-stream")
    record = ArtifactRecord(digest, size, media_type, file.name, job.id, datetime.now(UTC))
    context.stores.artifacts.put(record)
    return record


def _facts(
    job: Job, trained: Trained, arch: Arch, data: ImageData | None, context: JobContext
) -> PackageFacts:
    """Accuracy, latency and lineage; the test split only if the subnet was on a final front."""
    point = _front_point(job, trained, arch, context)
    device = _device(job, point, context)
    return PackageFacts(
        name=f"{trained.record.name}-{arch.key}",
        device=device,
        predicted=None if device is None else _predicted(trained, arch, device, context),
        measured=None if device is None else _measured(trained, arch, device, context),
        val=None if data is None else _validated(trained, arch, data),
        test=None if data is None else _tested(point, data),
        lineage=Lineage(
            supernet=trained.record.name,
            supernet_sha256=trained.record.digest,
            study=None if point is None else point.study_id,
            trial=None if point is None else point.number,
            job=job.id,
            data=trained.record.data if trained.has_images else trained.info.get("data"),
            data_sha256=trained.info["data_digest"],
            seed=int(trained.info["seed"]),
        ),
    )


def _validated(trained: Trained, arch: Arch, data: ImageData) -> Accuracy:
    network = trained.network(arch, trained.calibration(data))
    images, labels = to_float(torch.from_numpy(data.val.images)), torch.from_numpy(data.val.labels)
    return Accuracy(top1(network, images, labels), len(labels))


def _tested(point: FrontPoint | None, data: ImageData) -> Accuracy | None:
    if point is None or point.test_top1 is None:
        return None
    return Accuracy(point.test_top1, len(data.test))


def _front_point(job: Job, trained: Trained, arch: Arch, context: JobContext) -> FrontPoint | None:
    """The subnet's place on a front, of the asked device first."""
    points = context.stores.studies.fronts(supernet=trained.record.name, device=job.payload["device"])
    return next((point for point in points if point.arch == arch), None)


def _device(job: Job, point: FrontPoint | None, context: JobContext) -> Device | None:
    name = job.payload["device"] or (None if point is None else point.device)
    return None if name is None else context.stores.devices.get_device(name).device


def _predicted(trained: Trained, arch: Arch, device: Device, context: JobContext) -> PredictedLatency | None:
    try:
        record = context.stores.devices.latest_predictor(trained.record.name, device.name)
    except PredictorNotFoundError:
        return None
    found = load_latency(Path(record.folder), trained.supernet.space, device).predict([arch])
    return PredictedLatency(*(float(column[0]) for column in (found.mean, found.std, found.low, found.high)))


def _measured(trained: Trained, arch: Arch, device: Device, context: JobContext) -> MeasuredLatency | None:
    """Measured here and now, if the device is this machine and can run the subnet.

    The fastest of a few campaigns: other work on the machine only ever makes a network slower.
    """
    runtime = local_runtime(device)
    if runtime is None:
        return None
    samples = [
        sample
        for seed in range(N_CAMPAIGNS)
        for sample in measure(
            trained, [arch], runtime, device, MeasurementProtocol(seed=seed, rounds=1), context
        ).samples
    ]
    return MeasuredLatency.of(min(samples, key=lambda sample: sample.latency_ms)) if samples else None
