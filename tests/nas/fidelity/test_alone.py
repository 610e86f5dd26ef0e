from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.errors import FidelityError
from nas.fidelity.alone import FILE, alone_in, can_be_fitted, predictor_of_runs
from nas.fidelity.runs import StandaloneRun, StandaloneRuns
from predictors.accuracy.predictor import AccuracyPredictor
from predictors.errors import CorruptFitError
from searchspaces.cost import cost
from searchspaces.registry import get_space
from searchspaces.space import Arch
from tests.contracts.predictor import sample_archs

SPACE = get_space("hybrid-tiny")


def reached(arch: Arch) -> float:
    """An accuracy that grows with the cost."""
    macs = cost(SPACE.decode(arch), in_channels=1, n_classes=10).macs
    return float(np.clip(0.1 * np.log(macs) - 0.9, 0.05, 0.95))


def runs_of(archs: list[Arch]) -> StandaloneRuns:
    found = tuple(StandaloneRun(arch.key, arch.genes, reached(arch), 1.0, 1, 1, 1) for arch in archs)
    return StandaloneRuns(SPACE.id, {"epochs": 3, "train_images": 100}, found)


def test_runs_in_a_folder_rank_other_subnets(tmp_path: Path) -> None:
    assert alone_in(tmp_path, SPACE) is None
    runs_of(sample_archs(SPACE, 40)).save(tmp_path / FILE)
    found = alone_in(tmp_path, SPACE)
    assert found is not None
    assert len(found.runs.runs) == 40
    others = sample_archs(SPACE, 60, seed=5)
    truth = np.array([reached(arch) for arch in others])
    assert np.corrcoef(found.predictor.predict(others).mean, truth)[0, 1] > 0.8
    assert found.predictor.quality is not None


@pytest.mark.parametrize("name", ["accuracy", "likelihood"])
def test_a_predictor_in_the_folder_has_a_part_in_it(name: str, tmp_path: Path) -> None:
    archs = sample_archs(SPACE, 60)
    lower = AccuracyPredictor(SPACE)
    lower.fit(archs, np.array([reached(arch) / 2 for arch in archs]))
    lower.save(tmp_path / name)
    runs_of(archs[:6]).save(tmp_path / FILE)
    found = alone_in(tmp_path, SPACE)
    assert found is not None
    others = sample_archs(SPACE, 60, seed=5)
    truth = np.array([reached(arch) for arch in others])
    without = predictor_of_runs(found.runs, SPACE)
    agreement = [np.corrcoef(one.predict(others).mean, truth)[0, 1] for one in (found.predictor, without)]
    assert agreement[0] > max(0.8, agreement[1])


def test_what_cannot_be_fitted_is_refused_by_name(tmp_path: Path) -> None:
    runs = runs_of(sample_archs(SPACE, 6))
    few, zero = replace(runs, runs=runs.runs[:4]), replace(runs.runs[0], top1=0.0)
    assert can_be_fitted(runs)
    assert not can_be_fitted(few)
    for bad, message in (
        (few, r"standalone\.json: must hold at least 5 subnets trained alone; got 4"),
        (replace(runs, space="nats-size@1"), r"standalone\.json: holds subnets of space nats-size@1"),
        (replace(runs, runs=(zero, *runs.runs[1:])), r"top1 of arch \w+ must lie in \(0, 1\]; got 0\.0"),
    ):
        bad.save(tmp_path / FILE)
        with pytest.raises(FidelityError, match=message):
            alone_in(tmp_path, SPACE)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(FidelityError, match=r"standalone\.json"):
        alone_in(tmp_path, SPACE)
    runs.save(tmp_path / FILE)
    (tmp_path / "accuracy").mkdir()
    with pytest.raises(CorruptFitError):
        alone_in(tmp_path, SPACE)
