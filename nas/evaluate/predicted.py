"""Accuracy from a predictor instead of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas.types import Evaluation
from predictors.predictor import Predictor
from searchspaces.space import Arch


def has_predicted_top1(values: Mapping[str, float]) -> bool:
    """Whether the ``top1`` of an evaluation came from a predictor: only then it has an interval."""
    return "top1_low" in values


class PredictedAccuracyEvaluator:
    """Predicted top-1: the mean and the ends of its 90 % interval, fractions.

    An evaluation that has the ends was predicted; one of ``SupernetEvaluator`` has none.
    """

    metrics = ("top1", "top1_low", "top1_high")

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator. Raises NotFittedError."""
        if not archs:
            return []
        found = self._predictor.predict(archs)
        columns = zip(found.mean.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
        return [
            Evaluation(arch, dict(zip(self.metrics, values, strict=True)))
            for arch, values in zip(archs, columns, strict=True)
        ]
