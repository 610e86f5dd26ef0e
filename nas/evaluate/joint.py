"""Evaluators that need no weights, and the one that joins several into one."""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import ConfigError, EvaluatorError
from nas.evaluate.evaluator import Evaluator
from nas.types import Evaluation
from predictors.predictor import Predictor
from searchspaces.cost import cost
from searchspaces.space import Arch, SearchSpace


class LatencyEvaluator:
    """Predicted latency on the predictor's device, in ms: the mean and the ends of its 90 % interval."""

    metrics = ("latency_ms", "latency_low_ms", "latency_high_ms")

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator. Raises NotFittedError."""
        if not archs:
            return []
        prediction = self._predictor.predict(archs)
        columns = zip(
            prediction.mean.tolist(), prediction.low.tolist(), prediction.high.tolist(), strict=True
        )
        return [
            Evaluation(arch, dict(zip(self.metrics, values, strict=True)))
            for arch, values in zip(archs, columns, strict=True)
        ]


class CostEvaluator:
    """Closed-form costs of a subnet for one image: MACs, parameters and peak memory in bytes."""

    metrics = ("macs", "params", "peak_memory_bytes")

    def __init__(self, space: SearchSpace, *, in_channels: int, n_classes: int) -> None:
        self._space = space
        self._in_channels = in_channels
        self._n_classes = n_classes

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator."""
        costs = [
            cost(self._space.decode(arch), in_channels=self._in_channels, n_classes=self._n_classes)
            for arch in archs
        ]
        return [
            Evaluation(arch, {metric: float(getattr(c, metric)) for metric in self.metrics})
            for arch, c in zip(archs, costs, strict=True)
        ]


class JointEvaluator:
    """Several evaluators over the same archs, run in the order given, their values merged.

    An arch that one of them cannot evaluate keeps that error and is not given to those after
    it, so the cheap ones belong first. Raises ConfigError when two give the same metric.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self._evaluators = tuple(evaluators)
        self.metrics = tuple(metric for evaluator in evaluators for metric in evaluator.metrics)
        twice = sorted({metric for metric in self.metrics if self.metrics.count(metric) > 1})
        if twice:
            raise ConfigError(f"two evaluators give the metric {twice[0]!r}; each must come from one")

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        """See Evaluator. Raises EvaluatorError when one returns other archs than it was given."""
        merged = [Evaluation(arch) for arch in archs]
        for evaluator in self._evaluators:
            sound = [i for i, evaluation in enumerate(merged) if evaluation.error is None]
            results = evaluator.evaluate([archs[i] for i in sound])
            if [result.arch for result in results] != [archs[i] for i in sound]:
                raise EvaluatorError(
                    f"{type(evaluator).__name__} returned {len(results)} evaluations for {len(sound)} "
                    "archs, or returned them in another order"
                )
            for i, result in zip(sound, results, strict=True):
                values = {} if result.error else {**merged[i].values, **result.values}
                merged[i] = Evaluation(archs[i], values, result.error)
        return merged
