"""Supernets held against the truth: where truth comes from, what is refused, what is reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.load import ImageData, load_data
from nas.errors import FidelityError
from nas.evaluate.accuracy import SupernetEvaluator, calibration_images
from nas.evaluate.evaluator import Evaluator
from nas.evaluate.likelihood import LikelihoodEvaluator
from nas.fidelity.check import check_ranking
from nas.fidelity.report import FidelityReport
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from nas.fidelity.truth import Truth, read_truth, sees_input
from nas.supernet.supernet import Supernet
from nas.types import Evaluation
from searchspaces.errors import TableError
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from tests.contracts.evaluator import EvaluatorContract

SPACE = get_space("nasbench201-c4-n1-r8")
TINY = get_space("hybrid-tiny")


def write_table(path: Path, space: SearchSpace, *, n: int = 60) -> Path:
    rng = np.random.default_rng(0)
    choices = [{"name": choice.name, "values": list(choice.values)} for choice in space.choices]
    genes = rng.integers(0, [len(choice.values) for choice in space.choices], (n, len(choices)))
    np.savez(path, genes=genes.astype(np.int16), choices=json.dumps(choices), top1_cifar10=rng.random(n))
    return path


class ByParameters:
    """An evaluator that finds larger networks better, and cannot evaluate those in ``broken``."""

    metrics = ("top1",)

    def __init__(self, broken: Sequence[Arch] = ()) -> None:
        self.broken = broken

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation]:
        return [
            Evaluation(arch, error="too odd")
            if arch in self.broken
            else Evaluation(arch, {"top1": float(sum(arch.genes))})
            for arch in archs
        ]


def check(evaluator: Evaluator, truth: Truth, metric: str = "top1") -> FidelityReport:
    return check_ranking(
        evaluator, truth, SPACE, supernet="s", metric=metric, in_channels=3, n_classes=10, resamples=20
    )


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=100)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(TINY, n_classes=10, in_channels=1).eval()


class TestLikelihoodEvaluator(EvaluatorContract):
    """The contract, on an untrained supernet."""

    @pytest.fixture
    def evaluator(self, data: ImageData, supernet: Supernet) -> Evaluator:
        return LikelihoodEvaluator(supernet, data.val, calibration_images(data.train, n=32))

    @pytest.fixture
    def archs(self) -> Sequence[Arch]:
        return [TINY.sample(np.random.default_rng(seed)) for seed in range(3)]

    def test_top1_is_that_of_the_search(
        self, evaluator: Evaluator, archs: Sequence[Arch], data: ImageData, supernet: Supernet
    ) -> None:
        search = SupernetEvaluator(supernet, data.val, calibration_images(data.train, n=32)).evaluate(archs)
        for mine, other in zip(evaluator.evaluate(archs), search, strict=True):
            assert mine.values["top1"] == other.values["top1"]
            assert mine.values["log_likelihood"] < 0

    def test_an_arch_of_another_space_gets_an_error(self, evaluator: Evaluator) -> None:
        assert evaluator.evaluate([SPACE.extreme(largest=True)])[0].error


def test_a_table_gives_distinct_seeded_subnets_that_see_their_input(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz", SPACE, n=400)
    truth = read_truth(path, SPACE, subnets=150, seed=1)
    assert (
        truth == read_truth(path, SPACE, subnets=150, seed=1) != read_truth(path, SPACE, subnets=150, seed=2)
    )
    assert len(truth.archs) == len(truth.top1) == 150
    assert all(sees_input(SPACE, arch) for arch in truth.archs)
    assert "t.npz" in truth.source


def test_a_cell_without_a_path_does_not_see_its_input() -> None:
    assert not sees_input(SPACE, SPACE.arch([0, 0, 3, 0, 3, 3]))
    assert sees_input(SPACE, SPACE.arch([1, 0, 1, 0, 0, 1]))
    assert sees_input(TINY, TINY.extreme(largest=False))


def test_more_subnets_than_the_table_holds_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz", SPACE, n=20)
    with pytest.raises(FidelityError, match=r"t\.npz: subnets must be at most \d+.*got 500"):
        read_truth(path, SPACE, subnets=500, seed=0)


def test_a_table_of_another_space_or_data_set_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.npz", SPACE)
    with pytest.raises(TableError, match="nats-size@1"):
        read_truth(path, get_space("nats-size"), subnets=5, seed=0)
    with pytest.raises(FidelityError, match=r"no accuracies on 'svhn'; there are \['cifar10'\]"):
        read_truth(path, SPACE, subnets=5, seed=0, dataset="svhn")


def test_runs_are_truth_for_their_own_space_only(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    archs = [TINY.sample(np.random.default_rng(seed)) for seed in range(4)]
    runs = StandaloneRuns(TINY.id, {"epochs": 3, "train_images": 100})
    for i, arch in enumerate(archs):
        runs = runs.with_run(StandaloneRun(arch.key, arch.genes, i / 10, 1.0, 1, 1, 1))
    runs.save(path)
    truth = read_truth(path, TINY, subnets=500, seed=0)
    assert truth.archs == tuple(archs)
    assert truth.top1 == (0.0, 0.1, 0.2, 0.3)
    assert "3 epochs" in truth.source
    with pytest.raises(FidelityError, match=r"hybrid-tiny@1.*nasbench201"):
        read_truth(path, SPACE, subnets=500, seed=0)


def test_a_ranking_is_reported_with_progress(tmp_path: Path) -> None:
    truth = read_truth(write_table(tmp_path / "t.npz", SPACE), SPACE, subnets=10, seed=0)
    perfect = Truth(truth.archs, tuple(sum(arch.genes) / 100 for arch in truth.archs), "made up")
    seen: list[tuple[int, int]] = []
    found = check_ranking(
        ByParameters(),
        perfect,
        SPACE,
        supernet="s",
        metric="top1",
        in_channels=3,
        n_classes=10,
        resamples=20,
        report=lambda *counts: seen.append(counts),
    )
    assert found.spearman == pytest.approx(1)
    assert (found.top_regret, found.truth) == (0, "made up")
    assert set(found.proxies) == {"params", "macs"}
    assert seen[0] == (0, 10)
    assert seen[-1] == (10, 10)


def test_a_subnet_without_an_estimate_and_an_unknown_metric_are_refused(tmp_path: Path) -> None:
    truth = read_truth(write_table(tmp_path / "t.npz", SPACE), SPACE, subnets=10, seed=0)
    with pytest.raises(FidelityError, match=rf"{truth.archs[3].key} has no estimate: too odd"):
        check(ByParameters([truth.archs[3]]), truth)
    with pytest.raises(FidelityError, match=r"metric must be one of \('top1',\); got 'luck'"):
        check(ByParameters(), truth, metric="luck")
