"""The surrogate of one metric: a mixture of Gaussian processes with different feature views.

Which features, length scale, noise and scale of the target fit is not known beforehand and
changes with what was told; marginal likelihood weighs all of them, and the best few are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from nas.pareto import FloatArray, IntArray, pareto_rank
from nas.search.guided.gp import CandidateGP, ConditionedGP, Setting, evidences
from nas.search.guided.scale import OFFSETS, Scale, scale_of
from nas.search.guided.views import HINTED

PARTS = 4  # Gaussian processes in the mixture
NEGLIGIBLE = 0.03  # weight below which a part is left out
EVIDENCE_POINTS = 200  # told points that decide on hyperparameters
# Log odds of a view before anything was told. Ten archs' evidence says little of which view fits:
# by itself it prefers any that fits them by chance, and a few dozen overturn these odds.
PRIOR = {HINTED: 3.0}
MODEL_POINTS = 400  # told points that a Gaussian process is conditioned on


@dataclass(frozen=True, slots=True)
class Fit:
    """What was learned of a metric: the offset of its scale, and which Gaussian processes weigh how much."""

    offset: float | None
    parts: tuple[tuple[float, Setting], ...]  # weight, setting; weights sum to 1


@dataclass(frozen=True, slots=True)
class Target:
    """Costs as targets of Gaussian processes: increasing, mean 0 and variance 1 over the told costs."""

    scale: Scale
    centre: float
    spread: float

    @classmethod
    def anchored(cls, costs: FloatArray, offset: float | None) -> Target:
        """The target whose scale is anchored to the told costs (n,)."""
        scale = scale_of(costs, offset)
        scaled = scale(costs)
        return cls(scale, float(scaled.mean()), max(float(scaled.std()), 1e-12))

    def __call__(self, costs: FloatArray) -> FloatArray:
        """Costs (n,) standardised."""
        return (self.scale(costs) - self.centre) / self.spread

    def log_jacobian(self, costs: FloatArray) -> float:
        """Of the map of these costs (n,): what makes evidences under different targets comparable."""
        return float(self.scale.log_slope(costs).sum() - len(costs) * np.log(self.spread))


def fit(views: Mapping[str, FloatArray], costs: FloatArray) -> Fit:
    """Fit to the features (n, d) of every view and the costs (n,), n >= 2, finite."""
    chosen = evenly(len(costs), EVIDENCE_POINTS)
    costs = costs[chosen]
    targets = [Target.anchored(costs, offset) for offset in OFFSETS]
    columns = np.stack([target(costs) for target in targets], axis=1)
    jacobians = np.array([target.log_jacobian(costs) for target in targets])
    found = [
        (settings, values + PRIOR.get(name, 0.0))
        for name, x in views.items()
        for settings, values in evidences(name, x[chosen], columns)
    ]
    evidence = np.stack([values for _, values in found]) + jacobians  # (settings, offsets)
    best = int(np.argmax(logsumexp(evidence, axis=0)))
    order = np.argsort(-evidence[:, best], kind="stable")
    order = order[:PARTS]
    weights = np.exp(evidence[order, best] - evidence[order[0], best])
    weights /= weights.sum()
    kept = [(float(w), found[i][0][best]) for w, i in zip(weights, order, strict=True) if w > NEGLIGIBLE]
    total = sum(weight for weight, _ in kept)
    return Fit(OFFSETS[best], tuple((weight / total, setting) for weight, setting in kept))


class Mixture:
    """A fit conditioned on told points."""

    def __init__(self, fit: Fit, told: Mapping[str, FloatArray], targets: FloatArray) -> None:
        """Features (n, d) of every view; ``targets`` (n,) as the metric's ``Target`` gives them."""
        self._parts = [(w, ConditionedGP(s, told[s.view], targets)) for w, s in fit.parts]

    def at(self, candidates: Mapping[str, FloatArray], *, screening: bool = False) -> Surrogate:
        """Seen at candidates with these features (N, d).

        ``screening``: exact means with upper bounds of the variances, at a fraction of the cost.
        """
        gps = [gp.at(candidates[gp.setting.view], screening=screening) for _, gp in self._parts]
        return Surrogate([weight for weight, _ in self._parts], gps)


class Surrogate:
    """A mixture at fixed candidates; means and variances are standardised."""

    def __init__(self, weights: Sequence[float], gps: Sequence[CandidateGP]) -> None:
        self._weights = list(weights)
        self._gps = list(gps)

    @property
    def mean(self) -> FloatArray:
        """Mean (N,) of the mixture."""
        parts = [w * gp.mean for w, gp in zip(self._weights, self._gps, strict=True)]
        return np.asarray(np.sum(parts, axis=0), dtype=np.float64)

    @property
    def std(self) -> FloatArray:
        """Standard deviation (N,) of the mixture: within and between its parts."""
        pairs = list(zip(self._weights, self._gps, strict=True))
        second = np.sum([w * (gp.variance + np.square(gp.mean)) for w, gp in pairs], axis=0)
        return np.asarray(np.sqrt(np.maximum(second - np.square(self.mean), 1e-12)))

    def believe(self, index: int) -> None:
        """Condition every part on the mixture's mean at candidate ``index`` (the kriging believer)."""
        value = float(self.mean[index])
        for gp in self._gps:
            gp.believe(index, value)


def model_points(costs: FloatArray) -> IntArray:
    """Which of the told points (n, m) to condition on when there are too many, ascending.

    Half are the best by rank, half lie evenly over the rest.
    """
    if len(costs) <= MODEL_POINTS:
        return np.arange(len(costs))
    order = np.argsort(pareto_rank(costs), kind="stable")
    best, rest = order[: MODEL_POINTS // 2], np.sort(order[MODEL_POINTS // 2 :])
    return np.sort(np.concatenate([best, rest[evenly(len(rest), MODEL_POINTS - len(best))]]))


def evenly(n: int, limit: int) -> IntArray:
    """At most ``limit`` indices spread evenly over 0..n - 1, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.int64))
