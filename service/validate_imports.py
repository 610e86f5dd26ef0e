"""Checks of jobs that import a supernet, or use what was imported with one."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import FieldError
from service.paths import path_error
from service.schemas.jobs import SearchJob, TrainJob
from service.settings import Settings
from service.stores import Stores

NO_IMAGES = "none"  # the data of a supernet that was imported without its images
PREDICTOR_METRIC = "accuracy_predictor_archs"  # of a supernet that has an accuracy predictor
WITHOUT_IMAGES = "was imported without its images; import it again under another name, with its data"


def check_checkpoint(job: TrainJob, settings: Settings) -> Iterator[FieldError]:
    """The folder may be read, and nothing is said about a training that does not happen."""
    assert job.checkpoint is not None
    if problem := path_error(job.checkpoint, settings):
        yield FieldError("#/checkpoint", problem)
    for field in ("space", "config", "anchors", "teacher"):
        if getattr(job, field):
            yield FieldError(f"#/{field}", "a checkpoint is taken as it is: leave this out")


def check_accuracy(job: SearchJob, stores: Stores) -> Iterator[FieldError]:
    """The supernet has what the accuracies are to come from."""
    supernet = stores.supernets.get(job.supernet)
    if job.accuracy == "predicted" and PREDICTOR_METRIC not in supernet.metrics:
        yield FieldError("#/accuracy", f"supernet {job.supernet!r} has no accuracy predictor")
    elif job.accuracy == "evaluated" and supernet.data == NO_IMAGES:
        yield FieldError(
            "#/accuracy", f'must be "predicted": supernet {job.supernet!r} was imported without its images'
        )
