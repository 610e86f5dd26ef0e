"""Gaussian processes over feature views, their evidence, and their posterior at fixed candidates.

Kernel: ``variance * (matern52(|x - x'| / length) + linear * x . x')`` with relative noise;
mean 0 for standardised targets. The variance is profiled out of the evidence (Rasmussen &
Williams 2006, chapters 4 and 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from nas.pareto import FloatArray

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


class ConditionedGP:
    """One setting conditioned on told points: the work that all candidates share."""

    def __init__(self, setting: Setting, told: FloatArray, targets: FloatArray) -> None:
        """``told`` (n, d) holds the features of the points with standardised ``targets`` (n,)."""
        self.setting = setting
        self._told = told
        self._factor = self._cholesky(told)
        half = solve_triangular(self._factor, targets, lower=True)
        self._weights = solve_triangular(self._factor, half, lower=True, trans=1)
        self._some = np.linspace(0, len(told) - 1, min(len(told), SCREENING_POINTS)).astype(np.int64)
        self._screen = self._cholesky(told[self._some])

    def at(self, candidates: FloatArray, *, screening: bool = False) -> CandidateGP:
        """The posterior at candidates (N, d).

        With ``screening`` the variance is that given some of the told points only. More points never
        raise it, so it is an upper bound; the mean is exact.
        """
        cross = kernel(self.setting, self._told, candidates)
        mean = self._weights @ cross
        factor = self._screen if screening else self._factor
        rows = solve_triangular(factor, cross[self._some] if screening else cross, lower=True)
        return CandidateGP(self.setting, candidates, mean, rows)

    def _cholesky(self, points: FloatArray) -> FloatArray:
        covariance = kernel(self.setting, points, points) + self.setting.noise * np.eye(len(points))
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


class CandidateGP:
    """The posterior of a Gaussian process at fixed candidates, which can be conditioned further."""

    def __init__(self, setting: Setting, candidates: FloatArray, mean: FloatArray, rows: FloatArray) -> None:
        """``rows`` (n, N) is the whitened cross-covariance.

        The posterior covariance of c and c' is k(c, c') - rows[:, c] . rows[:, c'].
        """
        self._setting = setting
        self._candidates = candidates
        self.mean = mean
        self._rows = rows
        prior = 1.0 + setting.linear * np.square(candidates).sum(axis=1)
        self._variance = np.maximum(prior - np.square(rows).sum(axis=0), FLOOR)

    @property
    def variance(self) -> FloatArray:
        """Posterior variance (N,) of an *evaluation*, in units of the targets squared.

        What the features do not explain is no measurement error: an arch keeps it when it is
        evaluated, and it may lie on the front because of it. So noise counts as promise.
        """
        return np.asarray(self._setting.variance * (self._variance + self._setting.noise))

    def believe(self, index: int, value: float) -> None:
        """Condition on candidate ``index`` having this standardised value (a fantasy)."""
        here = self._candidates[[index]]
        covariance = kernel(self._setting, here, self._candidates)[0] - self._rows[:, index] @ self._rows
        spread = np.sqrt(self._variance[index] + self._setting.noise)
        row = covariance / spread
        self.mean = self.mean + row * (value - self.mean[index]) / spread
        self._variance = np.maximum(self._variance - np.square(row), FLOOR)
        self._rows = np.vstack([self._rows, row])


def kernel(setting: Setting, a: FloatArray, b: FloatArray) -> FloatArray:
    """The kernel, without variance and noise, of features (n, d) and (N, d): (n, N)."""
    gram, squares = _products(a, b)
    stationary = _matern52(squares / setting.length**2)
    return stationary + setting.linear * gram if setting.linear else stationary


def _products(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inner products and squared distances, each (len(a), len(b))."""
    gram = a @ b.T
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :] - 2.0 * gram
    return gram, np.maximum(squares, 0.0)


def _matern52(half_squares: FloatArray) -> FloatArray:
    """Matérn 5/2 of squared distances in units of two squared lengths (n, n)."""
    distance = np.sqrt(2.5 * half_squares)
    return np.asarray((1.0 + distance + np.square(distance) / 3.0) * np.exp(-distance))
