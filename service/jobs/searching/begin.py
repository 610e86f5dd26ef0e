"""The study of a search job, and the latency predictors that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.records import Job, PredictorRecord, SupernetRecord
from nas.errors import StudyNotFoundError
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.joint import CostEvaluator, JointEvaluator, LatencyEvaluator
from nas.race.race import RACE
from nas.types import Constraint, Direction, Objective, Study
from predictors.latency_files import AnyLatencyPredictor, load_latency
from predictors.predictor import Predictor
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from service.jobs.accuracy import is_predicted, require_same_source
from service.jobs.context import JobContext
from service.jobs.race import is_race

REFERENCE_SLACK = 1.1  # of the largest arch's value, where a client gave no reference


def study_of(job: Job, supernet: SupernetRecord, space: SearchSpace, context: JobContext) -> Study:
    """The study that the job began, or a new one, not stored yet.

    A study keeps the predictor it began with, so that a device that is profiled again before the
    study goes on does not change which archs it asks for.
    """
    payload = job.payload
    study_id = payload["study"] or job.id
    try:
        study = context.stores.studies.get_study(study_id)
    except StudyNotFoundError:
        record = _newest_predictor(job, context)
        predictor = None if record is None else load_predictor(record.id, space, context)
        return Study(
            id=study_id,
            space=supernet.space,
            objectives=tuple(_objective(item, supernet, predictor) for item in payload["objectives"]),
            searcher=RACE if is_race(job) else payload["searcher"],
            budget=payload["budget"],
            seed=payload["seed"],
            batch_size=payload["batch_size"],
            constraints=tuple(Constraint(**item) for item in payload["constraints"]),
            supernet=supernet.name,
            device=payload["device"],
            predictor=None if record is None else record.id,
        )
    require_same_source(study.id, predicted=is_predicted(job), context=context)
    return study


def load_predictor(
    predictor_id: str | None, space: SearchSpace, context: JobContext
) -> AnyLatencyPredictor | None:
    """The stored latency predictor of this id; None for none."""
    if predictor_id is None:
        return None
    return load_latency(Path(context.stores.devices.get_predictor(predictor_id).folder), space)


def _newest_predictor(job: Job, context: JobContext) -> PredictorRecord | None:
    """The device's newest predictor, or None if the job asks for no latency and there is none."""
    supernet, device = job.payload["supernet"], job.payload["device"]
    asked = [item["metric"] for item in (*job.payload["objectives"], *job.payload["constraints"])]
    devices = context.stores.devices
    if "latency_ms" not in asked and not devices.list_predictors(supernet, device).items:
        return None
    return devices.latest_predictor(supernet, device)


def _objective(item: Mapping[str, Any], supernet: SupernetRecord, predictor: Predictor | None) -> Objective:
    """Without a reference: 0 to maximise, a little more than the largest arch's value to minimise."""
    metric, direction = item["metric"], Direction(item["direction"])
    reference = item["reference"]
    if reference is None:
        reference = 0.0
        if direction is Direction.MINIMIZE:
            reference = REFERENCE_SLACK * _largest(metric, supernet, predictor)
    return Objective(metric, direction, reference)


def _largest(metric: str, supernet: SupernetRecord, predictor: Predictor | None) -> float:
    """The metric of the space's largest arch; 1 for top1."""
    if metric == "top1":
        return 1.0
    space = get_space(supernet.space.partition("@")[0])
    arch = space.extreme(largest=True)
    evaluators: list[Evaluator] = [
        CostEvaluator(space, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
    ]
    if predictor is not None:
        evaluators.append(LatencyEvaluator(predictor))
    return JointEvaluator(evaluators).evaluate([arch])[0].values[metric]
