"""Gaussian processes of all configurations at once on a few samples, averaged by their evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.transfer.configurations import Configurations
from predictors.transfer.tables import FloatArray

PASSES = 6
OUTLIER = 2.0  # standard deviations of a leave-one-out error from which a sample is distrusted
NEGLIGIBLE = 1e-4  # share below which a configuration is left out


@dataclass(frozen=True, slots=True)
class Posterior:
    """Shares (c,) of the configurations; for each, ``alpha`` (c, n) and ``precision`` (c, n, n)."""

    shares: FloatArray
    alpha: FloatArray
    precision: FloatArray


def log_evidence(kernels: FloatArray, noise: FloatArray, y: FloatArray) -> FloatArray:
    """Log marginal likelihood (c,) up to a constant; kernels (c, n, n), noise variances (c, n)."""
    return _solve(kernels, noise, y)[0]


def average(
    kernels: FloatArray,
    configurations: Configurations,
    log_prior: FloatArray,
    level: FloatArray,
    y: FloatArray,
) -> Posterior:
    """Weigh the configurations by prior and evidence on y (n,), whose noise follows ``level`` (n,).

    Two robust passes: a sample whose leave-one-out error is beyond OUTLIER standard deviations gets
    as much more noise as would have made it plausible.
    """
    inflation = np.ones(len(y))
    for left in reversed(range(PASSES)):
        noise = np.square(configurations.noise[:, None] * level * np.sqrt(inflation))
        evidence, precision = _solve(kernels, noise, y)
        alpha = precision @ y
        shares = np.exp(evidence + log_prior - np.max(evidence + log_prior))
        shares /= shares.sum()
        if left:
            z = np.sqrt(shares @ (np.square(alpha) / np.diagonal(precision, axis1=1, axis2=2)))
            inflated = np.where(z > OUTLIER, np.square(z), 1.0)
            if np.array_equal(inflated, inflation):
                break
            inflation = inflated
    shares = np.where(shares > NEGLIGIBLE, shares, 0.0)
    return Posterior(shares / shares.sum(), alpha, precision)


def _solve(kernels: FloatArray, noise: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log evidence (c,) and inverse covariances (c, n, n)."""
    covariance = kernels + noise[:, :, None] * np.eye(len(y))
    factor = np.linalg.cholesky(covariance)
    precision = np.linalg.inv(covariance)
    determinant = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    evidence = -0.5 * np.einsum("i,cij,j->c", y, precision, y) - determinant
    return np.asarray(evidence), np.asarray(precision, dtype=np.float64)
