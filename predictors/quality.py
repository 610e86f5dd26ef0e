"""How good a predictor is on subnets that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from predictors.errors import InvalidValueError
from predictors.predictor import Prediction, Predictor
from searchspaces.space import Arch

FloatArray = NDArray[np.float64]
CLOSE = 0.1


@dataclass(frozen=True, slots=True)
class Quality:
    """Agreement of predictions with measurements of ``n_test`` held-out subnets.

    Correlations are 0 where predictions or targets are all equal. ``mape`` is the mean absolute
    error over the target; ``within_10`` and ``coverage_90`` are shares of subnets in [0, 1]:
    within ±10 % of the target, and inside the 90 % interval.
    """

    spearman: float
    kendall_tau: float
    mape: float
    within_10: float
    coverage_90: float
    n_train: int
    n_test: int


def quality_of(prediction: Prediction, targets: FloatArray, *, n_train: int) -> Quality:
    """Compare predictions with targets (n,), n >= 2, positive.

    Raises InvalidValueError for fewer.
    """
    spearman, kendall_tau = rank_correlations(prediction.mean, targets)
    error = np.abs(prediction.mean - targets) / targets
    inside = (prediction.low <= targets) & (targets <= prediction.high)
    return Quality(
        spearman=spearman,
        kendall_tau=kendall_tau,
        mape=float(error.mean()),
        within_10=float((error <= CLOSE).mean()),
        coverage_90=float(inside.mean()),
        n_train=n_train,
        n_test=len(targets),
    )


def rank_correlations(predicted: FloatArray, targets: FloatArray) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b; both 0 where predictions or targets are all equal.

    Raises InvalidValueError for fewer than 2 targets.
    """
    if len(targets) < 2:
        raise InvalidValueError(f"quality needs at least 2 held-out targets; got {len(targets)}")
    if np.ptp(predicted) == 0 or np.ptp(targets) == 0:
        return 0.0, 0.0
    return float(spearmanr(predicted, targets).statistic), float(kendalltau(predicted, targets).statistic)


def evaluate_predictor(
    predictor: Predictor, archs: Sequence[Arch], targets: FloatArray, *, n_train: int
) -> Quality:
    """Quality of a fitted predictor on archs that it was not fitted to."""
    return quality_of(predictor.predict(archs), np.asarray(targets, dtype=np.float64), n_train=n_train)


def cross_validate(
    make: Callable[[], Predictor],
    archs: Sequence[Arch],
    targets: FloatArray,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Quality:
    """Quality from k-fold cross-validation, pooled; see ``cross_predict``."""
    predicted, n_train = cross_predict(make, archs, targets, folds=folds, seed=seed)
    return quality_of(predicted, np.asarray(targets, dtype=np.float64), n_train=n_train)


def cross_predict(
    make: Callable[[], Predictor],
    archs: Sequence[Arch],
    targets: FloatArray,
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[Prediction, int]:
    """Predictions of k-fold cross-validation, every arch held out once, and the smallest training set's size.

    Equal archs share a fold, so that none is predicted by a fit that has seen it. Raises
    InvalidValueError for fewer distinct archs than folds.
    """
    targets = np.asarray(targets, dtype=np.float64)
    distinct = list(dict.fromkeys(archs))
    if not 2 <= folds <= len(distinct):
        raise InvalidValueError(f"folds must lie in 2..{len(distinct)} (distinct archs); got {folds}")
    order = np.random.default_rng([seed, folds]).permutation(len(distinct))
    fold_of = {distinct[arch]: rank % folds for rank, arch in enumerate(order)}
    fold = np.array([fold_of[arch] for arch in archs])
    parts = np.zeros((4, len(archs)))
    for k in range(folds):
        train, test = np.flatnonzero(fold != k).tolist(), np.flatnonzero(fold == k).tolist()
        predictor = make()
        predictor.fit([archs[i] for i in train], targets[train])
        found = predictor.predict([archs[i] for i in test])
        parts[:, test] = found.mean, found.std, found.low, found.high
    return Prediction(*parts), len(archs) - int(np.bincount(fold).max())
