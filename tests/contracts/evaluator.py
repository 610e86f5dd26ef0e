"""The contract of nas.evaluate.evaluator.Evaluator. Subclass it; give ``evaluator`` and ``archs``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from nas.evaluate.evaluator import Evaluator
from searchspaces.space import Arch


class EvaluatorContract:
    """What every Evaluator does with at least three distinct sound archs."""

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        raise NotImplementedError

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        raise NotImplementedError

    def test_one_evaluation_per_arch_in_order(self, evaluator: Evaluator, archs: Sequence[Arch]) -> None:
        for order in (list(archs), list(archs)[::-1], [archs[0], archs[0]]):
            assert [evaluation.arch for evaluation in evaluator.evaluate(order)] == order

    def test_no_archs_give_no_evaluations(self, evaluator: Evaluator) -> None:
        assert evaluator.evaluate([]) == []

    def test_every_metric_has_a_finite_value(self, evaluator: Evaluator, archs: Sequence[Arch]) -> None:
        assert len(set(evaluator.metrics)) == len(evaluator.metrics) > 0
        for evaluation in evaluator.evaluate(archs):
            assert evaluation.error is None
            assert set(evaluation.values) == set(evaluator.metrics)
            assert all(type(value) is float for value in evaluation.values.values())
            assert all(math.isfinite(value) for value in evaluation.values.values())

    def test_values_do_not_depend_on_the_company(self, evaluator: Evaluator, archs: Sequence[Arch]) -> None:
        together = evaluator.evaluate(archs)
        alone = [evaluator.evaluate([arch])[0] for arch in archs]
        for a, b in zip(together, alone, strict=True):
            assert dict(a.values) == pytest.approx(dict(b.values), rel=1e-6)
