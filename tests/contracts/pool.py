"""The contract of nas.evaluate.evaluator.EvaluationPool. Subclass it; give ``pool``.

The pool runs ``PoolToy``; it may be shared by the tests of a class, so no test closes it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.errors import EvaluatorError
from nas.evaluate.evaluator import EvaluationPool
from nas.types import Evaluation
from searchspaces.space import Arch
from tests.contracts.toy import toy_space, toy_values

SPACE = toy_space()
ARCHS = tuple(SPACE.archs())
BAD, BROKEN, DEADLY, DEADLY_ONCE = ARCHS[50], ARCHS[51], ARCHS[52], ARCHS[53]


class PoolToy:
    """Toy evaluator that fails in each of the ways an evaluator can fail, depending on the arch."""

    metrics = ("top1", "latency_ms", "weight", "writeable")

    def __init__(self, arrays: Mapping[str, NDArray[Any]], mark: Path) -> None:
        self._weights, self._mark = arrays["weights"], mark

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return [self._evaluate(arch) for arch in archs]

    def _evaluate(self, arch: Arch) -> Evaluation:
        if arch == BAD:
            return Evaluation(arch, error="does not build")
        if arch == BROKEN:
            raise EvaluatorError("the validation images are gone")
        if arch == DEADLY or (arch == DEADLY_ONCE and not self._mark.exists()):
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        own = {
            "weight": float(self._weights.sum(dtype=np.float64)),
            "writeable": float(self._weights.flags.writeable),
        }
        return Evaluation(arch, {**toy_values(SPACE, arch), **own})


class PoolContract:
    """What every EvaluationPool does."""

    @pytest.fixture
    def pool(self) -> EvaluationPool:
        raise NotImplementedError

    def test_chunk_comes_back_in_order(self, pool: EvaluationPool) -> None:
        for archs in (ARCHS[:5], ARCHS[4::-1]):
            evaluations = pool.submit(archs).result()
            assert [evaluation.arch for evaluation in evaluations] == list(archs)
            for evaluation in evaluations:
                assert evaluation.values["top1"] == toy_values(SPACE, evaluation.arch)["top1"]

    def test_empty_chunk_is_empty(self, pool: EvaluationPool) -> None:
        assert pool.submit([]).result() == []

    def test_nothing_is_at_hand_that_was_not_stored(self, pool: EvaluationPool) -> None:
        pool.submit(ARCHS[:5]).result()
        assert pool.recall(ARCHS[:5]) == {}

    def test_more_chunks_than_capacity(self, pool: EvaluationPool) -> None:
        assert pool.capacity >= 1
        futures = [pool.submit([arch]) for arch in ARCHS[: 3 * pool.capacity + 1]]
        assert [future.result()[0].arch for future in futures] == list(ARCHS[: 3 * pool.capacity + 1])

    def test_bad_arch_is_an_evaluation(self, pool: EvaluationPool) -> None:
        good, bad = pool.submit([ARCHS[0], BAD]).result()
        assert good.error is None
        assert bad == Evaluation(BAD, error="does not build")

    def test_broken_evaluator_raises_and_the_pool_lives_on(self, pool: EvaluationPool) -> None:
        with pytest.raises(EvaluatorError, match="the validation images are gone"):
            pool.submit([ARCHS[0], BROKEN]).result()
        assert pool.submit(ARCHS[:1]).result()[0].error is None
