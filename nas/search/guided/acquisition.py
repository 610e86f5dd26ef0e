"""What an arch promises: expected hypervolume improvement times the probability of being feasible.

Scores are logarithms. While no told arch is feasible there is no front to improve and the
probability of feasibility decides. Archs that resemble failed ones count for less.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import log_ndtr

from nas.pareto import FloatArray
from nas.search.guided.beliefs import Belief, KnownBelief, LearnedBelief, known_scale
from nas.search.guided.data import Goal, Told
from nas.search.guided.hypervolume import Boxes, expected_improvement, undominated_boxes
from nas.search.guided.pool import Pool
from nas.search.guided.scale import Scale
from nas.search.guided.surrogate import Fit, Surrogate, Target, model_points
from nas.search.guided.views import TOGETHER

MARGIN = 0.01  # of the range: the reference lies this far behind the worst cost
FAILURE_LENGTH = 0.35  # in units of the typical distance of the candidates
PRIOR_SUCCESS = 0.5  # weight of the prior belief that an arch can be evaluated
SMALLEST = 1e-300


class Acquisition:
    """Scores candidates, given what was told; the same for every pool of one ``ask``."""

    def __init__(
        self, goal: Goal, told: Told, views: Mapping[str, FloatArray], fits: Mapping[str, Fit], base: Pool
    ) -> None:
        """``views`` are the features of the told archs; metrics without a fit are known in ``base``."""
        self._goal = goal
        self._fits = fits
        self._told = told
        chosen = model_points(told.costs)
        self._model = told.take(chosen)
        self._views = {name: view[chosen] for name, view in views.items()}
        self._targets = {m: Target.anchored(self._costs(told, m), fit.offset) for m, fit in fits.items()}
        self._known = {m: self._known_costs(base, m) for m in goal.metrics if m not in fits}
        self._scales = {metric: known_scale(costs) for metric, costs in self._known.items()}
        self.reference = np.array([self._worst(o.metric, o.reference) for o in goal.objectives])

    def beliefs(self, pool: Pool, *, screening: bool = False) -> dict[str, Belief]:
        """What is believed of every metric at the candidates (see Surrogate for ``screening``)."""
        found: dict[str, Belief] = {}
        for metric in self._goal.metrics:
            if metric in self._fits:
                target = self._targets[metric]
                surrogate = Surrogate(
                    self._fits[metric],
                    pool.views,
                    self._views,
                    target(self._costs(self._model, metric)),
                    screening=screening,
                )
                found[metric] = LearnedBelief(target, surrogate)
            else:
                costs = self._known_costs(pool, metric)
                found[metric] = KnownBelief(self._scales[metric], costs, pool.known[metric][:, 1])
        return found

    def front(self) -> FloatArray:
        """Scaled objective costs (f, m) of the told feasible archs."""
        columns = [self._scaled(o.metric, self._costs(self._told, o.metric)) for o in self._goal.objectives]
        return np.stack(columns, axis=1)[self._told.feasible]

    def boxes(self, front: FloatArray) -> Boxes:
        """What the points of ``front`` (f, m) leave to improve."""
        return undominated_boxes(front, self.reference)

    def scores(self, beliefs: Mapping[str, Belief], boxes: Boxes) -> FloatArray:
        """Log expected improvement plus log probability of feasibility (N,)."""
        names = [objective.metric for objective in self._goal.objectives]
        mean = np.stack([beliefs[name].mean for name in names], axis=1)
        std = np.stack([beliefs[name].std for name in names], axis=1)
        improvement = np.log(np.maximum(expected_improvement(boxes, mean, std), SMALLEST))
        return improvement + self.log_feasible(beliefs)

    def log_feasible(self, beliefs: Mapping[str, Belief]) -> FloatArray:
        """Log probability (N,) that all constraints hold; sides and metrics as if independent."""
        total = np.zeros(len(next(iter(beliefs.values())).mean))
        for bound in self._goal.bounds():
            belief = beliefs[bound.metric]
            for end, sign in ((bound.low, -1.0), (bound.high, 1.0)):
                if np.isfinite(end):
                    edge = belief.scaled(np.array([end]))[0]
                    slack = sign * (edge - belief.mean) + 1e-9  # a cost at its bound is allowed
                    total += log_ndtr(np.clip(slack / belief.std, -1e6, 40.0))
        return total

    def log_success(self, pool: Pool, failed: Mapping[str, FloatArray]) -> FloatArray:
        """Log probability (N,) that the evaluation does not fail: a kernel vote of the told archs.

        ``failed`` holds the features (f, d) of the archs that failed.
        """
        here = pool.views[TOGETHER]
        bad = _similarity(here, failed[TOGETHER]).sum(axis=1)
        good = _similarity(here, self._views[TOGETHER]).sum(axis=1)
        return np.asarray(np.log((good + PRIOR_SUCCESS) / (good + bad + PRIOR_SUCCESS)))

    def _costs(self, told: Told, metric: str) -> FloatArray:
        return told.costs[:, self._goal.metrics.index(metric)]

    def _known_costs(self, pool: Pool, metric: str) -> FloatArray:
        sign = self._goal.cost(metric, 1.0)
        return sign * pool.known[metric][:, 0]

    def _scaled(self, metric: str, costs: FloatArray) -> FloatArray:
        target: Target | Scale = self._targets[metric] if metric in self._fits else self._scales[metric]
        return target(costs)

    def _worst(self, metric: str, reference: float) -> float:
        """The hypervolume reference, but no further than just behind the worst cost there is.

        A far one would make the ends of the front count for everything.
        """
        costs = self._known[metric] if metric in self._known else self._costs(self._told, metric)
        scaled = self._scaled(metric, costs)
        worst = scaled.max() + MARGIN * max(float(np.ptp(scaled)), MARGIN)
        wanted = self._scaled(metric, np.array([self._goal.cost(metric, reference)]))[0]
        return float(min(worst, wanted))


def _similarity(a: FloatArray, b: FloatArray) -> FloatArray:
    """Gaussian kernel (len(a), len(b)) whose length is a share of the typical distance within ``a``."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :] - 2.0 * a @ b.T
    typical = max(2.0 * float(a.var(axis=0).sum()), 1e-12)
    return np.asarray(np.exp(-0.5 * np.maximum(squares, 0.0) / (typical * FAILURE_LENGTH**2)))
