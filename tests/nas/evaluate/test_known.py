"""Metrics of cheap evaluators are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from nas.errors import EvaluatorError
from nas.evaluate.joint import CostEvaluator
from nas.evaluate.known import ExactPredictor
from searchspaces.registry import get_space
from tests.contracts.toy import ToyEvaluator, toy_space


def test_values_are_those_of_the_evaluator() -> None:
    space = get_space("hybrid-tiny")
    archs = [space.extreme(largest=False), space.extreme(largest=True)]
    evaluator = CostEvaluator(space, in_channels=1, n_classes=10)
    prediction = ExactPredictor(evaluator, "params").predict(archs)
    assert prediction.mean.tolist() == [e.values["params"] for e in evaluator.evaluate(archs)]
    assert prediction.std.tolist() == [0.0, 0.0]
    assert prediction.low.tolist() == prediction.high.tolist() == prediction.mean.tolist()


def test_what_it_cannot_give_is_named() -> None:
    space = toy_space(2)
    arch = space.extreme(largest=True)
    with pytest.raises(EvaluatorError, match="macs"):
        ExactPredictor(ToyEvaluator(space), "macs").predict([arch])
    with pytest.raises(EvaluatorError, match="does not build"):
        ExactPredictor(ToyEvaluator(space, frozenset([arch.key])), "top1").predict([arch])
    with pytest.raises(TypeError, match="top1"):
        ExactPredictor(ToyEvaluator(space), "top1").fit([arch], np.ones(1))
