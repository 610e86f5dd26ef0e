"""An arch is evaluated once per supernet and protocol, across studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from nas.evaluate.chunks import evaluate_chunks
from nas.evaluate.evaluator import PROTOCOL
from nas.evaluate.inline_pool import InlinePool
from nas.evaluate.joint import JointEvaluator
from nas.evaluate.recall import ProtocolEvaluator, RecallingPool, protocol_number
from nas.types import Evaluation
from searchspaces.space import Arch
from tests.contracts.pool import PoolContract, PoolToy
from tests.contracts.toy import toy_space, toy_values

SPACE = toy_space()
ARCHS = list(SPACE.archs())[:8]


class Metric:
    """One metric of the toy; counts what it evaluates."""

    def __init__(self, metric: str, scale: float = 1.0) -> None:
        self.metrics = (metric,)
        self.scale = scale
        self.seen: list[Arch] = []

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        self.seen += archs
        return [
            Evaluation(a, {self.metrics[0]: self.scale * toy_values(SPACE, a)[self.metrics[0]]})
            for a in archs
        ]


def pool_over(stored: Mapping[Arch, Mapping[str, float]], latency: Metric, accuracy: Metric) -> RecallingPool:
    full = JointEvaluator([latency, ProtocolEvaluator(7.0), accuracy])
    return RecallingPool(
        InlinePool(full), lambda archs: {a: stored[a] for a in archs if a in stored}, [latency]
    )


def evaluated(pool: RecallingPool, archs: Sequence[Arch] = ARCHS) -> list[Evaluation]:
    found = dict(pair for ended in evaluate_chunks(archs, pool, lambda: False) for pair in ended)
    return [found[i] for i in range(len(archs))]


def test_only_what_is_not_stored_is_evaluated_and_cheap_values_are_this_studys() -> None:
    stored = {arch: {"top1": 0.5, PROTOCOL: 7.0} for arch in ARCHS[1:4]}
    latency, accuracy = Metric("latency_ms", scale=3.0), Metric("top1")
    pool = pool_over(stored, latency, accuracy)
    evaluations = evaluated(pool)
    assert [evaluation.arch for evaluation in evaluations] == ARCHS
    assert accuracy.seen == [arch for arch in ARCHS if arch not in stored]
    assert pool.n_recalled == 3
    for evaluation in evaluations:
        own = toy_values(SPACE, evaluation.arch)
        top1 = 0.5 if evaluation.arch in stored else own["top1"]
        expected = {"top1": top1, "latency_ms": 3 * own["latency_ms"], PROTOCOL: 7.0}
        assert evaluation == Evaluation(evaluation.arch, expected)


def test_stored_values_are_read_once_a_batch_and_come_before_any_chunk() -> None:
    reads: list[list[Arch]] = []

    def recall(archs: Sequence[Arch]) -> Mapping[Arch, Mapping[str, float]]:
        reads.append(list(archs))
        return {arch: {"top1": 0.5} for arch in archs[::2]}

    accuracy = Metric("top1")
    pool = RecallingPool(InlinePool(JointEvaluator([accuracy])), recall, [])
    steps = evaluate_chunks(ARCHS, pool, lambda: False)
    assert [i for i, _ in next(steps)] == [0, 2, 4, 6]
    assert accuracy.seen == []
    assert sorted(i for ended in steps for i, _ in ended) == [1, 3, 5, 7]
    assert reads == [ARCHS]


def test_a_batch_of_stored_archs_never_reaches_the_pool() -> None:
    class NoPool(InlinePool):
        def submit(self, archs: Sequence[Arch]) -> Future[list[Evaluation]]:
            raise AssertionError(archs)

    nothing = NoPool(JointEvaluator([Metric("top1")]))
    pool = RecallingPool(nothing, lambda archs: {arch: {"top1": 1.0} for arch in archs}, [])
    assert evaluated(pool) == [Evaluation(arch, {"top1": 1.0}) for arch in ARCHS]
    assert pool.capacity == 1


class TestRecallingPool(PoolContract):
    @pytest.fixture
    def pool(self, tmp_path) -> RecallingPool:  # type: ignore[no-untyped-def]
        toy = PoolToy({"weights": np.ones(3)}, tmp_path / "mark")
        return RecallingPool(InlinePool(toy), lambda _: {}, [])


def test_protocol_numbers_differ_with_every_image_weight_and_name() -> None:
    images, weights = np.zeros((2, 1, 8, 8), np.uint8), np.ones(3, np.float32)
    other = images.copy()
    other[0, 0, 0, 0] = 1
    variants = [
        {"data:images": images, "w": weights},
        {"data:images": other, "w": weights},
        {"data:images": images[:1], "w": weights},
        {"data:images": images.reshape(1, 2, 8, 8), "w": weights},
        {"data:images": images, "w": 2 * weights},
        {"data:images": images, "w": weights.astype(np.float64)},
        {"data:images": images, "v": weights},
    ]
    numbers = [protocol_number(arrays) for arrays in variants]
    assert len(set(numbers)) == len(variants)
    assert all(number == int(number) < 2**48 for number in numbers)
    assert protocol_number(dict(reversed(variants[0].items()))) == numbers[0]
