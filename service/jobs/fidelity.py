"""Check how well a supernet ranks, and store the report beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from db.records import FidelityRecord, Job
from nas.data.types import ImageData, Split
from nas.evaluate.likelihood import LikelihoodEvaluator
from nas.fidelity import alone
from nas.fidelity.check import check_ranking
from nas.fidelity.runs import StandaloneRun, continue_runs, load_runs, spread_archs
from nas.fidelity.standalone import train_alone
from nas.fidelity.truth import TABLE_SUFFIX, read_truth, truth_of_runs
from nas.supernet.config import TrainConfig
from searchspaces.cost import cost
from searchspaces.space import Arch
from service.errors import JobStoppedError
from service.jobs.context import JobContext
from service.jobs.inputs import Trained, open_supernet


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Estimate subnets whose accuracy is known, or becomes known here, and compare.

    A file of another space is refused before anything is trained. Subnets that an earlier runner of
    the job has trained are kept. Raises FidelityError, TableError; JobStoppedError when asked to stop.
    """
    payload = job.payload
    trained = open_supernet(payload["supernet"], context)
    space = trained.supernet.space
    truth = runs = None
    if payload["truth"] is not None:
        path = Path(payload["truth"])
        truth = read_truth(path, space, subnets=payload["subnets"], seed=payload["seed"])
        runs = None if path.suffix == TABLE_SUFFIX else path
    data = trained.images(context)
    if truth is None:
        runs = _train_alone(job, trained, data, context)
        truth = truth_of_runs(runs, space)
    if runs is not None:
        _keep(runs, trained)

    def progress(done: int, total: int) -> None:
        context.check_stop()
        context.report("estimate", done, total)

    report = check_ranking(
        LikelihoodEvaluator(trained.supernet, _images(job, data), trained.calibration(data)),
        truth,
        space,
        supernet=trained.record.name,
        metric=payload["metric"],
        in_channels=data.in_channels,
        n_classes=data.n_classes,
        seed=payload["seed"],
        report=progress,
    )
    context.stores.supernets.put_fidelity(
        FidelityRecord(trained.record.name, report, job.id, datetime.now(UTC))
    )
    return {"supernet": trained.record.name, "fidelity": report.to_dict()}


def _keep(path: Path, trained: Trained) -> None:
    """Into the supernet's folder, where fronts predict from them what training alone would give."""
    runs = load_runs(path)
    if alone.can_be_fitted(runs):
        runs.save(Path(trained.record.folder) / alone.FILE)


def _images(job: Job, data: ImageData) -> Split:
    """Random validation images."""
    rng = np.random.default_rng([job.payload["seed"], 10])
    chosen = rng.permutation(len(data.val))[: job.payload["images"]]
    return Split(data.val.images[chosen], data.val.labels[chosen])


def _train_alone(job: Job, trained: Trained, data: ImageData, context: JobContext) -> Path:
    """The file of subnets trained alone, with the supernet's own recipe or the payload's epochs."""
    payload = job.payload
    config = TrainConfig(**trained.info.get("config", {}), seed=payload["seed"])
    if payload["epochs"] is not None:
        config = replace(config, epochs=payload["epochs"])
    if config.threads:
        torch.set_num_threads(config.threads)
    sizes = {"in_channels": data.in_channels, "n_classes": data.n_classes}
    archs = spread_archs(trained.supernet.space, payload["train_alone"], seed=payload["seed"], **sizes)
    path = context.settings.folder / "fidelity" / f"{trained.record.name}-{job.id}.json"
    recipe = {"data": trained.record.data, "epochs": config.epochs, "train_images": len(data.train)}
    runs = continue_runs(path, trained.supernet.space, recipe)
    done = {one.arch for one in runs.runs}
    for index, arch in enumerate(archs):
        if arch.key not in done:
            runs = runs.with_run(_run(arch, trained, data, config, index, len(archs), context))
            runs.save(path)
    return path


def _run(
    arch: Arch,
    trained: Trained,
    data: ImageData,
    config: TrainConfig,
    index: int,
    n: int,
    context: JobContext,
) -> StandaloneRun:
    spec = trained.supernet.space.decode(arch)
    costs = cost(spec, in_channels=data.in_channels, n_classes=data.n_classes)
    found = train_alone(
        spec,
        data,
        config,
        report=lambda step, steps: context.report("train alone", index * steps + step, n * steps),
        should_stop=context.should_stop,
    )
    if found is None:
        raise JobStoppedError(f"stopped at subnet {index + 1} of {n}; those before are kept")
    return StandaloneRun(
        arch.key, arch.genes, found.top1, found.cpu_seconds, costs.params, costs.macs, len(spec.blocks)
    )
