"""Gaussian processes over feature views, their evidence, and their posterior at fixed candidates.

Kernel: ``variance * (matern52(|x - x'| / length) + linear * x . x')`` with relative noise;
mean 0 for standardised targets. The variance is profiled out of the evidence (Rasmussen &
Williams 2006, chapters 4 and 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from nas.pareto import FloatArray, IntArray

LENGTHS = (0.5, 1.0, 2.0, 4.0)  # in units of a view's typical distance
LINEAR = (0.0, 1.0)
NOISES = (1e-3, 1e-2, 5e-2, 0.2)  # relative to the signal variance
FLOOR = 1e-10
SCREENING_POINTS = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """One Gaussian process: a view and its hyperparameters."""

    view: str
    length: float
    linear: float
    noise: float
    variance: float


def evidences(view: str, x: FloatArray, targets: FloatArray) -> list[tuple[list[Setting], FloatArray]]:
    """For each kernel on this view: a setting per column of ``targets`` (n, t) and their log evidences (t,).

    ``x`` is (n, d); targets are standardised. One eigendecomposition serves all noises and targets.
    """
    found = []
    n = len(x)
    gram, squares = _products(x, x)
    for length in LENGTHS:
        stationary = _matern52(squares / length**2)
        for linear in LINEAR:
            values, vectors = np.linalg.eigh(stationary + linear * gram)
            projected = np.square(vectors.T @ targets)
            for noise in NOISES:
                spectrum = np.maximum(values, 0.0) + noise
                variance = np.maximum((projected / spectrum[:, None]).mean(axis=0), FLOOR)
                evidence = -0.5 * n * np.log(variance) - 0.5 * np.log(spectrum).sum()
                settings = [Setting(view, length, linear, noise, float(v)) for v in variance]
                found.append((settings, evidence))
    return found


class CandidateGP:
    """The posterior of one setting at all candidates (N, d), conditioned on told points one by one."""

    def __init__(
        self,
        setting: Setting,
        candidates: FloatArray,
        told: FloatArray,
        targets: FloatArray,
        *,
        screening: bool = False,
    ) -> None:
        """``told`` (n, d) holds the features of the points with standardised ``targets`` (n,).

        With ``screening`` the variance is that given some of the told points only. More points never
        raise it, so it is an upper bound; the mean is exact.
        """
        self._setting = setting
        self._candidates = candidates
        noise = setting.noise * np.eye(len(told))
        factor = np.linalg.cholesky(self._kernel(told, told) + noise)
        cross = self._kernel(told, candidates)
        weights = solve_triangular(factor, solve_triangular(factor, targets, lower=True), lower=True, trans=1)
        self.mean: FloatArray = weights @ cross
        if screening and len(told) > SCREENING_POINTS:
            some = np.linspace(0, len(told) - 1, SCREENING_POINTS).astype(np.int64)
            cross = cross[some]
            factor = np.linalg.cholesky(self._kernel(told[some], told[some]) + noise[some][:, some])
        # Rows of the whitened cross-covariance: k(c, c') - rows[:, c] . rows[:, c'] is the posterior.
        self._rows = solve_triangular(factor, cross, lower=True, check_finite=False)
        prior = 1.0 + setting.linear * np.square(candidates).sum(axis=1)
        self._variance = np.maximum(prior - np.square(self._rows).sum(axis=0), FLOOR)

    @property
    def variance(self) -> FloatArray:
        """Posterior variance (N,) of an *evaluation*, in units of the targets squared.

        What the features do not explain is no measurement error: an arch keeps it when it is
        evaluated, and it may lie on the front because of it. So noise counts as promise.
        """
        return np.asarray(self._setting.variance * (self._variance + self._setting.noise))

    def keep(self, index: IntArray) -> None:
        """Go on with these candidates only."""
        self._candidates, self._rows = self._candidates[index], self._rows[:, index]
        self.mean, self._variance = self.mean[index], self._variance[index]

    def believe(self, index: int, value: float) -> None:
        """Condition on candidate ``index`` having this standardised value (a fantasy)."""
        here = self._candidates[[index]]
        covariance = self._kernel(here, self._candidates)[0] - self._rows[:, index] @ self._rows
        spread = np.sqrt(self._variance[index] + self._setting.noise)
        row = covariance / spread
        self.mean = self.mean + row * (value - self.mean[index]) / spread
        self._variance = np.maximum(self._variance - np.square(row), FLOOR)
        self._rows = np.vstack([self._rows, row])

    def _kernel(self, a: FloatArray, b: FloatArray) -> FloatArray:
        gram, squares = _products(a, b)
        kernel = _matern52(squares / self._setting.length**2)
        if self._setting.linear:
            kernel += self._setting.linear * gram
        return kernel


def _products(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inner products and squared distances, each (len(a), len(b))."""
    gram = a @ b.T
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :] - 2.0 * gram
    return gram, np.maximum(squares, 0.0)


def _matern52(half_squares: FloatArray) -> FloatArray:
    """Matérn 5/2 of squared distances in units of two squared lengths (n, n)."""
    distance = np.sqrt(2.5 * half_squares)
    return np.asarray((1.0 + distance + np.square(distance) / 3.0) * np.exp(-distance))
