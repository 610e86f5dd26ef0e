"""Measure how well estimates order what is known: correlations, bootstrap intervals, regret."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from nas.errors import FidelityError
from nas.fidelity.report import Agreement, FidelityReport, Interval

FloatArray = NDArray[np.float64]
MIN_SUBNETS = 3
MAX_RESAMPLES = 100_000
COVERAGE = 0.95  # of the bootstrap intervals


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about: the fields that no number decides."""

    space: str
    supernet: str
    metric: str
    truth: str


def fidelity(
    estimates: Sequence[float] | FloatArray,
    truth: Sequence[float] | FloatArray,
    proxies: Mapping[str, Sequence[float] | FloatArray],
    *,
    subject: Subject,
    seed: int = 0,
    resamples: int = 1000,
) -> FidelityReport:
    """Compare estimates (n,) with true accuracies (n,) of the same subnets, both higher is better.

    Subnets are resampled with replacement for the intervals; a resample in which one side is
    constant has no correlation and is drawn again. Of equal estimates the first counts as the
    top choice. Raises FidelityError, which names field and value, for fewer than 3 subnets,
    lengths that differ, a value that is not finite, a side that is constant, true accuracies
    outside [0, 1], a negative seed or a number of resamples out of range.
    """
    if not 1 <= resamples <= MAX_RESAMPLES:
        raise FidelityError(f"resamples must lie in 1..{MAX_RESAMPLES}; got {resamples}")
    if seed < 0:
        raise FidelityError(f"seed must be at least 0; got {seed}")
    true = _checked("truth", truth, len(truth))
    mine = _checked("estimates", estimates, len(true))
    if true.min() < 0 or true.max() > 1:
        outside = true.min() if true.min() < 0 else true.max()
        raise FidelityError(f"truth must hold accuracies in [0, 1]; got {outside:g}")
    others = {name: _checked(f"proxies[{name!r}]", values, len(true)) for name, values in proxies.items()}
    overall = agreement(mine, true)
    return FidelityReport(
        space=subject.space,
        supernet=subject.supernet,
        subnets=len(true),
        metric=subject.metric,
        truth=subject.truth,
        spearman=overall.spearman,
        kendall_tau=overall.kendall_tau,
        interval=_bootstrap(mine, true, seed, resamples),
        top_regret=float(true.max() - true[mine.argmax()]),
        seed=seed,
        resamples=resamples,
        proxies={name: agreement(values, true) for name, values in others.items()},
    )


def agreement(estimates: FloatArray, truth: FloatArray) -> Agreement:
    """Spearman and Kendall tau-b of two arrays (n,), neither of them constant."""
    return Agreement(
        float(spearmanr(estimates, truth).statistic), float(kendalltau(estimates, truth).statistic)
    )


def _checked(field_name: str, values: Sequence[float] | FloatArray, n: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) != n:
        raise FidelityError(f"{field_name} must have the length of truth, {n}; got shape {array.shape}")
    if n < MIN_SUBNETS:
        raise FidelityError(f"{field_name} must have at least {MIN_SUBNETS} values; got {n}")
    for index, value in enumerate(array.tolist()):
        if not math.isfinite(value):
            raise FidelityError(f"{field_name}[{index}] must be a finite number; got {value}")
    if np.ptp(array) == 0:
        raise FidelityError(f"{field_name} must not be constant, or nothing is ranked; all are {array[0]:g}")
    return array


def _bootstrap(estimates: FloatArray, truth: FloatArray, seed: int, resamples: int) -> Interval:
    rng = np.random.default_rng([seed, len(truth)])
    drawn: list[Agreement] = []
    while len(drawn) < resamples:
        chosen = rng.integers(len(truth), size=len(truth))
        if np.ptp(estimates[chosen]) > 0 and np.ptp(truth[chosen]) > 0:
            drawn.append(agreement(estimates[chosen], truth[chosen]))
    return Interval(
        spearman=_ends([one.spearman for one in drawn]), kendall_tau=_ends([one.kendall_tau for one in drawn])
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
