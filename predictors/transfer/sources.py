"""What is known before the new device: measurements of other devices, and a linear model of each.

A source is fitted by ridge regression on all features; its penalty is chosen by leave-one-out and
its outliers count less (Student-t weights, as an expectation-maximisation over pseudo-targets, so
that one singular value decomposition serves every source that measured the same archs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from scipy.stats import rankdata

from predictors.errors import InvalidValueError
from predictors.transfer.configurations import PHYSICAL_SHARE
from predictors.transfer.tables import FeatureMap, FloatArray, IntArray

PENALTIES = np.logspace(-1, 4, 8)
PASSES = 6  # of reweighting
DEGREES_OF_FREEDOM = 3.0
NORMAL_MAD = 1.4826  # standard deviation of a normal over its median absolute deviation
MIN_FREEDOM = 1e-6  # of a sample: one minus its leverage
MIN_MEASURED = 10


class Scale(StrEnum):
    """Whether a cost is taken as a sum of its parts, or its logarithm is."""

    LINEAR = "linear"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class SourceMeasurements:
    """One measured device: genes (n, d) as option indices and positive values (n,)."""

    name: str
    genes: IntArray
    values: FloatArray

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.genes),) or len(self.values) < MIN_MEASURED:
            raise InvalidValueError(
                f"source {self.name!r} needs at least {MIN_MEASURED} values, one per arch; "
                f"got {self.values.shape} for {len(self.genes)} archs"
            )
        if not (np.isfinite(self.values).all() and (self.values > 0).all()):
            raise InvalidValueError(f"values of source {self.name!r} must be positive and finite")


@dataclass(frozen=True, slots=True)
class Standard:
    """Centre and unit of every feature column, from the genomes that the sources measured.

    The columns of a block share one unit, which makes the block's total variance 1.
    """

    centre: FloatArray  # (d,)
    unit: FloatArray  # (d,)
    slices: Mapping[str, slice]

    def of(self, matrix: FloatArray) -> FloatArray:
        """Standardised features, same shape."""
        return (matrix - self.centre) / self.unit


@dataclass(frozen=True, slots=True)
class SourceFit:
    """Linear models of sources in standardised features, on one scale.

    ``weights`` (d, s) predict the relative value: over its mean, minus 1 (linear), or the logarithm
    over its mean (log). ``agreement`` is the mean leave-one-out Spearman. ``split`` names blocks of
    features: what the sources say of each is expected to differ by a factor on another device.
    ``physical_share`` is how often a physical block is expected to take part in what differs.
    """

    scale: Scale
    weights: FloatArray
    agreement: float
    split: tuple[str, ...] = ()
    physical_share: float = PHYSICAL_SHARE


class SourceFitter(Protocol):
    """Fits sources in features that it was made for."""

    def __call__(self, standard: Standard, sources: Sequence[SourceMeasurements], /) -> SourceFit:
        """One linear model for each source."""
        ...


def standardise(features: FeatureMap, genes: IntArray) -> Standard:
    """Centre and units over ``genes`` in the first view."""
    matrix = features.matrix(genes, 0)
    centre = matrix.mean(0)
    spread = np.square(matrix - centre).mean(0)
    unit, slices, start = np.ones(len(centre)), {}, 0
    for name, width in features.dims.items():
        part = slice(start, start + width)
        total = float(np.sqrt(spread[part].sum()))
        unit[part] = total if total > 0 else 1.0
        slices[name] = part
        start += width
    return Standard(centre, unit, slices)


def fit_sources(features: FeatureMap, standard: Standard, sources: Sequence[SourceMeasurements]) -> SourceFit:
    """Fit every source on the scale that predicts held-out values of the sources better."""
    done: dict[bytes, list[_Ridge]] = {}
    for source in sources:
        key = source.genes.tobytes()
        if key not in done:
            done[key] = [
                _Ridge.of(standard.of(features.matrix(source.genes, view)), standard)
                for view in range(features.views)
            ]
    fits = []
    for scale in Scale:
        parts = [_fit(done[source.genes.tobytes()], source, scale) for source in sources]
        weights = np.column_stack([weights for weights, _ in parts])
        fits.append(SourceFit(scale, weights, float(np.mean([rank for _, rank in parts]))))
    return max(fits, key=lambda fit: fit.agreement)


@dataclass(frozen=True, slots=True)
class _Ridge:
    """Singular value decomposition of the centred features of measured archs, columns of unit size."""

    left: FloatArray  # (n, r)
    singular: FloatArray  # (r,)
    right: FloatArray  # (r, d), in standardised features
    centre: FloatArray  # (d,)

    @classmethod
    def of(cls, matrix: FloatArray, standard: Standard) -> _Ridge:
        """From standardised features (n, d)."""
        widths = np.ones(matrix.shape[1])
        for part in standard.slices.values():
            widths[part] = np.sqrt(part.stop - part.start)
        centre = matrix.mean(0)
        left, singular, right = np.linalg.svd((matrix - centre) * widths, full_matrices=False)
        return cls(left, singular, right * widths, centre)

    def solve(self, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Fitted values, leave-one-out errors, and weights (r,) of the best penalty."""
        mean = y.mean()
        target = self.left.T @ (y - mean)
        best: tuple[float, FloatArray, FloatArray, FloatArray] | None = None
        for penalty in PENALTIES:
            shrink = self.singular**2 / (self.singular**2 + penalty)
            fitted = mean + self.left @ (shrink * target)
            leverage = np.square(self.left) @ shrink + 1 / len(y)
            errors = (y - fitted) / np.maximum(1 - leverage, MIN_FREEDOM)
            score = float(np.mean(np.square(errors)))
            if best is None or score < best[0]:
                weights = self.singular / (self.singular**2 + penalty) * target
                best = (score, fitted, errors, weights)
        assert best is not None
        return best[1:]


def _fit(views: Sequence[_Ridge], source: SourceMeasurements, scale: Scale) -> tuple[FloatArray, float]:
    """Weights (d,) of the relative value in the view that fits better, and leave-one-out Spearman."""
    y = source.values / np.median(source.values)
    y = np.log(y) if scale is Scale.LOG else y
    fits = [_robust(ridge, y) for ridge in views]
    best = int(np.argmin([spread for _, _, spread in fits]))
    weights, held_out, _ = fits[best]
    mean = 1.0 if scale is Scale.LOG else float(np.mean(y))
    rank = np.corrcoef(rankdata(held_out), rankdata(y))[0, 1] if np.ptp(held_out) > 0 < np.ptp(y) else 0.0
    return views[best].right.T @ weights / mean, float(rank)


def _robust(ridge: _Ridge, y: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Weights, leave-one-out predictions and the spread of the errors, outliers counting less."""
    pseudo = y
    for _ in range(PASSES):
        fitted, errors, weights = ridge.solve(pseudo)
        residual = y - fitted
        spread = NORMAL_MAD * float(np.median(np.abs(errors))) + 1e-9
        share = (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + np.square(residual / spread))
        pseudo = fitted + np.minimum(share, 1.0) * residual
    return weights, pseudo - errors, spread
