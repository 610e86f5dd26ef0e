"""The told evaluations as arrays, and which metrics a search is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.pareto import BoolArray, FloatArray, IntArray
from nas.types import Constraint, Evaluation, Objective
from searchspaces.genes import gene_matrix
from searchspaces.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Bound:
    """A metric's cost must lie within [low, high]; infinite where open."""

    metric: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Goal:
    """Objectives and constraints in terms of costs: every metric has one cost, lower is better."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of the objectives in their order, then those of the constraints alone."""
        names = [o.metric for o in self.objectives] + [c.metric for c in self.constraints]
        return tuple(dict.fromkeys(names))

    def cost(self, metric: str, value: float) -> float:
        """The cost of a value: the objective's; the value itself for a metric of constraints alone."""
        objective = next((o for o in self.objectives if o.metric == metric), None)
        return value if objective is None else objective.cost(value)

    def bounds(self) -> list[Bound]:
        """The constraints as bounds of costs."""
        found = []
        for constraint in self.constraints:
            low = -np.inf if constraint.minimum is None else constraint.minimum
            high = np.inf if constraint.maximum is None else constraint.maximum
            ends = sorted((self.cost(constraint.metric, low), self.cost(constraint.metric, high)))
            found.append(Bound(constraint.metric, ends[0], ends[1]))
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """n evaluated archs: genes (n, c), costs (n, k) in the order of ``Goal.metrics``, ``failed`` (f, c).

    ``own`` (n,) tells those of the study from those of earlier ones.
    """

    genes: IntArray
    costs: FloatArray
    feasible: BoolArray
    own: BoolArray
    failed: IntArray

    @classmethod
    def of(
        cls, space: SearchSpace, goal: Goal, evaluations: Sequence[Evaluation], n_earlier: int = 0
    ) -> Told:
        """From evaluations in the order told, ``n_earlier`` of them of earlier studies.

        One with an error or a value that is not finite failed.
        """
        rows, archs, failed, feasible, own = [], [], [], [], []
        for number, evaluation in enumerate(evaluations):
            row = [goal.cost(m, evaluation.values.get(m, np.nan)) for m in goal.metrics]
            if evaluation.error is not None or not np.isfinite(row).all():
                failed.append(evaluation.arch)
                continue
            archs.append(evaluation.arch)
            own.append(number >= n_earlier)
            rows.append(row)
            feasible.append(all(c.violation(evaluation.values[c.metric]) == 0 for c in goal.constraints))
        costs = np.array(rows, dtype=np.float64).reshape(len(rows), len(goal.metrics))
        return cls(
            gene_matrix(space, archs),
            costs,
            np.array(feasible, dtype=np.bool_),
            np.array(own, dtype=np.bool_),
            gene_matrix(space, failed),
        )

    def first(self, n: int) -> Told:
        """The first ``n`` of the evaluated archs."""
        return self.take(np.arange(n))

    def take(self, index: IntArray) -> Told:
        """Some of the evaluated archs."""
        return Told(self.genes[index], self.costs[index], self.feasible[index], self.own[index], self.failed)
