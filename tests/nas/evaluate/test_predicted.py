from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nas.evaluate.evaluator import Evaluator
from nas.evaluate.predicted import PredictedAccuracyEvaluator
from predictors.accuracy.predictor import AccuracyPredictor
from predictors.errors import NotFittedError
from searchspaces.registry import get_space
from searchspaces.space import Arch
from tests.contracts.evaluator import EvaluatorContract
from tests.contracts.predictor import sample_archs

SPACE = get_space("hybrid-tiny")


class TestPredictedAccuracyEvaluator(EvaluatorContract):
    @pytest.fixture
    def evaluator(self) -> Evaluator:
        archs = sample_archs(SPACE, 30)
        predictor = AccuracyPredictor(SPACE)
        predictor.fit(archs, np.linspace(0.4, 0.8, 30))
        return PredictedAccuracyEvaluator(predictor)

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return sample_archs(SPACE, 4, seed=3)

    def test_ends_of_the_interval_enclose_the_accuracy(
        self, evaluator: Evaluator, archs: Sequence[Arch]
    ) -> None:
        for evaluation in evaluator.evaluate(archs):
            values = evaluation.values
            assert 0 <= values["top1_low"] <= values["top1"] <= values["top1_high"] <= 1


def test_an_unfitted_predictor_is_an_error() -> None:
    evaluator = PredictedAccuracyEvaluator(AccuracyPredictor(SPACE))
    with pytest.raises(NotFittedError):
        evaluator.evaluate(sample_archs(SPACE, 1))
