"""What an arch promises: expected hypervolume improvement times the probability of being feasible.

Scores are logarithms. While no told arch is feasible there is no front to improve and the
probability of feasibility decides. Whether an evaluation fails is one more thing to learn, and not
failing one more constraint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.pareto import FloatArray
from nas.search.guided.beliefs import Belief, KnownBelief, LearnedBelief, known_scale
from nas.search.guided.data import Bound, Goal, Told
from nas.search.guided.hypervolume import Boxes, expected_improvement, undominated_boxes
from nas.search.guided.pool import Pool
from nas.search.guided.scale import Scale
from nas.search.guided.surrogate import MODEL_POINTS, Fit, Mixture, Target, evenly, model_points

# How far the reference lies behind the worst cost, as shares of the range. All of what is known lies
# before it; what is learned can be worse than all that was told where another objective is better.
KNOWN_MARGIN, LEARNED_MARGIN = 0.01, 0.5
SMALLEST = 1e-300
FAILURE = ""  # the metric of failing, which no objective has


@dataclass(frozen=True, slots=True)
class Failure:
    """Which archs failed: features (n, d) of all told archs, ``labels`` (n,) 1 where failed, and the fit."""

    views: Mapping[str, FloatArray]
    labels: FloatArray
    fit: Fit


class Acquisition:
    """Scores candidates, given what was told; the same for every pool of one ``ask``."""

    def __init__(
        self,
        goal: Goal,
        told: Told,
        views: Mapping[str, FloatArray],
        fits: Mapping[str, Fit],
        base: Pool,
        failure: Failure | None = None,
    ) -> None:
        """``views`` are the features of the told archs; metrics without a fit are known in ``base``."""
        self._goal = goal
        self._fits = fits
        self._told = told
        chosen = model_points(told.costs)
        self._model = told.take(chosen)
        self._views = {name: view[chosen] for name, view in views.items()}
        self._targets = {m: Target.anchored(self._costs(told, m), fit.offset) for m, fit in fits.items()}
        self._mixtures = {
            m: Mixture(fit, self._views, self._targets[m](self._costs(self._model, m)))
            for m, fit in fits.items()
        }
        self._failure = None if failure is None else _failure_model(failure)
        self._known = {m: self._known_costs(base, m) for m in goal.metrics if m not in fits}
        self._scales = {metric: known_scale(costs) for metric, costs in self._known.items()}
        self.reference = np.array([self._worst(o.metric, o.reference) for o in goal.objectives])

    def beliefs(self, pool: Pool, *, screening: bool = False) -> dict[str, Belief]:
        """What is believed of every metric at the candidates (see Mixture for ``screening``)."""
        found: dict[str, Belief] = {}
        for metric in self._goal.metrics:
            if metric in self._fits:
                target = self._targets[metric]
                surrogate = self._mixtures[metric].at(pool.views, screening=screening)
                found[metric] = LearnedBelief(target, surrogate)
            else:
                costs = self._known_costs(pool, metric)
                found[metric] = KnownBelief(self._scales[metric], costs, pool.known[metric][:, 1])
        if self._failure is not None:
            target, mixture = self._failure
            found[FAILURE] = LearnedBelief(target, mixture.at(pool.views, screening=screening))
        return found

    def front(self) -> FloatArray:
        """Scaled objective costs (f, m) of the study's own feasible archs.

        What earlier studies found is not on this study's front until it is asked again.
        """
        columns = [self._scaled(o.metric, self._costs(self._told, o.metric)) for o in self._goal.objectives]
        return np.stack(columns, axis=1)[self._told.feasible & self._told.own]

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

    def optimistic(self, beliefs: Mapping[str, Belief]) -> FloatArray:
        """Scaled objective costs (N, m) one standard deviation better than believed."""
        columns = [beliefs[o.metric].mean - beliefs[o.metric].std for o in self._goal.objectives]
        return np.stack(columns, axis=1)

    def log_feasible(self, beliefs: Mapping[str, Belief]) -> FloatArray:
        """Log probability (N,) that all constraints hold; sides and metrics as if independent."""
        total = np.zeros(len(next(iter(beliefs.values())).mean))
        bounds = self._goal.bounds()
        if FAILURE in beliefs:
            bounds.append(Bound(FAILURE, -np.inf, 0.5))
        for bound in bounds:
            belief = beliefs[bound.metric]
            for end, sign in ((bound.low, -1.0), (bound.high, 1.0)):
                if np.isfinite(end):
                    total += belief.log_below(end, sign)
        return total

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
        margin = KNOWN_MARGIN if metric in self._known else LEARNED_MARGIN
        worst = scaled.max() + margin * max(float(np.ptp(scaled)), 0.01)
        wanted = self._scaled(metric, np.array([self._goal.cost(metric, reference)]))[0]
        return float(min(worst, wanted))


def _failure_model(failure: Failure) -> tuple[Target, Mixture]:
    chosen = evenly(len(failure.labels), MODEL_POINTS)
    target = Target.anchored(failure.labels, failure.fit.offset)
    views = {name: view[chosen] for name, view in failure.views.items()}
    return target, Mixture(failure.fit, views, target(failure.labels[chosen]))
