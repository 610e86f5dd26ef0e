"""Few-shot baselines: counts, ridge, boosting, best source, ridge over sources, coregionalised process.

All but boosting see the archs that spread best over their own features (greedy D-optimal), since a
baseline on badly chosen samples would flatter whatever it is compared with. Intervals are those of
leave-one-out errors: relative, with the small-sample factor of Student's t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import t as student
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV

from benchmarks.transfer_task import Method, Task
from predictors.predictor import Prediction
from predictors.transfer.families.choices import table_features
from predictors.transfer.sources import SourceMeasurements, fit_sources, standardise
from predictors.transfer.tables import FloatArray, IntArray

PENALTIES = np.logspace(-3, 2, 11)
MIN_LEVEL = 0.05  # no prediction lies below this share of the samples' mean


class _Regression:
    """Ridge of the target on some columns; subclasses say which."""

    def __init__(self, task: Task) -> None:
        self._pool = task.genes
        self._columns = self._prepare(task)
        self._predict: Callable[[FloatArray], FloatArray] | None = None
        self._deviation = 0.0
        self._floor = 0.0

    def _prepare(self, task: Task) -> Callable[[IntArray], FloatArray]:
        raise NotImplementedError

    def choose(self, n: int) -> list[int]:
        """Greedy D-optimal rows."""
        return _spread_out(self._columns(self._pool), n)

    def fit(self, rows: Sequence[int], values: FloatArray) -> None:
        """Ridge; the penalty by leave-one-out."""
        x = self._columns(self._pool[list(rows)])
        model = RidgeCV(PENALTIES, store_cv_results=True).fit(x, values)
        best = int(np.argmin(np.abs(PENALTIES - model.alpha_)))
        errors = np.sqrt(model.cv_results_[:, best]) / values
        self._floor = MIN_LEVEL * float(values.mean())
        self._predict, self._deviation = model.predict, float(np.sqrt(np.mean(errors**2)))
        self._count = len(rows)

    def predict(self, genes: IntArray) -> Prediction:
        """Means with relative intervals."""
        assert self._predict is not None
        mean = np.maximum(self._predict(self._columns(genes)), self._floor)
        return _prediction(mean, self._deviation * mean, self._count)


class Counts(_Regression):
    """Ridge on the coarsest features: physical amounts if the genome is known, else sizes or counts."""

    def _prepare(self, task: Task) -> Callable[[IntArray], FloatArray]:
        features = table_features(task.choices)
        standard = standardise(features, task.genes)
        names = [name for name in features.dims if name in features.physical] or list(features.dims)[:1]
        parts = np.concatenate([np.arange(standard.slices[n].start, standard.slices[n].stop) for n in names])
        return lambda genes: standard.of(features.matrix(genes, 0))[:, parts]


class Ridge(_Regression):
    """Ridge on all features."""

    def _prepare(self, task: Task) -> Callable[[IntArray], FloatArray]:
        features = table_features(task.choices)
        standard = standardise(features, task.genes)
        return lambda genes: standard.of(features.matrix(genes, 0))


class RidgeOverSources(_Regression):
    """Ridge on the predictions of the sources' own models."""

    def _prepare(self, task: Task) -> Callable[[IntArray], FloatArray]:
        predict = _source_predictions(task)
        spread = predict(task.genes).std(0)
        return lambda genes: predict(genes) / spread


class BestSource:
    """The source that correlates best with the samples, scaled and shifted to them."""

    def __init__(self, task: Task) -> None:
        self._pool = task.genes
        self._sources = _source_predictions(task)
        self._best = 0
        self._line = (1.0, 0.0)
        self._deviation, self._floor, self._count = 0.0, 0.0, 0

    def choose(self, n: int) -> list[int]:
        """Greedy D-optimal rows for the sources."""
        return _spread_out(self._sources(self._pool), n)

    def fit(self, rows: Sequence[int], values: FloatArray) -> None:
        """Least squares on each source; the one with the smallest error is kept."""
        x = self._sources(self._pool[list(rows)])
        lines = [np.polyfit(column, values, 1) for column in x.T]
        errors = [
            float(np.sqrt(np.mean(((np.polyval(line, column) - values) / values) ** 2)))
            for line, column in zip(lines, x.T, strict=True)
        ]
        self._best = int(np.argmin(errors))
        self._line = (float(lines[self._best][0]), float(lines[self._best][1]))
        self._deviation, self._count = errors[self._best], len(rows)
        self._floor = MIN_LEVEL * float(values.mean())

    def predict(self, genes: IntArray) -> Prediction:
        """The line."""
        mean = np.maximum(np.polyval(self._line, self._sources(genes)[:, self._best]), self._floor)
        return _prediction(mean, self._deviation * mean, self._count)


class Boosting:
    """Gradient boosting on genes and source predictions, on random samples."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._model: HistGradientBoostingRegressor | None = None
        self._deviation, self._count = 0.0, 0

    def choose(self, n: int) -> list[int]:
        """Random rows."""
        rng = np.random.default_rng([self._task.seed, n])
        return [int(row) for row in rng.permutation(len(self._task.genes))[:n]]

    def fit(self, rows: Sequence[int], values: FloatArray) -> None:
        """Boost shallow trees with leaves of two samples."""
        self._model = HistGradientBoostingRegressor(
            max_iter=100, min_samples_leaf=2, random_state=self._task.seed
        ).fit(self._task.genes[list(rows)], values)
        self._deviation, self._count = float(values.std() / values.mean()), len(rows)

    def predict(self, genes: IntArray) -> Prediction:
        """Intervals as wide as the samples' spread."""
        assert self._model is not None
        mean = np.maximum(self._model.predict(genes), 1e-9)
        return _prediction(mean, self._deviation * mean, self._count)


class CoregionalisedGp(_Regression):
    """A Gaussian process over (arch, device): all features with a device kernel from the sources.

    Intrinsic coregionalisation (Bonilla et al. 2008): the target's device covariance is unknown, so
    it is the mean source's direction plus each source's own. A linear stand-in with fixed amplitudes:
    ridge on source predictions and features at once, only the noise being fitted.
    """

    def _prepare(self, task: Task) -> Callable[[IntArray], FloatArray]:
        features = table_features(task.choices)
        standard = standardise(features, task.genes)
        predict = _source_predictions(task)
        centre, spread = predict(task.genes).mean(0), predict(task.genes).std(0)

        def columns(genes: IntArray) -> FloatArray:
            sources = (predict(genes) - centre) / spread
            fine = standard.of(features.matrix(genes, 0)) / np.sqrt(len(features.dims))
            return np.hstack([3 * sources.mean(1, keepdims=True), sources, 0.3 * fine])

        return columns


def _source_predictions(task: Task) -> Callable[[IntArray], FloatArray]:
    """Relative predictions (n, s) of a model of each source."""
    features = table_features(task.choices)
    standard = standardise(features, task.genes)
    sources = [SourceMeasurements(name, task.genes, values) for name, values in task.sources.items()]
    weights = fit_sources(features, standard, sources).weights
    return lambda genes: standard.of(features.matrix(genes, 0)) @ weights


def _spread_out(x: FloatArray, n: int, noise: float = 0.1) -> list[int]:
    """Greedy D-optimal rows of x (m, d) under a linear kernel."""
    x = x - x.mean(0)
    covariance = x @ x.T / np.square(x).sum(1).mean() + 1.0
    chosen: list[int] = []
    for _ in range(n):
        variance = np.diag(covariance).copy()
        variance[chosen] = -np.inf
        best = int(np.argmax(variance))
        chosen.append(best)
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (column[best] + noise)
    return chosen


def _prediction(mean: FloatArray, std: FloatArray, samples: int) -> Prediction:
    half = student.ppf(0.95, max(samples - 2, 1)) * std
    return Prediction(mean, std, np.maximum(mean - half, 0.0), mean + half)


BASELINES: Mapping[str, Callable[[Task], Method]] = {
    "counts": Counts,
    "ridge": Ridge,
    "boosting": Boosting,
    "best_source": BestSource,
    "ridge_over_sources": RidgeOverSources,
    "coregionalised_gp": CoregionalisedGp,
}
