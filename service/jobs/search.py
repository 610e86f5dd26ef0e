"""Search the Pareto front of a supernet's subnets on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from db.records import Job, PredictorRecord, SupernetRecord
from nas.data.types import ImageData, Split
from nas.errors import StudyNotFoundError
from nas.evaluate.accuracy import top1
from nas.evaluate.evaluator import PROTOCOL, EvaluationPool, Evaluator
from nas.evaluate.joint import CostEvaluator, JointEvaluator, LatencyEvaluator
from nas.evaluate.known import ExactPredictor
from nas.evaluate.predicted import PredictedAccuracyEvaluator
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.evaluate.ray_pool import RayPool
from nas.evaluate.recall import ProtocolEvaluator, Recall, RecallingPool, protocol_number
from nas.race.run import RaceResult
from nas.search.knowledge import Knowledge
from nas.search.registry import get_searcher
from nas.study import StudyProgress, StudyResult, run_study
from nas.supernet.checkpoint import supernet_arrays, supernet_from_arrays, supernet_header
from nas.supernet.resize import to_float
from nas.supernet.supernet import Supernet
from nas.types import Constraint, Direction, Objective, Study, Trial
from predictors.latency_files import load_latency
from predictors.predictor import Predictor
from predictors.profiler import MeasurementProtocol
from searchspaces.registry import get_space
from searchspaces.space import SearchSpace
from service.errors import JobStoppedError
from service.jobs.accuracy import is_predicted, predicted_accuracy, predicting_pool, require_same_source
from service.jobs.context import JobContext
from service.jobs.inputs import Trained, open_supernet
from service.jobs.measuring import local_runtime, measure
from service.jobs.race import curves_of, is_race, race

DATA = "data:"  # prefix of the arrays that are no weights
IMAGES, LABELS, CALIBRATION = f"{DATA}images", f"{DATA}labels", f"{DATA}calibration-"
REFERENCE_SLACK = 1.1  # of the largest arch's value, where a client gave no reference


def run(job: Job, context: JobContext) -> Mapping[str, Any]:
    """Run the job's study to its budget, then test and measure the members of its front.

    Raises InfeasibleError, which names the constraint that nothing satisfies; JobStoppedError.
    """
    trained = open_supernet(job.payload["supernet"], context)
    study, predictor = _study(job, trained.record, trained.supernet.space, context)
    accuracy = predicted_accuracy(trained) if is_predicted(job) else None
    data = trained.images(context) if trained.has_images or accuracy is None else None
    pool = _pool(trained, data, predictor, accuracy, context)
    try:
        known = _known(study, trained, predictor, accuracy)
        space = trained.supernet.space
        if is_race(job):
            result: StudyResult | RaceResult = race(job, study, space, known, pool, context)
        else:
            result = _search(study, space, known, pool, context)
    finally:
        pool.close()
    if result.stopped:
        raise JobStoppedError(f"stopped after {result.n_trials} of {study.budget} trials")
    front = context.stores.studies.front(study.id)
    if data is not None:
        _test(study, front, trained, data, context)
    n_measured = _measure(study, front, trained, context)
    return {
        "study": study.id,
        "n_trials": result.n_trials,
        "n_failed": result.n_failed,
        "exhausted": result.exhausted,
        "front_size": len(front),
        "n_measured": n_measured,
        "hypervolume": result.hypervolumes[-1][1] if result.hypervolumes else 0.0,
        "hypervolumes": [list(pair) for pair in result.hypervolumes],
        **curves_of(result),
    }


def _pool(
    trained: Trained,
    data: ImageData | None,
    predictor: Predictor | None,
    accuracy: PredictedAccuracyEvaluator | None,
    context: JobContext,
) -> EvaluationPool:
    """Workers that run subnets on the validation images, or none where accuracies are predicted."""
    if accuracy is not None:
        return predicting_pool(trained, accuracy, predictor)
    assert data is not None
    factory, arrays = _evaluation(trained, data, predictor)
    context.report("start workers", 0, 1)
    settings = context.settings
    pool = RayPool(factory, arrays, settings.ray_actors, address=settings.ray_address)
    return RecallingPool(pool, _recall(trained, factory, context), factory.cheap(trained.supernet))


def _recall(trained: Trained, factory: EvaluatorParts, context: JobContext) -> Recall:
    """What any study of this supernet has stored of archs, under the same protocol."""
    return lambda archs: context.stores.studies.recall(
        trained.record.name, archs, ("top1", PROTOCOL), where=(PROTOCOL, factory.protocol)
    )


def _known(
    study: Study,
    trained: Trained,
    predictor: Predictor | None,
    accuracy: PredictedAccuracyEvaluator | None,
) -> Knowledge:
    """Which of the study's metrics cost no evaluation."""
    supernet = trained.supernet
    costs = CostEvaluator(supernet.space, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
    known: dict[str, Predictor] = {metric: ExactPredictor(costs, metric) for metric in costs.metrics}
    if predictor is not None:
        latency = LatencyEvaluator(predictor)
        known |= {metric: ExactPredictor(latency, metric) for metric in latency.metrics}
        known["latency_ms"] = predictor
    if accuracy is not None:
        known["top1"] = ExactPredictor(accuracy, "top1")
    asked = [o.metric for o in study.objectives] + [c.metric for c in study.constraints]
    return Knowledge({metric: known[metric] for metric in asked if metric in known})


def _search(
    study: Study, space: SearchSpace, known: Knowledge, pool: EvaluationPool, context: JobContext
) -> StudyResult:
    searcher = get_searcher(study.searcher)(
        space, study.objectives, constraints=study.constraints, known=known, seed=study.seed
    )
    return run_study(
        study,
        searcher,
        pool,
        context.stores.studies,
        report=lambda progress: _report(context, progress),
        should_stop=context.should_stop,
    )


@dataclass(frozen=True, slots=True)
class EvaluatorParts:
    """Builds the evaluator of a search inside a worker, around arrays that all workers share."""

    header: Mapping[str, Any]
    predictor: Predictor | None
    protocol: float

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Evaluator:
        """Cheap evaluators first: what they cannot evaluate never reaches the supernet."""
        weights = {name: array for name, array in arrays.items() if not name.startswith(DATA)}
        supernet = supernet_from_arrays(weights, self.header)
        calibration = [torch.tensor(arrays[name]) for name in sorted(arrays) if name.startswith(CALIBRATION)]
        split = Split(arrays[IMAGES].copy(), arrays[LABELS].copy())
        accuracy = PrefixEvaluator(supernet, split, calibration)
        return JointEvaluator([*self.cheap(supernet), ProtocolEvaluator(self.protocol), accuracy])

    def cheap(self, supernet: Supernet) -> list[Evaluator]:
        """The evaluators that need no weights."""
        costs = CostEvaluator(supernet.space, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
        return [costs] if self.predictor is None else [costs, LatencyEvaluator(self.predictor)]


def _evaluation(
    trained: Trained, data: ImageData, predictor: Predictor | None
) -> tuple[EvaluatorParts, dict[str, NDArray[Any]]]:
    """The evaluator's parts, and the arrays that workers read in place."""
    arrays: dict[str, NDArray[Any]] = supernet_arrays(trained.supernet)
    arrays[IMAGES], arrays[LABELS] = data.val.images, data.val.labels
    for index, batch in enumerate(trained.calibration(data)):
        arrays[f"{CALIBRATION}{index:04d}"] = batch.contiguous().numpy()
    return EvaluatorParts(supernet_header(trained.supernet), predictor, protocol_number(arrays)), arrays


def _study(
    job: Job, supernet: SupernetRecord, space: SearchSpace, context: JobContext
) -> tuple[Study, Predictor | None]:
    """The study that the job began, or a new one, with its predictor.

    A study keeps the predictor it began with, so that a device that is profiled again before the
    study goes on does not change which archs it asks for.
    """
    payload = job.payload
    study_id = payload["study"] or job.id
    try:
        study = context.stores.studies.get_study(study_id)
    except StudyNotFoundError:
        record = _newest_predictor(job, context)
        predictor = _load(record, space)
        study = Study(
            id=study_id,
            space=supernet.space,
            objectives=tuple(_objective(item, supernet, predictor) for item in payload["objectives"]),
            searcher=payload["searcher"],
            budget=payload["budget"],
            seed=payload["seed"],
            batch_size=payload["batch_size"],
            constraints=tuple(Constraint(**item) for item in payload["constraints"]),
            supernet=supernet.name,
            device=payload["device"],
            predictor=None if record is None else record.id,
        )
        return study, predictor
    require_same_source(study.id, predicted=is_predicted(job), context=context)
    record = None if study.predictor is None else context.stores.devices.get_predictor(study.predictor)
    return study, _load(record, space)


def _newest_predictor(job: Job, context: JobContext) -> PredictorRecord | None:
    """The device's newest predictor, or None if the job asks for no latency and there is none."""
    supernet, device = job.payload["supernet"], job.payload["device"]
    asked = [item["metric"] for item in (*job.payload["objectives"], *job.payload["constraints"])]
    devices = context.stores.devices
    if "latency_ms" not in asked and not devices.list_predictors(supernet, device).items:
        return None
    return devices.latest_predictor(supernet, device)


def _load(record: PredictorRecord | None, space: SearchSpace) -> Predictor | None:
    return None if record is None else load_latency(Path(record.folder), space)


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


def _test(
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


def _measure(study: Study, front: Sequence[Trial], trained: Trained, context: JobContext) -> int:
    """Latency of the front's members if the device is this machine; how many were measured."""
    assert study.device is not None
    device = context.stores.devices.get_device(study.device).device
    runtime = local_runtime(device)
    if runtime is None or not front:
        return 0
    archs = [trial.evaluation.arch for trial in front]
    campaign = measure(trained, archs, runtime, device, MeasurementProtocol(seed=study.seed), context)
    latency = {sample.arch: sample.latency_ms for sample in campaign.samples}
    for trial in front:
        if trial.evaluation.arch in latency:
            value = latency[trial.evaluation.arch]
            context.stores.studies.record_measured(study.id, trial.number, latency_ms=value)
    return len(latency)


def _report(context: JobContext, progress: StudyProgress) -> None:
    context.report(
        "search",
        progress.n_trials,
        progress.budget,
        n_failed=progress.n_failed,
        front_size=progress.front_size,
        hypervolume=round(progress.hypervolume, 6),
    )
