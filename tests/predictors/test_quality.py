from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.errors import InvalidValueError
from predictors.predictor import Prediction
from predictors.quality import cross_validate, evaluate_predictor, quality_of
from searchspaces.space import Arch
from tests.contracts.predictor import sample_archs
from tests.predictors.fakes import SPACE


def prediction(mean: Sequence[float], width: float = 0.5) -> Prediction:
    centre = np.array(mean, dtype=np.float64)
    return Prediction(centre, np.full_like(centre, width), centre - width, centre + width)


def test_values_by_hand() -> None:
    quality = quality_of(prediction([1.0, 2.1, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]), n_train=9)
    assert quality.spearman == pytest.approx(0.8)
    assert quality.kendall_tau == pytest.approx(2 / 3)
    assert quality.mape == pytest.approx((0 + 0.05 + 1 / 3 + 0.25) / 4)
    assert quality.within_10 == 0.5
    assert quality.coverage_90 == 0.5
    assert (quality.n_train, quality.n_test) == (9, 4)


def test_constant_predictions_rank_nothing() -> None:
    quality = quality_of(prediction([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]), n_train=1)
    assert (quality.spearman, quality.kendall_tau) == (0.0, 0.0)


def test_one_target_is_too_few() -> None:
    with pytest.raises(InvalidValueError, match="at least 2"):
        quality_of(prediction([1.0]), np.array([1.0]), n_train=1)


class Memory:
    """Knows exactly what it was fitted to, and says 1 otherwise."""

    def __init__(self) -> None:
        self.known: dict[Arch, float] = {}

    def fit(self, archs: Sequence[Arch], targets: NDArray[np.float64]) -> None:
        self.known = dict(zip(archs, targets, strict=True))

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        return prediction([self.known.get(arch, 1.0) for arch in archs])


def test_cross_validation_never_shows_a_target_to_its_fit() -> None:
    archs = sample_archs(SPACE, 25)
    twice = archs + archs  # equal archs must fall into one fold
    targets = np.linspace(2.0, 3.0, 50)
    quality = cross_validate(Memory, twice, targets)
    assert quality.spearman == 0.0
    assert quality.mape == pytest.approx(np.mean((targets - 1) / targets))
    assert (quality.n_train, quality.n_test) == (40, 50)
    memory = Memory()
    memory.fit(archs, targets[:25])
    assert evaluate_predictor(memory, archs, targets[:25], n_train=25).spearman == pytest.approx(1.0)


@pytest.mark.parametrize("folds", [1, 6])
def test_folds_out_of_range_are_refused(folds: int) -> None:
    with pytest.raises(InvalidValueError, match=r"2\.\.5"):
        cross_validate(Memory, sample_archs(SPACE, 5), np.ones(5), folds=folds)
