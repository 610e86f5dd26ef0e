"""From a few samples to one linear function: infer what a device is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.transfer.basis import INTERCEPT_VARIANCE, Basis, Components, kernel
from predictors.transfer.configurations import MEAN_SOURCE, Configurations
from predictors.transfer.posterior import Posterior, average
from predictors.transfer.sources import Scale
from predictors.transfer.tables import FloatArray

LEAST_SURPRISE = 0.05  # samples that agree better than that tell no more


@dataclass(frozen=True, slots=True)
class Inference:
    """A device: value = ``unit`` (1 + f), or ``unit`` exp(f) on a log scale, with f linear.

    f is ``offset`` plus, summed over views, standardised features times ``weights`` (v, d).
    ``deviation`` is the standard deviation of a measurement from it, relative to its level.
    ``surprise`` is the mean absolute error of the samples, each left out in turn, in standard
    deviations of its prediction.
    """

    scale: Scale
    unit: float
    offset: float
    weights: FloatArray
    deviation: float
    surprise: float

    def relative(self, views: Sequence[FloatArray]) -> FloatArray:
        """Values f of genomes given by standardised features (n, d) in every view."""
        return self.offset + sum(
            (features @ weights for features, weights in zip(views, self.weights, strict=True)),
            start=np.zeros(len(views[0])),
        )


def infer(
    basis: Basis,
    configurations: Configurations,
    log_prior: FloatArray,
    views: Sequence[FloatArray],
    values: FloatArray,
    reference: Sequence[FloatArray],
) -> Inference:
    """Infer a device from positive values (n,) of genomes with standardised features ``views``.

    ``reference`` are features, in every view, of genomes over which the deviation is averaged.
    """
    level = basis.level(views[0])
    unit = _unit(values, level, basis.scale)
    y = (np.log(values / unit) if basis.scale is Scale.LOG else values / unit - 1) / basis.spread
    samples = [basis.components(features) for features in views]
    kernels = kernel(configurations, samples, samples)
    posterior = average(kernels, configurations, log_prior, level, y)
    weights = np.stack(
        [_weights(basis, configurations, posterior, part, view) for view, part in enumerate(samples)]
    )
    offset = INTERCEPT_VARIANCE * float(posterior.shares @ posterior.alpha.sum(1))
    deviation = _deviation(basis, configurations, posterior, samples, reference)
    return Inference(
        scale=basis.scale,
        unit=unit,
        offset=basis.spread * offset,
        weights=basis.spread * weights,
        deviation=basis.spread * deviation,
        surprise=_surprise(posterior),
    )


def _unit(values: FloatArray, level: FloatArray, scale: Scale) -> float:
    """A typical value at the mean level; a median, so that an outlier does not shift it."""
    return (
        float(np.exp(np.median(np.log(values)))) if scale is Scale.LOG else float(np.median(values / level))
    )


def _weights(
    basis: Basis, configurations: Configurations, posterior: Posterior, samples: Components, view: int
) -> FloatArray:
    """Weights (d,) that the samples give to one view: the mean over configurations that read it."""
    shares = np.where(configurations.view == view, posterior.shares, 0.0)
    pulls = shares[:, None] * posterior.alpha  # (c, n)
    mains = np.zeros(samples.mains.shape[1])
    for main in range(len(mains)):
        rows = configurations.main - MEAN_SOURCE == main
        mains[main] = samples.mains[:, main] @ (configurations.main_variance[rows] @ pulls[rows])
    block_pulls = np.square(configurations.amplitudes).T @ pulls  # (blocks, n)
    blocks = [block.T @ pull for block, pull in zip(samples.blocks, block_pulls, strict=True)]
    return basis.weights(mains, blocks)


def _surprise(posterior: Posterior) -> float:
    """From the leave-one-out errors of all configurations (Rasmussen and Williams 2006, equation 5.12)."""
    variances = 1.0 / np.diagonal(posterior.precision, axis1=1, axis2=2)
    errors = posterior.alpha * variances
    mean = posterior.shares @ errors
    variance = posterior.shares @ (variances + np.square(errors)) - np.square(mean)
    return max(float(np.mean(np.abs(mean) / np.sqrt(variance))), LEAST_SURPRISE)


def _deviation(
    basis: Basis,
    configurations: Configurations,
    posterior: Posterior,
    samples: Sequence[Components],
    reference: Sequence[FloatArray],
) -> float:
    """Root mean square over the reference of the predictive standard deviation over the level."""
    kept = posterior.shares > 0
    shares, few = posterior.shares[kept], configurations.take(kept)
    others = [basis.components(features) for features in reference]
    cross = kernel(few, others, samples)  # (c, m, n)
    explained = ((cross @ posterior.precision[kept]) * cross).sum(2)
    variance = np.maximum(_own_variance(few, others) - explained, 0.0)
    means = np.einsum("cmi,ci->cm", cross, posterior.alpha[kept])
    total = shares @ (variance + np.square(means)) - np.square(shares @ means)
    level = basis.level(reference[0])
    return float(np.sqrt(np.mean(total / np.square(level)) + shares @ np.square(few.noise)))


def _own_variance(configurations: Configurations, views: Sequence[Components]) -> FloatArray:
    """Prior variances (c, m)."""
    result = np.empty((len(configurations), len(views[0].mains)))
    variances = np.square(configurations.amplitudes)
    for view, part in enumerate(views):
        rows = configurations.view == view
        blocks = np.stack([np.square(block).sum(1) for block in part.blocks])
        mains = np.square(part.mains.T)[configurations.main[rows] - MEAN_SOURCE]
        result[rows] = variances[rows] @ blocks + configurations.main_variance[rows, None] * mains
    return result + INTERCEPT_VARIANCE
