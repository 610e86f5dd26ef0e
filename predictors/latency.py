"""LatencyPredictor: latency (or memory, or energy) of any subnet of a space on one device, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors.device import Device
from predictors.errors import CorruptFitError, DeviceMismatchError, InvalidValueError, NotFittedError
from predictors.features import columns, features, features_of_genes, layer_features, part_features
from predictors.fit_files import OWN, StoredFit, read_fit, write_fit
from predictors.linear_gp import LinearPosterior, fit_linear
from predictors.part_sums import PartSums
from predictors.predictor import Prediction
from predictors.quality import Quality, cross_validate
from predictors.sample import LatencySample, Measured
from searchspaces.genes import gene_matrix
from searchspaces.parts import sized_layers
from searchspaces.space import Arch, SearchSpace

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
COVERAGE = 0.9
NORMAL_90 = 1.6448536269514722  # half-width of a normal's central 90 % in standard deviations
MIN_SAMPLES = 5
MIN_FOR_QUALITY = 20
REFERENCE_ARCHS = 512  # random archs whose features set the unit of each column
FLOOR = 0.1  # share of the fastest measured latency below which no prediction goes


@dataclass(frozen=True, slots=True)
class _Fit:
    posterior: LinearPosterior
    inflation: float  # calibrated over model standard deviation
    floor: float  # ms
    sums: PartSums | None  # of the posterior, where the space knows the parts of its archs


@dataclass(frozen=True, slots=True)
class LayerLatency:
    """What the layer in ``slot`` adds to a predicted latency."""

    slot: str
    kind: str
    latency_ms: float


class LatencyPredictor:
    """Predicts the median latency in ms of archs of ``space`` on ``device``, or another measured metric.

    Structural features (``predictors.features``) under a Bayesian linear model with relative
    noise. Intervals are conformal: leave-one-out residuals over the model's standard deviation
    give the factor that makes 90 % of the intervals hold (Lei et al. 2018, arXiv 1604.04173,
    section 2.4, with the jackknife for the split).
    """

    def __init__(self, space: SearchSpace, device: Device, metric: Measured = "latency_ms") -> None:
        self.space = space
        self.device = device
        self.metric = metric
        self.quality: Quality | None = None
        self._names = columns(space)
        self._units = _units(space, self._names)
        self._fit: _Fit | None = None

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        """Fit to values of the metric (latencies in ms), shape (n,), n >= 5, positive and finite.

        From 20 distinct archs on, ``quality`` is set by five-fold cross-validation. Raises
        InvalidValueError and leaves an earlier fit as it was.
        """
        targets = _checked(archs, targets)
        quality = None
        if len(set(archs)) >= MIN_FOR_QUALITY:
            quality = cross_validate(lambda: _Plain(self), archs, targets)
        self._fit, self.quality = self._fitted(archs, targets), quality

    def fit_samples(self, samples: Sequence[LatencySample]) -> None:
        """``fit`` to measurements.

        Raises DeviceMismatchError if one is of another device, InvalidValueError if the metric was
        not measured in one.
        """
        values = [sample.value(self.metric) for sample in samples]
        for sample, value in zip(samples, values, strict=True):
            if sample.device.fingerprint != self.device.fingerprint:
                raise DeviceMismatchError(
                    f"sample of {sample.arch.key} was taken on {sample.device.name} "
                    f"({sample.device.fingerprint}), not on {self.device.name} ({self.device.fingerprint})"
                )
            if value is None:
                raise InvalidValueError(f"sample of {sample.arch.key}: {self.metric} was not measured")
        self.fit([sample.arch for sample in samples], np.array(values, dtype=np.float64))

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """Values of the metric (latencies in ms); ``std`` is calibrated: low and high are 1.645 of it away.

        No mean lies below a tenth of the fastest latency that was measured, and no low below 0.
        """
        return self._predicted(self._fitted_or_raise(), archs)

    def predict_genes(self, genes: IntArray) -> Prediction:
        """``predict`` of the archs with these canonical genes (n, c), without a Python object for each.

        A million subnets of a space that knows its parts take about a second.
        """
        return self._predicted_genes(self._fitted_or_raise(), genes)

    def by_layer(self, arch: Arch) -> tuple[tuple[LayerLatency, ...], float]:
        """What each layer adds to the mean, in ms, and what is due to no layer; together the mean.

        The model is a sum over layers, so this is exact for the model (except where the mean was
        raised to the floor). A term may be negative: layers were never timed alone.
        """
        fit = self._fitted_or_raise()
        subnet = self.space.decode(arch)
        table = layer_features(sized_layers(subnet), self._names) / self._units
        weights = fit.posterior.mean
        layers = [
            LayerLatency(layer.slot, layer.spec.kind, milliseconds)
            for layer, milliseconds in zip(subnet.layers, (table @ weights[:-1]).tolist(), strict=True)
        ]
        return tuple(layers), float(weights[-1])

    def save(self, folder: Path) -> str:
        """Write ``latency.json`` and ``latency.safetensors``; returns the SHA-256 of the JSON file."""
        fit = self._fitted_or_raise()
        posterior = fit.posterior
        return write_fit(
            folder,
            StoredFit(
                space=self.space.id,
                device=self.device,
                names=self._names,
                metric=self.metric,
                scalars={
                    "noise": posterior.noise,
                    "inflation": fit.inflation,
                    "floor_ms": fit.floor,
                },
                arrays={"mean": posterior.mean, "covariance": posterior.covariance, "units": self._units},
                quality=self.quality,
            ),
        )

    @classmethod
    def load(cls, folder: Path, space: SearchSpace, device: Device | None = None) -> LatencyPredictor:
        """Read what ``save`` wrote.

        Raises CorruptFitError, which names the file, for damage or another space, and
        DeviceMismatchError if ``device`` is given and the fit is of another fingerprint.
        """
        stored = read_fit(folder, space=space.id, device=device)
        if stored.method != OWN:
            raise CorruptFitError(f"{folder}: not a fit of the device alone, but a {stored.method} one")
        predictor = cls(space, device or stored.device, stored.metric)
        if stored.names != predictor._names:
            raise CorruptFitError(f"{folder}: features differ from those of this version; fit again")
        posterior = LinearPosterior(
            stored.arrays["mean"], stored.arrays["covariance"], stored.scalars["noise"]
        )
        predictor._units = stored.arrays["units"]
        scalars = stored.scalars
        predictor._fit = _Fit(
            posterior, scalars["inflation"], scalars["floor_ms"], predictor._sums(posterior)
        )
        predictor.quality = stored.quality
        return predictor

    def _fitted_or_raise(self) -> _Fit:
        if self._fit is None:
            raise NotFittedError(f"latency predictor of {self.device.name} was not fitted")
        return self._fit

    def _features(self, archs: Sequence[Arch]) -> FloatArray:
        return features(self.space, archs, self._names) / self._units

    def _fitted(self, archs: Sequence[Arch], targets: FloatArray) -> _Fit:
        result = fit_linear(self._features(archs), targets)
        scores = np.sort(np.abs(targets - result.loo_mean) / result.loo_std)
        rank = min(len(scores), int(np.ceil(COVERAGE * (len(scores) + 1))))
        inflation = float(scores[rank - 1]) / NORMAL_90
        return _Fit(result.posterior, inflation, FLOOR * float(targets.min()), self._sums(result.posterior))

    def _predicted(self, fit: _Fit, archs: Sequence[Arch]) -> Prediction:
        return self._predicted_genes(fit, gene_matrix(self.space, archs))

    def _predicted_genes(self, fit: _Fit, genes: IntArray) -> Prediction:
        if fit.sums is None:
            mean, std = fit.posterior.predict(features_of_genes(self.space, genes, self._names) / self._units)
        else:
            mean, std = fit.sums.predict(genes)
        mean, std = np.maximum(mean, fit.floor), std * fit.inflation
        return Prediction(mean, std, np.maximum(mean - NORMAL_90 * std, 0.0), mean + NORMAL_90 * std)

    def _sums(self, posterior: LinearPosterior) -> PartSums | None:
        if self.space.parts is None:
            return None
        return PartSums.of(posterior, self.space.parts, part_features(self.space, self._names) / self._units)


class _Plain:
    """A fit for cross-validation: as its owner's, without a quality of its own."""

    def __init__(self, owner: LatencyPredictor) -> None:
        self._owner = owner
        self._fit: _Fit | None = None

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        self._fit = self._owner._fitted(archs, targets)

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        assert self._fit is not None
        return self._owner._predicted(self._fit, archs)


def _units(space: SearchSpace, names: Sequence[str]) -> FloatArray:
    """Root mean square of each column over random archs; 1 for a column that is zero in all of them."""
    rng = np.random.default_rng([len(names), REFERENCE_ARCHS])
    table = features(space, [space.sample(rng) for _ in range(REFERENCE_ARCHS)], names)
    rms = np.sqrt(np.mean(np.square(table), axis=0))
    return np.where(rms > 0, rms, 1.0)


def _checked(archs: Sequence[Arch], targets: FloatArray) -> FloatArray:
    targets = np.asarray(targets, dtype=np.float64)
    if targets.shape != (len(archs),):
        raise InvalidValueError(f"targets must have shape ({len(archs)},), one per arch; got {targets.shape}")
    if len(archs) < MIN_SAMPLES:
        raise InvalidValueError(f"a fit needs at least {MIN_SAMPLES} measured archs; got {len(archs)}")
    if not (np.isfinite(targets).all() and (targets > 0).all()):
        raise InvalidValueError("targets must be positive and finite (latencies in ms)")
    return targets
