"""FewShotModel: choose what to measure on a new device, and fit to it.

The one model behind latency, peak memory and energy: any positive cost of genomes that other
devices were measured for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from predictors.errors import InvalidValueError
from predictors.predictor import Prediction
from predictors.transfer.basis import Basis, make_basis
from predictors.transfer.configurations import Configurations, draw
from predictors.transfer.inference import Inference, infer
from predictors.transfer.prior import NORMAL_90, Calibration, HeldOut, calibrate, hold_out, log_prior
from predictors.transfer.selection import choose
from predictors.transfer.sources import (
    Scale,
    SourceFit,
    SourceFitter,
    SourceMeasurements,
    Standard,
    fit_sources,
    standardise,
)
from predictors.transfer.tables import FeatureMap, FloatArray, IntArray

MAX_CANDIDATES = 2000  # a random part of more candidates is considered
REFERENCE = 150  # measured archs over which the deviation is averaged
MIN_SAMPLES = 3
NAIVE = 0.5  # share of the uniform prior when choosing: the new device may be unlike the sources
FLOOR = 0.1  # share of the smallest sample at which predictions bend so as to stay positive


@dataclass(frozen=True, slots=True)
class FewShotFit:
    """A fitted device, as a linear function of raw features.

    f(genes) = ``offset`` + combined ``weights`` (v, d); the value is ``unit`` (1 + f), or ``unit``
    exp(f) on a log scale. ``deviation`` is calibrated and relative to the value.
    """

    scale: Scale
    unit: float
    offset: float
    weights: FloatArray
    deviation: float
    floor: float
    spread: float  # no standard deviation is larger: that of the device's own values

    def predict(self, features: FeatureMap, genes: IntArray) -> Prediction:
        """Values of genes (n, d); ``low`` is at least 0."""
        relative = self.offset + features.combine(genes, self.weights)
        if self.scale is Scale.LOG:
            mean = self.unit * np.exp(relative)
            width = min(self.deviation, self.spread / self.unit)
            factor = np.exp(NORMAL_90 * width)
            return Prediction(mean, mean * width, mean / factor, mean * factor)
        mean = self.unit * (1 + relative)
        low = mean < self.floor
        mean[low] = self.floor * np.exp(mean[low] / self.floor - 1)  # bends, and keeps the order
        std = np.minimum(self.deviation * np.maximum(mean, self.floor), self.spread)
        return Prediction(mean, std, np.maximum(mean - NORMAL_90 * std, 0.0), mean + NORMAL_90 * std)


class FewShotModel:
    """What the sources say about any new device of the same genomes."""

    def __init__(
        self,
        features: FeatureMap,
        sources: Sequence[SourceMeasurements],
        *,
        seed: int = 0,
        fitter: SourceFitter | None = None,
    ) -> None:
        """Fit every source (by default with ``fit_sources``); raises InvalidValueError without any."""
        if not sources:
            raise InvalidValueError("sources must name at least one measured device; got none")
        self.features = features
        self._seed = seed
        self._calibrations: dict[int, Calibration] = {}
        self._pool = np.unique(np.concatenate([source.genes for source in sources]), axis=0)
        self._standard: Standard = standardise(features, self._pool)
        fit = fitter or partial(fit_sources, features)
        self._sources: SourceFit = fit(self._standard, sources)
        pool = self._standard.of(features.matrix(self._pool, 0))
        self._basis: Basis = make_basis(self._standard, self._sources, range(len(sources)), pool)
        self._held_out: tuple[HeldOut, ...] = hold_out(
            self._standard,
            self._sources,
            pool,
            [tuple(self._views(source.genes)) for source in sources],
            [source.values for source in sources],
        )
        self._configurations: Configurations = draw(
            np.random.default_rng([seed, 1]),
            list(features.dims),
            features.physical,
            sources=len(sources),
            views=features.views,
            physical_share=self._sources.physical_share,
        )

    @cached_property
    def _log_prior(self) -> FloatArray:
        return log_prior(self._held_out, self._configurations, np.random.default_rng([self._seed, 2]))

    def choose(self, genes: IntArray, n: int) -> list[int]:
        """Rows of ``genes`` (m, d) to measure, in order of use; nothing of the new device is needed.

        Raises InvalidValueError if n is not in 1..m.
        """
        if not 1 <= n <= len(genes):
            raise InvalidValueError(f"n must lie in 1..{len(genes)} (candidates); got {n}")
        rng = np.random.default_rng([self._seed, 3])
        rows = np.sort(rng.permutation(len(genes))[: max(n, MAX_CANDIDATES)])
        views = self._views(genes[rows])
        components = [self._basis.components(features) for features in views]
        shares = (1 - NAIVE) * np.exp(self._log_prior) + NAIVE / len(self._configurations)
        level = self._basis.level(views[0])
        found = choose(n, self._configurations, shares / shares.sum(), components, level)
        return [int(rows[i]) for i in found]

    def fit(self, genes: IntArray, values: FloatArray) -> FewShotFit:
        """Fit to positive values (n,) of genes (n, d), n >= 3; raises InvalidValueError otherwise."""
        if len(values) < MIN_SAMPLES or values.shape != (len(genes),):
            raise InvalidValueError(
                f"a fit needs at least {MIN_SAMPLES} values, one per arch; got {values.shape} "
                f"for {len(genes)}"
            )
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InvalidValueError("values must be positive and finite")
        rng = np.random.default_rng([self._seed, 4])
        rows = rng.permutation(len(self._pool))[:REFERENCE]
        reference = self._views(self._pool[rows])
        found = infer(
            self._basis, self._configurations, self._log_prior, self._views(genes), values, reference
        )
        factor = self._calibration(len(values)).factor(found.surprise)
        return self._raw(found, values, reference, factor)

    def _calibration(self, samples: int) -> Calibration:
        """Of intervals from so many samples; found once for each number."""
        if samples not in self._calibrations:
            rng = np.random.default_rng([self._seed, 5])
            self._calibrations[samples] = calibrate(
                self._held_out, self._configurations, self._log_prior, samples, rng
            )
        return self._calibrations[samples]

    def _views(self, genes: IntArray) -> list[FloatArray]:
        """Standardised features in every view."""
        return [self._standard.of(self.features.matrix(genes, view)) for view in range(self.features.views)]

    def _raw(
        self, found: Inference, values: FloatArray, reference: Sequence[FloatArray], factor: float
    ) -> FewShotFit:
        """The inference as a function of raw features."""
        weights = found.weights / self._standard.unit
        relative = found.relative(reference)
        predicted = found.unit * (np.exp(relative) if found.scale is Scale.LOG else 1 + relative)
        return FewShotFit(
            scale=found.scale,
            unit=found.unit,
            offset=found.offset - float((weights @ self._standard.centre).sum()),
            weights=weights,
            deviation=found.deviation * factor,
            floor=FLOOR * float(values.min()),
            spread=max(float(predicted.std()), float(values.std())),
        )
