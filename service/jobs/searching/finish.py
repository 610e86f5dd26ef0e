"""What is found out about the members of a front once the search is over."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from db.records import Job
from nas.data.types import ImageData
from nas.evaluate.accuracy import top1
from nas.supernet.resize import to_float
from nas.types import Study, Trial
from predictors.device import Device
from service.jobs.context import JobContext
from service.jobs.inputs import Trained
from service.jobs.searching.measuring import NOT_NOW, measure_for_search


def score_front(
    study: Study, front: Sequence[Trial], trained: Trained, data: ImageData, context: JobContext
) -> None:
    """Accuracy of the front's members on the test split, which nothing has seen before."""
    images, labels = to_float(torch.from_numpy(data.test.images)), torch.from_numpy(data.test.labels)
    calibration = trained.calibration(data)
    for index, trial in enumerate(front):
        context.check_stop()
        network = trained.network(trial.evaluation.arch, calibration)
        score = top1(network, images, labels)
        context.stores.studies.record_measured(study.id, trial.number, top1_test=score)
        context.report("test the front", index + 1, len(front))


def measure_front(
    job: Job, study: Study, front: Sequence[Trial], trained: Trained, context: JobContext
) -> tuple[int, str | None]:
    """Latency of the front's members on the study's device: how many were measured, and why not more."""
    if not front:
        return 0, None
    archs = list(dict.fromkeys(trial.evaluation.arch for trial in front))
    try:
        campaign = measure_for_search(
            f"{job.id}-front", _device(study, context), trained, archs, job, context
        )
    except NOT_NOW as error:
        context.log(f"the front was not measured: {error}")
        return 0, str(error)
    latency = {sample.arch: sample.latency_ms for sample in campaign.samples}
    for trial in front:
        if trial.evaluation.arch in latency:
            value = latency[trial.evaluation.arch]
            context.stores.studies.record_measured(study.id, trial.number, latency_ms=value)
    failures = [f"arch {arch.key}: {reason}" for arch, reason in campaign.failures.items()]
    return len(latency), "; ".join(failures) or None


def _device(study: Study, context: JobContext) -> Device:
    assert study.device is not None  # of a search job
    return context.stores.devices.get_device(study.device).device
