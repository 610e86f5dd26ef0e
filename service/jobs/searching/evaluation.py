"""What evaluates a search's archs: workers that run subnets on images, or predictors alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from nas.data.types import ImageData, Split
from nas.evaluate.evaluator import PROTOCOL, EvaluationPool, Evaluator
from nas.evaluate.joint import CostEvaluator, JointEvaluator, LatencyEvaluator
from nas.evaluate.known import ExactPredictor
from nas.evaluate.predicted import PredictedAccuracyEvaluator
from nas.evaluate.prefix.evaluator import PrefixEvaluator
from nas.evaluate.ray_pool import RayPool
from nas.evaluate.recall import ProtocolEvaluator, RecallingPool, protocol_number
from nas.supernet.checkpoint import supernet_arrays, supernet_from_arrays, supernet_header
from nas.supernet.supernet import Supernet
from nas.types import Study
from predictors.predictor import Predictor
from service.jobs.accuracy import predicted_accuracy, predicting_pool
from service.jobs.context import JobContext
from service.jobs.inputs import Trained

DATA = "data:"  # prefix of the arrays that are no weights
IMAGES, LABELS, CALIBRATION = f"{DATA}images", f"{DATA}labels", f"{DATA}calibration-"


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


@dataclass(frozen=True, slots=True)
class OnImages:
    """Accuracies of a search that come from validation images, and the arrays that workers read in place."""

    trained: Trained
    arrays: Mapping[str, NDArray[Any]]
    protocol: float

    def pool(self, latency: Predictor | None, context: JobContext) -> EvaluationPool:
        """Workers; what any study of this supernet has stored under the same protocol is not run again."""
        supernet = self.trained.supernet
        factory = EvaluatorParts(supernet_header(supernet), latency, self.protocol)
        context.report("start workers", 0, 1)
        settings = context.settings
        pool = RayPool(factory, self.arrays, settings.ray_actors, address=settings.ray_address)
        return RecallingPool(
            pool,
            lambda archs: context.stores.studies.recall(
                self.trained.record.name, archs, ("top1", PROTOCOL), where=(PROTOCOL, self.protocol)
            ),
            factory.cheap(supernet),
        )

    def known(self) -> Mapping[str, Predictor]:
        """Accuracies are what a search has to find out."""
        return {}


@dataclass(frozen=True, slots=True)
class Predicted:
    """Accuracies of a search that come from a supernet's own predictor."""

    trained: Trained
    accuracy: PredictedAccuracyEvaluator
    protocol: None = None

    def pool(self, latency: Predictor | None, context: JobContext) -> EvaluationPool:  # noqa: ARG002
        """No workers: nothing is run."""
        return predicting_pool(self.trained, self.accuracy, latency)

    def known(self) -> Mapping[str, Predictor]:
        """Accuracies cost nothing."""
        return {"top1": ExactPredictor(self.accuracy, "top1")}


def on_images(trained: Trained, data: ImageData) -> OnImages:
    """Evaluation of a supernet's subnets on the validation images."""
    arrays: dict[str, NDArray[Any]] = supernet_arrays(trained.supernet)
    arrays[IMAGES], arrays[LABELS] = data.val.images, data.val.labels
    for index, batch in enumerate(trained.calibration(data)):
        arrays[f"{CALIBRATION}{index:04d}"] = batch.contiguous().numpy()
    return OnImages(trained, arrays, protocol_number(arrays))


def predicted(trained: Trained) -> Predicted:
    """Evaluation by the supernet's accuracy predictor; raises CorruptFitError if it has none."""
    return Predicted(trained, predicted_accuracy(trained))


def known_metrics(
    study: Study, source: OnImages | Predicted, latency: Predictor | None
) -> Mapping[str, Predictor]:
    """Which metrics of the study's objectives and constraints cost no evaluation."""
    supernet = source.trained.supernet
    costs = CostEvaluator(supernet.space, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
    known: dict[str, Predictor] = {metric: ExactPredictor(costs, metric) for metric in costs.metrics}
    if latency is not None:
        evaluator = LatencyEvaluator(latency)
        known |= {metric: ExactPredictor(evaluator, metric) for metric in evaluator.metrics}
        known["latency_ms"] = latency
    known |= source.known()
    asked = [o.metric for o in study.objectives] + [c.metric for c in study.constraints]
    return {metric: known[metric] for metric in asked if metric in known}
