"""Basis: what the kernels are made of, as linear functions of the features.

Components of a genome: the mean source predictor, each single source, the subspace of what the
sources differ from their mean in (and, where sources are split, of what its parts do), and the
blocks of features from coarse to fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.transfer.configurations import MEAN_SOURCE, Configurations
from predictors.transfer.sources import Scale, SourceFit, Standard
from predictors.transfer.tables import FloatArray

INTERCEPT_VARIANCE = 10.0
LEVEL_FLOOR = 0.2  # no expected level lies below this share of the mean
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Components:
    """Components of n genomes in one view."""

    mains: FloatArray  # (n, 1 + s): mean source, then each source
    blocks: tuple[FloatArray, ...]  # residual subspace (n, s + parts), then (n, width) of each block


@dataclass(frozen=True, slots=True)
class Basis:
    """Weights (d, …) of the components in standardised features.

    ``spread`` is the mean source's standard deviation over the measured archs, relative to its mean:
    the unit in which targets are modelled.
    """

    standard: Standard
    scale: Scale
    mains: FloatArray
    residual: FloatArray
    spread: float

    def components(self, features: FloatArray) -> Components:
        """From standardised features (n, d) of a view."""
        blocks = [features @ self.residual, *(features[:, part] for part in self.standard.slices.values())]
        return Components(features @ self.mains, tuple(blocks))

    def level(self, features: FloatArray) -> FloatArray:
        """Expected value relative to the mean, shape (n,): noise grows with it on a linear scale."""
        if self.scale is Scale.LOG:
            return np.ones(len(features))
        return np.maximum(1 + self.spread * (features @ self.mains[:, 0]), LEVEL_FLOOR)

    def weights(self, mains: FloatArray, blocks: Sequence[FloatArray]) -> FloatArray:
        """Weights (d,) of one function from its coefficients of every component."""
        result = self.mains @ mains + self.residual @ blocks[0]
        for part, coefficients in zip(self.standard.slices.values(), blocks[1:], strict=True):
            result[part] += coefficients
        return np.asarray(result)


def make_basis(standard: Standard, fit: SourceFit, chosen: Sequence[int], features: FloatArray) -> Basis:
    """The basis of the ``chosen`` sources; ``features`` (n, d), standardised, are the measured archs'."""
    sources = fit.weights[:, list(chosen)]
    values = features @ sources
    mean = sources.mean(1)
    spread = float((features @ mean).std()) + TINY
    mean = mean / spread
    sources = sources / (values.std(0) + TINY)
    differing = np.column_stack([sources, *_parts(mean, standard, fit.split)])
    values, centre = features @ differing, features @ mean
    residual = differing - np.outer(mean, centre @ values / (centre @ centre + TINY))
    size = float(np.sqrt(np.square(features @ residual).sum(1).mean()))
    residual = residual / size if size > 1e-9 else np.zeros_like(residual)
    return Basis(standard, fit.scale, np.column_stack([mean, sources]), residual, spread)


def _parts(weights: FloatArray, standard: Standard, names: Sequence[str]) -> list[FloatArray]:
    """Weights (d,) of a function, those of one block at a time."""
    parts = []
    for name in names:
        part = np.zeros_like(weights)
        part[standard.slices[name]] = weights[standard.slices[name]]
        parts.append(part)
    return parts


def kernel(
    configurations: Configurations, left: Sequence[Components], right: Sequence[Components]
) -> FloatArray:
    """Covariances (c, n, m) of two sets of genomes, each given in every view."""
    n, m = len(left[0].mains), len(right[0].mains)
    result = np.empty((len(configurations), n, m))
    variances = np.square(configurations.amplitudes)
    for view, (a, b) in enumerate(zip(left, right, strict=True)):
        rows = configurations.view == view
        mains = a.mains.T[:, :, None] * b.mains.T[:, None, :]
        blocks = np.stack([x @ y.T for x, y in zip(a.blocks, b.blocks, strict=True)])
        sums = variances[rows] @ blocks.reshape(len(blocks), n * m)
        chosen = (
            configurations.main_variance[rows, None, None] * mains[configurations.main[rows] - MEAN_SOURCE]
        )
        result[rows] = sums.reshape(-1, n, m) + chosen
    return result + INTERCEPT_VARIANCE
