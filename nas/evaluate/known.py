"""Metrics that cost no evaluation: those of evaluators that need no weights, as predictors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import Evaluator
from predictors.predictor import FloatArray, Prediction
from searchspaces.space import Arch


class ExactPredictor:
    """One metric of an evaluator, known exactly: a Predictor that comes fitted."""

    def __init__(self, evaluator: Evaluator, metric: str) -> None:
        self._evaluator = evaluator
        self._metric = metric

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:  # noqa: ARG002
        """There is nothing to fit: raises TypeError."""
        raise TypeError(f"{self._metric!r} is known exactly and takes no fit")

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """The evaluator's values, with standard deviation 0. Raises EvaluatorError if one fails."""
        evaluations = self._evaluator.evaluate(archs)
        for evaluation in evaluations:
            if evaluation.error is not None or self._metric not in evaluation.values:
                reason = evaluation.error or "the evaluator does not give it"
                raise EvaluatorError(f"no {self._metric!r} of arch {evaluation.arch.key}: {reason}")
        values = np.array([evaluation.values[self._metric] for evaluation in evaluations], dtype=np.float64)
        return Prediction(values, np.zeros(len(values)), values, values)
