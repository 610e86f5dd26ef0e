"""TransferPredictor: a new device of a space from few measurements and devices measured before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from predictors.device import Device
from predictors.errors import CorruptFitError, DeviceMismatchError, InvalidValueError, NotFittedError
from predictors.fit_files import TRANSFERRED, StoredFit, read_fit, write_fit
from predictors.predictor import Prediction
from predictors.quality import Quality, cross_validate
from predictors.sample import LatencySample, Measured
from predictors.transfer.model import FewShotFit, FewShotModel
from predictors.transfer.sources import Scale, SourceMeasurements
from predictors.transfer.spaces import gene_matrix, source_fitter, space_features
from predictors.transfer.tables import FloatArray, IntArray
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch, SearchSpace

SOURCE = "source:"


@dataclass(frozen=True, slots=True)
class SourceData:
    """What one other device measured: archs and their positive values (n,), in the target's unit."""

    archs: tuple[Arch, ...]
    values: FloatArray


class TransferPredictor:
    """Predicts a positive cost (latency in ms, peak memory, energy) of archs on a new device.

    ``sources`` maps fingerprints (or any names) of other devices to their measurements of the same
    cost. ``choose`` says what to measure, ``fit`` takes the values, in any number from 3.
    """

    def __init__(
        self, space: SearchSpace, device: Device, sources: Mapping[str, SourceData], *, seed: int = 0
    ) -> None:
        """Raises InvalidValueError without sources, for bad values, or for the device as its own source."""
        if not sources:
            raise InvalidValueError("sources must name at least one measured device; got none")
        if device.fingerprint in sources:
            raise InvalidValueError(f"sources must be other devices; got {device.name} itself")
        self.space = space
        self.device = device
        self.metric: Measured = "latency_ms"
        self._seed = seed
        self._features = space_features(space)
        self._sources = [
            SourceMeasurements(name, self._genes(data.archs), np.asarray(data.values, dtype=np.float64))
            for name, data in sorted(sources.items())
        ]
        self._fit: FewShotFit | None = None
        self.quality: Quality | None = None

    @property
    def n_sources(self) -> int:
        """How many devices it is transferred from."""
        return len(self._sources)

    @cached_property
    def _model(self) -> FewShotModel:
        fitter = source_fitter(self._features)
        return FewShotModel(self._features, self._sources, seed=self._seed, fitter=fitter)

    def choose(self, n: int, candidates: Sequence[Arch]) -> list[Arch]:
        """The n candidates to measure, in order of use: a prefix is a good choice too.

        Raises InvalidValueError if there are fewer than n distinct candidates.
        """
        distinct = list(dict.fromkeys(candidates))
        return [distinct[row] for row in self._model.choose(self._genes(distinct), n)]

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        """Fit to values (n,), n >= 3, positive and finite; a failed call keeps the earlier fit."""
        targets = np.asarray(targets, dtype=np.float64)
        if targets.shape != (len(archs),):
            raise InvalidValueError(
                f"targets must have shape ({len(archs)},), one per arch; got {targets.shape}"
            )
        self._fit, self.quality = self._model.fit(self._genes(archs), targets), None

    def judge(self, archs: Sequence[Arch], targets: FloatArray) -> Quality:
        """Leave-one-out quality of fits to these measurements, n >= 4; kept as ``quality`` of the fit.

        Archs are chosen to be unlike one another, so each is harder to predict from the others than
        other archs are from all of them: this is on the careful side.
        """
        folds = len(set(archs))
        quality = cross_validate(lambda: _Plain(self), archs, targets, folds=folds)
        self.quality = quality
        return quality

    def fit_samples(self, samples: Sequence[LatencySample]) -> None:
        """``fit`` to latencies in ms; raises DeviceMismatchError if one is of another device."""
        for sample in samples:
            if sample.device.fingerprint != self.device.fingerprint:
                raise DeviceMismatchError(
                    f"sample of {sample.arch.key} was taken on {sample.device.name} "
                    f"({sample.device.fingerprint}), not on {self.device.name} ({self.device.fingerprint})"
                )
        self.fit([sample.arch for sample in samples], np.array([sample.latency_ms for sample in samples]))

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """Values in the unit of the samples, with calibrated 90 % intervals."""
        return self._fitted().predict(self._features, self._genes(archs))

    def save(self, folder: Path) -> str:
        """Write ``latency.json`` and ``latency.safetensors``; returns the SHA-256 of the JSON file."""
        fit = self._fitted()
        arrays: dict[str, FloatArray] = {"weights": fit.weights}
        for source in self._sources:
            arrays[f"{SOURCE}{source.name}"] = np.column_stack([source.genes, source.values])
        scalars = {
            "log": float(fit.scale is Scale.LOG),
            "unit": fit.unit,
            "offset": fit.offset,
            "deviation": fit.deviation,
            "floor": fit.floor,
            "spread": fit.spread,
            "seed": float(self._seed),
        }
        names = tuple(self._features.dims)
        return write_fit(
            folder, StoredFit(self.space.id, self.device, names, scalars, arrays, self.quality, TRANSFERRED)
        )

    @classmethod
    def load(cls, folder: Path, space: SearchSpace, device: Device | None = None) -> TransferPredictor:
        """Read what ``save`` wrote: the fit and the sources, so that it can be fitted again.

        Raises CorruptFitError, which names the file, for damage or another space, and
        DeviceMismatchError if ``device`` is given and the fit is of another fingerprint.
        """
        stored = read_fit(folder, space=space.id, device=device)
        if stored.method != TRANSFERRED:
            raise CorruptFitError(f"{folder}: not a transferred fit, but one of the device alone")
        try:
            return cls._restored(stored, space, device or stored.device)
        except (KeyError, IndexError, InvalidArchError, InvalidValueError) as error:
            raise CorruptFitError(f"{folder}: {error}") from error

    @classmethod
    def _restored(cls, stored: StoredFit, space: SearchSpace, device: Device) -> TransferPredictor:
        sources = {
            name.removeprefix(SOURCE): SourceData(
                tuple(space.arch([int(gene) for gene in row]) for row in array[:, :-1]), array[:, -1]
            )
            for name, array in stored.arrays.items()
            if name.startswith(SOURCE)
        }
        scalars = stored.scalars
        predictor = cls(space, device, sources, seed=int(scalars["seed"]))
        weights = stored.arrays["weights"]
        features = predictor._features
        if stored.names != tuple(features.dims) or weights.shape != (
            features.views,
            sum(features.dims.values()),
        ):
            raise InvalidValueError("features differ from those of this version; fit again")
        predictor._fit = FewShotFit(
            scale=Scale.LOG if scalars["log"] else Scale.LINEAR,
            unit=scalars["unit"],
            offset=scalars["offset"],
            weights=weights,
            deviation=scalars["deviation"],
            floor=scalars["floor"],
            spread=scalars["spread"],
        )
        predictor.quality = stored.quality
        return predictor

    def _fitted(self) -> FewShotFit:
        if self._fit is None:
            raise NotFittedError(f"transfer predictor of {self.device.name} was not fitted")
        return self._fit

    def _genes(self, archs: Sequence[Arch]) -> IntArray:
        for arch in archs:
            if arch.space != self.space.id:
                raise InvalidArchError(f"arch of space {arch.space} used in space {self.space.id}")
        return gene_matrix(archs, len(self.space.choices))


class _Plain:
    """A fit for cross-validation, around its owner's model of the sources."""

    def __init__(self, owner: TransferPredictor) -> None:
        self._owner = owner
        self._fit: FewShotFit | None = None

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        self._fit = self._owner._model.fit(self._owner._genes(archs), targets)

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        assert self._fit is not None
        return self._fit.predict(self._owner._features, self._owner._genes(archs))
