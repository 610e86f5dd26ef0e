"""How good an accuracy predictor is on subnets that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.predictor import Prediction
from predictors.quality import rank_correlations

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AccuracyQuality:
    """Agreement of predicted with evaluated accuracies of ``n_test`` held-out subnets.

    Correlations are 0 where predictions or targets are all equal. ``mae_points`` is the mean
    absolute error in percentage points, ``coverage_90`` the share inside the 90 % interval.
    """

    spearman: float
    kendall_tau: float
    mae_points: float
    coverage_90: float
    n_train: int
    n_test: int


def accuracy_quality(prediction: Prediction, targets: FloatArray, *, n_train: int) -> AccuracyQuality:
    """Compare predictions with accuracies (n,), fractions; raises InvalidValueError for fewer than 2."""
    spearman, kendall_tau = rank_correlations(prediction.mean, targets)
    inside = (prediction.low <= targets) & (targets <= prediction.high)
    return AccuracyQuality(
        spearman=spearman,
        kendall_tau=kendall_tau,
        mae_points=100 * float(np.abs(prediction.mean - targets).mean()),
        coverage_90=float(inside.mean()),
        n_train=n_train,
        n_test=len(targets),
    )
