"""Bayesian linear regression with relative noise, averaged over its hyperparameters.

The model y = x w + e with w ~ N(0, prior) and e ~ N(0, (noise x w)^2) is a Gaussian process
with a linear kernel. Prior scale and noise are not chosen but averaged over a grid by exact marginal
likelihood (Rasmussen and Williams 2006, section 5.4.1); the average collapses into one mean and
one covariance of the weights, so a prediction costs two products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

FloatArray = NDArray[np.float64]
PRIOR_VARIANCES = np.logspace(-3, 3, 13)  # of all weights together, relative to the mean target squared
NOISES = np.logspace(-2.5, -0.5, 9)  # relative standard deviation of a target: 0.3 % to 32 %
INTERCEPT_VARIANCE = 10.0
# Noise follows the latency, of which the target is only a noisy reading: trusting low readings
# more would pull the fit down. So the second fit takes the level from the first one.
REWEIGHTINGS = 2
LEVEL_FLOOR = 0.1  # no level lies below this share of the smallest target
NEGLIGIBLE = 1e-4  # share of the evidence below which a setting is left out


@dataclass(frozen=True, slots=True)
class LinearPosterior:
    """Weights of d features, the intercept last: mean (d + 1,), covariance (d + 1, d + 1)."""

    mean: FloatArray
    covariance: FloatArray
    noise: float  # relative standard deviation of a measurement

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation (noise included), each (n,), for features (n, d)."""
        x = _with_intercept(x)
        mean = x @ self.mean
        variance = np.einsum("nd,de,ne->n", x, self.covariance, x, optimize=True)
        return mean, np.sqrt(np.maximum(variance, 0.0) + (self.noise * mean) ** 2)


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A posterior and what it would have said of each target without seeing it (leave-one-out)."""

    posterior: LinearPosterior
    loo_mean: FloatArray  # (n,)
    loo_std: FloatArray  # (n,), noise included


@dataclass(frozen=True, slots=True)
class _Setting:
    """The fit under one prior variance and one noise."""

    log_evidence: float
    noise: float
    mean: FloatArray
    covariance: FloatArray
    loo_mean: FloatArray
    loo_variance: FloatArray


def fit_linear(x: FloatArray, y: FloatArray) -> LinearFit:
    """Fit features (n, d), each of about unit scale, to positive targets (n,)."""
    unit = float(np.mean(y))
    x, y = _with_intercept(x), y / unit
    level = y
    for _ in range(REWEIGHTINGS):
        fit = _average(x, y, level)
        level = np.maximum(fit.loo_mean, LEVEL_FLOOR * y.min())
    posterior = LinearPosterior(
        fit.posterior.mean * unit, fit.posterior.covariance * unit**2, fit.posterior.noise
    )
    return LinearFit(posterior, fit.loo_mean * unit, fit.loo_std * unit)


def _average(x: FloatArray, y: FloatArray, level: FloatArray) -> LinearFit:
    """The fit averaged over the grid, a target's noise being proportional to its ``level``."""
    settings = [_fit(x, y, level, variance, noise) for variance in PRIOR_VARIANCES for noise in NOISES]
    evidence = np.array([setting.log_evidence for setting in settings])
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    kept = [(p, s) for p, s in zip(share, settings, strict=True) if p > NEGLIGIBLE]
    total = sum(p for p, _ in kept)
    kept = [(p / total, s) for p, s in kept]

    mean = np.sum([p * s.mean for p, s in kept], axis=0)
    second = np.sum([p * (s.covariance + np.outer(s.mean, s.mean)) for p, s in kept], axis=0)
    noise = float(np.sqrt(sum(p * s.noise**2 for p, s in kept)))
    loo_mean = np.sum([p * s.loo_mean for p, s in kept], axis=0)
    loo_second = np.sum([p * (s.loo_variance + s.loo_mean**2) for p, s in kept], axis=0)
    loo_std = np.sqrt(np.maximum(loo_second - loo_mean**2, 0.0))
    return LinearFit(
        LinearPosterior(mean, second - np.outer(mean, mean), noise),
        loo_mean,
        loo_std,
    )


def _fit(x: FloatArray, y: FloatArray, level: FloatArray, variance: float, noise: float) -> _Setting:
    """One Gaussian process; leave-one-out by equation 5.12 of Rasmussen and Williams."""
    prior = np.full(x.shape[1], variance / (x.shape[1] - 1))
    prior[-1] = INTERCEPT_VARIANCE
    cross = prior[:, None] * x.T  # (d, n)
    factor = cho_factor(x @ cross + np.diag((noise * level) ** 2), lower=True)
    precision = cho_solve(factor, np.eye(len(y)))
    alpha = precision @ y
    log_determinant = 2 * np.log(np.diag(factor[0])).sum()
    return _Setting(
        log_evidence=float(-0.5 * (y @ alpha) - 0.5 * log_determinant),
        noise=noise,
        mean=cross @ alpha,
        covariance=np.diag(prior) - cross @ precision @ cross.T,
        loo_mean=y - alpha / np.diag(precision),
        loo_variance=1.0 / np.diag(precision),
    )


def _with_intercept(x: FloatArray) -> FloatArray:
    return np.hstack([x, np.ones((len(x), 1))])
