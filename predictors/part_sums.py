"""Linear posteriors over archs that are made of few parts: sums looked up instead of features built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.linear_gp import LinearPosterior
from searchspaces.parts import Parts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CHUNK = 4096  # archs whose sums stay in a processor's cache
NEGLIGIBLE = 1e-12  # share of the largest eigenvalue below which a direction is left out


@dataclass(frozen=True, slots=True, eq=False)
class PartSums:
    """What each part of a catalogue adds to the mean, and to a square root of the variance.

    Means are exact sums of 64-bit numbers, deviations of 32-bit ones.
    """

    parts: Parts
    mean: FloatArray  # (parts,)
    root: NDArray[np.float32]  # (parts, r)
    intercept: float
    intercept_root: NDArray[np.float32]  # (r,)
    noise: float

    @classmethod
    def of(cls, posterior: LinearPosterior, parts: Parts, table: FloatArray) -> PartSums:
        """For features that are sums of rows of ``table`` (parts, d), the posterior's intercept excepted."""
        values, vectors = np.linalg.eigh(posterior.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        rows = np.vstack([table @ root[:-1], root[-1]])
        values, vectors = np.linalg.eigh(rows.T @ rows)  # columns of a table depend on each other
        rows = (rows @ vectors[:, values > NEGLIGIBLE * values[-1]]).astype(np.float32)
        mean = posterior.mean
        return cls(parts, table @ mean[:-1], rows[:-1], float(mean[-1]), rows[-1], posterior.noise)

    def predict(self, genes: IntArray) -> tuple[FloatArray, FloatArray]:
        """As ``LinearPosterior.predict`` of the features of archs with canonical genes (n, c)."""
        mean, variance = np.empty(len(genes)), np.empty(len(genes))
        for start in range(0, len(genes), CHUNK):
            chunk = slice(start, start + CHUNK)
            rows = self.parts.rows(genes[chunk]).T
            total = np.full(rows.shape[1], self.intercept)
            root = np.tile(self.intercept_root, (rows.shape[1], 1))
            for column in rows:
                total += self.mean[column]
                root += self.root[column]
            mean[chunk] = total
            variance[chunk] = np.einsum("nr,nr->n", root, root)
        return mean, np.sqrt(variance + (self.noise * mean) ** 2)
