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
    if len(targets) < 2:
        raise InvalidValueError(f"quality needs at least 2 held-out targets; got {len(targets)}")
    error = np.abs(prediction.mean - targets) / targets
    inside = (prediction.low <= targets) & (targets <= prediction.high)
    ranked = np.ptp(prediction.mean) > 0 and np.ptp(targets) > 0
    return Quality(
        spearman=float(spearmanr(prediction.mean, targets).statistic) if ranked else 0.0,
        kendall_tau=float(kendalltau(prediction.mean, targets).statistic) if ranked else 0.0,
        mape=float(error.mean()),
        within_10=float((error <= CLOSE).mean()),
        coverage_90=float(inside.mean()),
        n_train=n_train,
        n_test=len(targets),
    )


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
    """Quality from k-fold cross-validation, pooled: every arch is held out once.

    Equal archs share a fold, so that none is predicted by a fit that has seen it. ``n_train`` is
    the size of the smallest training set. Raises InvalidValueError for fewer distinct archs than
    folds.
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
    n_train = len(archs) - int(np.bincount(fold).max())
    return quality_of(Prediction(*parts), targets, n_train=n_train)
