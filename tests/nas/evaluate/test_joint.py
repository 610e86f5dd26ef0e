"""Evaluators of latency and cost, and the one that joins several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nas.errors import ConfigError, EvaluatorError
from nas.evaluate.joint import CostEvaluator, JointEvaluator, LatencyEvaluator
from nas.types import Evaluation
from predictors.predictor import FloatArray, Prediction
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.space import Arch
from tests.contracts.evaluator import EvaluatorContract
from tests.contracts.toy import ToyEvaluator, toy_space

HYBRID = get_space("hybrid-tiny")
HYBRID_ARCHS = tuple(HYBRID.sample(np.random.default_rng(i)) for i in range(4))
TOY = toy_space()
TOY_ARCHS = tuple(TOY.archs())[:5]


class GeneSum:
    """A predictor whose mean is one plus the sum of the genes."""

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        """Nothing to fit."""

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        mean = np.array([1.0 + sum(arch.genes) for arch in archs])
        return Prediction(mean, np.full(len(mean), 0.5), mean - 0.8, mean + 0.9)


class TestLatencyEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> LatencyEvaluator:
        return LatencyEvaluator(GeneSum())

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return TOY_ARCHS

    def test_mean_and_interval(self, evaluator: LatencyEvaluator) -> None:
        arch = TOY_ARCHS[3]
        mean = 1.0 + sum(arch.genes)
        assert evaluator.evaluate([arch]) == [
            Evaluation(
                arch, {"latency_ms": mean, "latency_low_ms": mean - 0.8, "latency_high_ms": mean + 0.9}
            )
        ]


class TestCostEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> CostEvaluator:
        return CostEvaluator(HYBRID, in_channels=1, n_classes=10)

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return HYBRID_ARCHS

    def test_values_are_the_closed_form(self, evaluator: CostEvaluator) -> None:
        expected = cost(HYBRID.decode(HYBRID_ARCHS[0]), in_channels=1, n_classes=10)
        values = evaluator.evaluate(HYBRID_ARCHS[:1])[0].values
        assert values["macs"] == expected.macs
        assert values["params"] == expected.params
        assert values["peak_memory_bytes"] == expected.peak_memory_bytes


class TestJointEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> JointEvaluator:
        return JointEvaluator(
            [CostEvaluator(HYBRID, in_channels=3, n_classes=2), LatencyEvaluator(GeneSum())]
        )

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return HYBRID_ARCHS

    def test_error_of_one_stands_and_spares_the_rest(self) -> None:
        class OnlyTop1(ToyEvaluator):
            metrics = ("top1",)  # type: ignore[assignment]

            def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
                return [
                    Evaluation(e.arch, {} if e.error else {"top1": e.values["top1"]}, e.error)
                    for e in super().evaluate(archs)
                ]

        class Counting(LatencyEvaluator):
            seen: tuple[Arch, ...] = ()

            def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
                self.seen += tuple(archs)
                return super().evaluate(archs)

        latency = Counting(GeneSum())
        joint = JointEvaluator([OnlyTop1(TOY, frozenset([TOY_ARCHS[1].key])), latency])
        good, bad = joint.evaluate(TOY_ARCHS[:2])
        assert set(good.values) == {"top1", "latency_ms", "latency_low_ms", "latency_high_ms"}
        assert bad == Evaluation(TOY_ARCHS[1], error="does not build")
        assert latency.seen == TOY_ARCHS[:1]

    def test_two_evaluators_of_one_metric_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="latency_ms"):
            JointEvaluator([LatencyEvaluator(GeneSum()), ToyEvaluator(TOY)])

    def test_evaluator_that_loses_archs_is_named(self) -> None:
        class Loses(LatencyEvaluator):
            def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
                return super().evaluate(archs)[1:]

        with pytest.raises(EvaluatorError, match="Loses returned 1 evaluations for 2"):
            JointEvaluator([Loses(GeneSum())]).evaluate(TOY_ARCHS[:2])
