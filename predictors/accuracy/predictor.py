"""AccuracyPredictor: the accuracy of any subnet of a supernet from those of some that were evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from predictors.accuracy.gaussian_process import Posterior, condition, fit_hyperparameters
from predictors.accuracy.quality import AccuracyQuality, accuracy_quality
from predictors.accuracy.views import ScaledViews, Views, WithEstimate
from predictors.errors import CorruptFitError, InvalidValueError, NotFittedError
from predictors.predictor import Prediction
from predictors.quality import cross_predict
from predictors.sealed import read_sealed, write_sealed
from searchspaces.genes import IntArray, archs_of
from searchspaces.space import Arch, SearchSpace

FloatArray = NDArray[np.float64]
NAME = "accuracy"
ACCURACY_FOLDER = "accuracy"  # in a supernet's folder: the predictor of its subnets' accuracy
LIKELIHOOD_FOLDER = "likelihood"  # beside it: of their geometric mean probability of the right class
COVERAGE = 0.9
NORMAL_90 = 1.6448536269514722  # half-width of a normal's central 90 % in standard deviations
MIN_ARCHS = 5
MIN_FOR_QUALITY = 20
MARGIN = 0.005  # accuracies are squeezed into [MARGIN, 1 - MARGIN], so that 1 has a finite logit
MIN_SPREAD = 1e-6  # of logits: equal accuracies are predicted as such
AGREEMENT = 1e-6  # between what was predicted when a fit was saved and what it predicts once loaded


@dataclass(frozen=True, slots=True)
class _Fit:
    genes: IntArray  # (n, c)
    targets: FloatArray  # (n,)
    posterior: Posterior
    centre: float  # of the logits
    spread: float
    inflation: float  # calibrated over model standard deviation


class AccuracyPredictor:
    """Predicts a metric in (0, 1] of archs of ``space``, such as validation top-1 under one supernet.

    A Gaussian process on the structural features of the space (``SearchSpace.features``), fitted to
    logits: near the top a point of accuracy is worth more than near chance, and no prediction leaves
    [0, 1]. Intervals are conformal, as those of the latency predictor: leave-one-out residuals over
    the model's deviation give the factor that makes 90 % of the intervals hold (Lei et al. 2018,
    arXiv 1604.04173, section 2.4, with the jackknife for the split). ``supernet`` is the SHA-256 of
    the weights that the accuracies belong to, where that is known.

    ``lower`` is a fitted predictor of a quantity that is cheaper to observe and ranks alike, such as
    the accuracy under shared weights where that of training alone is wanted: what it predicts is one
    more feature (``WithEstimate``), so that few observations suffice.
    """

    def __init__(
        self, space: SearchSpace, *, supernet: str | None = None, lower: AccuracyPredictor | None = None
    ) -> None:
        self.space = space
        self.supernet = supernet
        self.quality: AccuracyQuality | None = None
        self._views: Views = ScaledViews(space) if lower is None else WithEstimate(space, lower.logits)
        self._fit: _Fit | None = None

    @property
    def n_archs(self) -> int:
        """How many evaluated archs the fit rests on. Raises NotFittedError."""
        return len(self._fitted_or_raise().targets)

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        """Fit to accuracies, fractions of shape (n,), n >= 5, above 0 and at most 1.

        From 20 distinct archs on, ``quality`` is set by five-fold cross-validation. Raises
        InvalidValueError, InvalidArchError, and leaves an earlier fit as it was.
        """
        targets = _checked(archs, targets)
        quality = None
        if len(set(archs)) >= MIN_FOR_QUALITY:
            predicted, n_train = cross_predict(lambda: _Plain(self), archs, targets)
            quality = accuracy_quality(predicted, targets, n_train=n_train)
        self._fit, self.quality = self._fitted(archs, targets), quality

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        """Accuracies as fractions; ``low`` and ``high`` lie in [0, 1] and are calibrated.

        Intervals are those of the logits, mapped back, so they are not symmetric about the mean;
        ``std`` is that of a normal whose 90 % interval is as wide.
        Raises NotFittedError, InvalidArchError.
        """
        return self._predicted(self._fitted_or_raise(), archs)

    def logits(self, genes: IntArray) -> FloatArray:
        """The mean predictions (n,) for canonical genes (n, c), as logits. Raises NotFittedError."""
        fit = self._fitted_or_raise()
        return fit.centre + fit.spread * fit.posterior.predict(self._views(genes))[0]

    def save(self, folder: Path) -> str:
        """Write ``accuracy.json`` and ``accuracy.safetensors``; returns the SHA-256 of the JSON file.

        They hold no ``lower`` predictor, and ``load`` takes none: a fit that has one is made again.
        """
        fit = self._fitted_or_raise()
        payload = {
            "space": self.space.id,
            "supernet": self.supernet,
            "views": list(self._views.names),
            "inflation": fit.inflation,
            "quality": None if self.quality is None else asdict(self.quality),
            "first_prediction": self._first(fit),
        }
        arrays = {"genes": fit.genes, "targets": fit.targets, "logs": fit.posterior.logs}
        return write_sealed(folder, NAME, payload, arrays)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> AccuracyPredictor:
        """Read what ``save`` wrote.

        Raises CorruptFitError, which names the file, for damage, another space, or a version of this
        program whose features differ.
        """
        payload, arrays = read_sealed(folder, NAME)
        path = folder / f"{NAME}.json"
        if payload.get("space") != space.id:
            raise CorruptFitError(f"{path}: fitted to space {payload.get('space')}, not to {space.id}")
        predictor = cls(space, supernet=payload.get("supernet"))
        if payload.get("views") != list(predictor._views.names):
            raise CorruptFitError(f"{path}: features differ from those of this version; fit again")
        try:
            archs = archs_of(space, arrays["genes"])
            targets, logs = _checked(archs, arrays["targets"]), arrays["logs"]
            fit = predictor._conditioned(predictor._views.genes(archs), targets, logs, payload["inflation"])
            expected = payload["first_prediction"]
            predictor.quality = payload["quality"] and AccuracyQuality(**payload["quality"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFitError(f"{path}: {error!r}") from error
        if abs(predictor._first(fit) - expected) > AGREEMENT:
            raise CorruptFitError(f"{path}: features differ from those of this version; fit again")
        predictor._fit = fit
        return predictor

    def _fitted_or_raise(self) -> _Fit:
        if self._fit is None:
            raise NotFittedError(f"accuracy predictor of {self.space.id} was not fitted")
        return self._fit

    def _fitted(self, archs: Sequence[Arch], targets: FloatArray) -> _Fit:
        genes = self._views.genes(archs)
        logits, _, _ = _standardised(targets)
        logs = fit_hyperparameters(self._views(genes), logits)
        plain = self._conditioned(genes, targets, logs, inflation=1.0)
        mean, std = plain.posterior.leave_one_out(logits)
        scores = np.sort(np.abs(logits - mean) / std)
        rank = min(len(scores), int(np.ceil(COVERAGE * (len(scores) + 1))))
        inflation = float(scores[rank - 1]) / NORMAL_90
        return _Fit(genes, targets, plain.posterior, plain.centre, plain.spread, inflation)

    def _conditioned(self, genes: IntArray, targets: FloatArray, logs: FloatArray, inflation: float) -> _Fit:
        logits, centre, spread = _standardised(targets)
        return _Fit(genes, targets, condition(logs, self._views(genes), logits), centre, spread, inflation)

    def _predicted(self, fit: _Fit, archs: Sequence[Arch]) -> Prediction:
        mean, std = fit.posterior.predict(self._views(self._views.genes(archs)))
        centre, half = fit.centre + fit.spread * mean, fit.spread * NORMAL_90 * fit.inflation * std
        low, middle, high = (_accuracy(centre + sign * half) for sign in (-1, 0, 1))
        return Prediction(middle, (high - low) / (2 * NORMAL_90), low, high)

    def _first(self, fit: _Fit) -> float:
        """The prediction for the first arch of the fit."""
        (arch,) = archs_of(self.space, fit.genes[:1])
        return float(self._predicted(fit, [arch]).mean[0])


class _Plain:
    """A fit for cross-validation: as its owner's, without a quality of its own."""

    def __init__(self, owner: AccuracyPredictor) -> None:
        self._owner = owner
        self._fit: _Fit | None = None

    def fit(self, archs: Sequence[Arch], targets: FloatArray) -> None:
        self._fit = self._owner._fitted(archs, targets)

    def predict(self, archs: Sequence[Arch]) -> Prediction:
        assert self._fit is not None
        return self._owner._predicted(self._fit, archs)


def _standardised(targets: FloatArray) -> tuple[FloatArray, float, float]:
    """Logits of mean 0 and variance 1, their mean, and their standard deviation before."""
    logits = np.asarray(logit(MARGIN + (1 - 2 * MARGIN) * targets), dtype=np.float64)
    centre, spread = float(logits.mean()), max(float(logits.std()), MIN_SPREAD)
    return (logits - centre) / spread, centre, spread


def _accuracy(logits: FloatArray) -> FloatArray:
    return np.asarray(np.clip((expit(logits) - MARGIN) / (1 - 2 * MARGIN), 0.0, 1.0), dtype=np.float64)


def _checked(archs: Sequence[Arch], targets: FloatArray) -> FloatArray:
    targets = np.asarray(targets, dtype=np.float64)
    if targets.shape != (len(archs),):
        raise InvalidValueError(f"targets must have shape ({len(archs)},), one per arch; got {targets.shape}")
    if len(archs) < MIN_ARCHS:
        raise InvalidValueError(f"a fit needs at least {MIN_ARCHS} evaluated archs; got {len(archs)}")
    if not (np.isfinite(targets).all() and (targets > 0).all() and (targets <= 1).all()):
        raise InvalidValueError("targets must be positive and finite accuracies, at most 1")
    return targets
