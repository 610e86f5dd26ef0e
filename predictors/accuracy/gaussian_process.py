"""A Gaussian process whose kernel is a sum over views of the input.

Each view v of the input (features x_v) adds ``a_v matern52(|x_v - x_v'| / l_v) + b_v x_v . x_v'``:
one that explains nothing gets a small a_v and b_v. Amplitudes, lengths and the noise maximise
evidence times a log-normal prior (Rasmussen and Williams 2006, equations 2.30, 4.17, 5.9), which
keeps them at sensible values while there are few targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

FloatArray = NDArray[np.float64]
Views = Sequence[FloatArray]
PER_VIEW = 3  # logarithms of a, l and b
PRIOR_SCALE = 1.5  # standard deviation of the logarithms about their starting values
NOISE_START = 0.05  # variance of the noise, relative to that of the targets
BOUND = 7.0  # of a logarithm's distance from its starting value
JITTER = 1e-8
FIT_POINTS = 400  # targets that hyperparameters are fitted to
ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class Posterior:
    """Standardised targets (n,) seen at points with these views, under these hyperparameters.

    ``logs`` (3 v + 1,) holds log a, log l, log b of each view, then the log of the noise's variance.
    """

    logs: FloatArray
    views: tuple[FloatArray, ...]
    factor: FloatArray  # (n, n), lower
    weights: FloatArray  # (n,)

    def predict(self, views: Views) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation (noise included), each (N,), at views of (N, d_v)."""
        cross = kernel(self.logs, self.views, views)
        mean = self.weights @ cross
        half = solve_triangular(self.factor, cross, lower=True)
        variance = prior_variance(self.logs, views) - np.square(half).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 0.0) + np.exp(self.logs[-1]))

    def leave_one_out(self, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What each target would be predicted as without it (equation 5.12): means and deviations (n,)."""
        precision = cho_solve((self.factor, True), np.eye(len(targets)))
        variance = 1.0 / np.diag(precision)
        return targets - self.weights * variance, np.sqrt(variance)


def condition(logs: FloatArray, views: Views, targets: FloatArray) -> Posterior:
    """The posterior under given hyperparameters."""
    n = len(targets)
    covariance = kernel(logs, views, views) + (np.exp(logs[-1]) + JITTER) * np.eye(n)
    factor = np.asarray(cholesky(covariance, lower=True), dtype=np.float64)
    return Posterior(logs, tuple(views), factor, np.asarray(cho_solve((factor, True), targets)))


def fit_hyperparameters(views: Views, targets: FloatArray) -> FloatArray:
    """The logs of ``Posterior`` that suit standardised targets (n,) best; n >= 2."""
    chosen = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), FIT_POINTS)).round().astype(int))
    search = _Evidence([view[chosen] for view in views], targets[chosen])
    start = search.start
    found = minimize(
        search,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(value - BOUND, value + BOUND) for value in start],
        options={"maxiter": ITERATIONS},
    )
    return np.asarray(found.x, dtype=np.float64)


def kernel(logs: FloatArray, left: Views, right: Views) -> FloatArray:
    """Covariance (n, N) without noise of points with views ``left`` (n, d_v) and ``right`` (N, d_v)."""
    total = np.zeros((len(left[0]), len(right[0])))
    for (a, length, b), x, y in zip(_parts(logs), left, right, strict=True):
        total += a * _matern52(_distances(x, y) / length) + b * (x @ y.T)
    return total


def prior_variance(logs: FloatArray, views: Views) -> FloatArray:
    """The diagonal (N,) of ``kernel(logs, views, views)``."""
    parts = zip(_parts(logs), views, strict=True)
    return np.asarray(np.sum([a + b * np.square(x).sum(axis=1) for (a, _, b), x in parts], axis=0))


class _Evidence:
    """The negative logarithm of evidence times prior, with its gradient."""

    def __init__(self, views: Views, targets: FloatArray) -> None:
        self._distances = [_distances(view, view) for view in views]
        self._grams = [view @ view.T for view in views]
        self._targets = targets
        share = 0.5 / len(views)
        self.start = np.log([*[share, 1.0, share] * len(views), NOISE_START])

    def __call__(self, logs: FloatArray) -> tuple[float, FloatArray]:
        n = len(self._targets)
        noise = np.exp(logs[-1])
        slopes, covariance = [], (noise + JITTER) * np.eye(n)
        for (a, length, b), distance, gram in zip(_parts(logs), self._distances, self._grams, strict=True):
            scaled = np.sqrt(5.0) * distance / length
            decay = a * np.exp(-scaled)
            stationary = decay * (1.0 + scaled + np.square(scaled) / 3.0)
            by_length = decay * np.square(scaled) * (1.0 + scaled) / 3.0
            slopes += [stationary, by_length, b * gram]
            covariance += stationary + b * gram
        factor = cho_factor(covariance, lower=True)
        precision = cho_solve(factor, np.eye(n))
        alpha = precision @ self._targets
        value = 0.5 * self._targets @ alpha + np.log(np.diag(factor[0])).sum()
        pull = precision - np.outer(alpha, alpha)
        gradient = [0.5 * float((pull * slope).sum()) for slope in slopes]
        gradient.append(0.5 * float(noise * np.trace(pull)))
        away = (logs - self.start) / PRIOR_SCALE
        return float(value + 0.5 * away @ away), np.array(gradient) + away / PRIOR_SCALE


def _parts(logs: FloatArray) -> FloatArray:
    """a, l and b of each view: (v, 3)."""
    return np.exp(logs[:-1]).reshape(-1, PER_VIEW)


def _distances(x: FloatArray, y: FloatArray) -> FloatArray:
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None, :] - 2.0 * x @ y.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def _matern52(distance: FloatArray) -> FloatArray:
    scaled = np.sqrt(5.0) * distance
    return np.asarray((1.0 + scaled + np.square(scaled) / 3.0) * np.exp(-scaled))
