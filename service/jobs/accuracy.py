"""Where a search's accuracies come from: images, or a supernet's accuracy predictor."""

from __future__ import annotations

from pathlib import Path

from db.records import Job
from nas.errors import ConfigError
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.inline_pool import InlinePool
from nas.evaluate.joint import CostEvaluator, JointEvaluator, LatencyEvaluator
from nas.evaluate.predicted import PredictedAccuracyEvaluator
from predictors.accuracy.predictor import ACCURACY_FOLDER, AccuracyPredictor
from predictors.predictor import Predictor
from service.jobs.context import JobContext
from service.jobs.inputs import Trained

MARK = PredictedAccuracyEvaluator.metrics[1]  # a value that only predicted accuracies have


def is_predicted(job: Job) -> bool:
    """Whether a search job's accuracies are to be predicted; jobs of earlier versions do not say."""
    return bool(job.payload.get("accuracy", "evaluated") == "predicted")


def predicted_accuracy(trained: Trained) -> PredictedAccuracyEvaluator:
    """The evaluator over the supernet's predictor. Raises CorruptFitError if it has none that is sound."""
    folder = Path(trained.record.folder) / ACCURACY_FOLDER
    return PredictedAccuracyEvaluator(AccuracyPredictor.load(folder, trained.supernet.space))


def predicting_pool(
    trained: Trained, accuracy: PredictedAccuracyEvaluator, latency: Predictor | None
) -> InlinePool:
    """A pool that evaluates no network at all, so it needs no workers."""
    supernet = trained.supernet
    sizes = {"in_channels": supernet.in_channels, "n_classes": supernet.n_classes}
    evaluators: list[Evaluator] = [CostEvaluator(supernet.space, **sizes)]
    if latency is not None:
        evaluators.append(LatencyEvaluator(latency))
    return InlinePool(JointEvaluator([*evaluators, accuracy]))


def require_same_source(study_id: str, *, predicted: bool, context: JobContext) -> None:
    """Raise ConfigError if the study's trials have accuracies of the other kind: they do not compare."""
    for trial in context.stores.studies.list_trials(study_id):
        values = trial.evaluation.values
        if "top1" in values and (MARK in values) != predicted:
            there, asked = ("evaluated", "predicted") if predicted else ("predicted", "evaluated")
            raise ConfigError(
                f"study {study_id!r} has {there} accuracies, the job asks for {asked} ones; "
                "choose another name"
            )
