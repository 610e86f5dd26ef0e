"""Train a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from db.records import Job, SupernetRecord
from nas.data.load import ImageData
from nas.distributed import train_distributed
from nas.evaluate.accuracy import calibration_images, top1
from nas.evaluate.effects import estimate_effects, worth_observing
from nas.stitching.pool import distill_anchors
from nas.stitching.train import DEFAULTS, is_stitched, train_stitched
from nas.supernet.checkpoint import load_supernet, save_supernet
from nas.supernet.config import TrainConfig
from nas.supernet.extract import calibrate, extract_subnet, fold
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.supernet.train import TrainProgress, total_steps, train
from searchspaces.registry import LARGE_IMAGE, RESOLUTIONS, get_space
from searchspaces.space import SearchSpace
from service.errors import JobStoppedError
from service.jobs.adopt import adopt
from service.jobs.context import JobContext
from service.jobs.inputs import open_data, open_supernet

CIFAR_SIZE = 32  # pixels


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Train on the payload's data and store the supernet; continues where an earlier runner was stopped.

    A payload with a ``checkpoint`` has been trained already: see ``service.jobs.adopt``.
    Raises DataError, ConfigError, UnknownSpaceError; JobStoppedError when asked to stop.
    """
    payload = job.payload
    if payload.get("checkpoint") is not None:
        return adopt(job, context)
    data = open_data(payload["data"], context)
    context.check_stop()
    space = get_space(payload["space"] or default_space(data.resolution, data.in_channels))
    folder = context.settings.folder / "supernets" / f"{payload['supernet']}-{job.id}"
    supernet, speed = _trained(job, data, space, folder, context)
    metrics = {**extreme_accuracies(supernet, data, payload["seed"]), **speed}
    digest = save_supernet(folder, supernet, info=_info(job, data))
    config = _config(job, space)
    if worth_observing(space, total_steps(len(data.train.labels), config) * config.subnets):
        _observe_effects(supernet, data, digest, folder, config.seed, context)
    record = SupernetRecord(
        name=payload["supernet"],
        space=space.id,
        data=payload["data"],
        n_classes=data.n_classes,
        in_channels=data.in_channels,
        resolution=data.resolution,
        folder=str(folder),
        digest=digest,
        metrics=metrics,
        job_id=job.id,
        created_at=datetime.now(UTC),
    )
    context.stores.supernets.put(record)
    return {"supernet": record.name, "space": space.id, "metrics": metrics}


def _trained(
    job: Job, data: ImageData, space: SearchSpace, folder: Path, context: JobContext
) -> tuple[Supernet, dict[str, float]]:
    """The supernet in eval mode on the CPU, and the training's throughput if it ran here to its end."""
    if (folder / "supernet.json").exists() and not (folder / "training.json").exists():
        return load_supernet(folder), {}  # an earlier runner finished training and then died
    mean, std = channel_statistics(data)
    config = _config(job, space)
    torch.manual_seed(config.seed)
    supernet = Supernet(space, n_classes=data.n_classes, in_channels=data.in_channels, mean=mean, std=std)
    common: dict[str, Any] = {
        "folder": folder,
        "report": lambda progress: _report(context, progress),
        "should_stop": context.should_stop,
    }
    workers = job.payload.get("workers", 1)  # absent from jobs of older versions
    if workers > 1:
        gpus = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        several: dict[str, Any] = {"workers": workers, "gpus": gpus, "address": context.settings.ray_address}
        result = train_distributed(supernet, data, config, **several, **common)
    elif not is_stitched(space):
        result = train(supernet, data, config, **common)
    elif job.payload.get("teacher"):
        teacher = open_supernet(job.payload["teacher"], context).supernet
        result = distill_anchors(teacher, supernet, data, config, **common)
    else:
        given = {
            anchor: Path(context.stores.supernets.get(name).folder)
            for anchor, name in job.payload.get("anchors", {}).items()
        }
        result = train_stitched(supernet, data, config, anchors=given, **common)
    if not result.completed:
        raise JobStoppedError(f"stopped at step {result.step} of {result.steps}")
    return supernet.cpu().eval(), {"images_per_s": result.images_per_s}


def _config(job: Job, space: SearchSpace) -> TrainConfig:
    defaults = DEFAULTS if is_stitched(space) else {}
    return TrainConfig(**{**defaults, **job.payload["config"]}, seed=job.payload["seed"])


def _observe_effects(
    supernet: Supernet, data: ImageData, digest: str, folder: Path, seed: int, context: JobContext
) -> None:
    """Write down which choices matter, for the searches to come. Raises JobStoppedError."""
    effects = estimate_effects(
        supernet,
        data.train,
        digest=digest,
        seed=seed,
        report=lambda done, rounds: context.report("effects of choices", done, rounds),
        should_stop=context.should_stop,
    )
    if effects is None:
        raise JobStoppedError("stopped after training, while the effects of choices were observed")
    effects.save(folder)


def default_space(resolution: int, in_channels: int) -> str:
    """The space for images of this side length in pixels: ``hybrid-tiny`` for grey, else ``hybrid-cifar``.

    The presets' own resolutions are kept where they suit; other sizes get up to three of their
    own, from about 0.7 of the image to all of it.
    """
    preset = "hybrid-tiny" if in_channels == 1 else "hybrid-cifar"
    if (in_channels == 1 and resolution < LARGE_IMAGE) or (in_channels > 1 and resolution == CIFAR_SIZE):
        return preset
    largest = min(resolution, RESOLUTIONS[-1])
    sizes = sorted({max(RESOLUTIONS[0], round(largest * share / 4) * 4) for share in (0.72, 0.86, 1.0)})
    return f"{preset}-r" + "-".join(map(str, sizes))


def channel_statistics(data: ImageData) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of the training images in [0, 1]."""
    images = data.train.images.astype(np.float32) / 255
    mean, std = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
    return mean.tolist(), np.maximum(std, 1e-3).tolist()


def extreme_accuracies(supernet: Supernet, data: ImageData, seed: int) -> dict[str, float]:
    """Validation top-1 of the largest and the smallest subnet, as they would be extracted."""
    images = to_float(torch.from_numpy(data.val.images))
    labels = torch.from_numpy(data.val.labels)
    calibration = calibration_images(data.train, seed=seed)
    metrics = {}
    for name, largest in (("top1_largest", True), ("top1_smallest", False)):
        network = extract_subnet(supernet, _decoded(supernet.space, largest=largest))
        calibrate(network, calibration)
        metrics[name] = top1(fold(network), images, labels)
    return metrics


def _decoded(space: SearchSpace, *, largest: bool) -> Any:
    return space.decode(space.extreme(largest=largest))


def _info(job: Job, data: ImageData) -> dict[str, Any]:
    return {
        "job": job.id,
        "data": job.payload["data"],
        "data_digest": data.digest,
        "classes": list(data.classes),
        "config": dict(job.payload["config"]),
        "seed": job.payload["seed"],
    }


def _report(context: JobContext, progress: TrainProgress) -> None:
    context.report(
        f"train ({progress.phase})",
        progress.step,
        progress.steps,
        loss=round(progress.loss, 4),
        images_per_s=round(progress.images_per_s, 1),
        eta_s=round(progress.eta_s, 1),
    )
