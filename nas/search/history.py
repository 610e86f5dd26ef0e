"""History: what a searcher was told, and the numbers that searchers derive from it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from nas.pareto import FloatArray, cost_matrix
from nas.types import Constraint, Evaluation, Objective
from searchspaces.errors import InvalidArchError
from searchspaces.space import Arch, SearchSpace


class History:
    """All evaluations in the order told. Only ``tell`` changes it."""

    def __init__(
        self, space: SearchSpace, objectives: Sequence[Objective], constraints: Sequence[Constraint]
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.n_told = 0
        self.complete: list[Evaluation] = []  # those without error, their values finite
        self._archs: set[Arch] = set()

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Add evaluations. Raises InvalidArchError for an arch of another space, and adds none then."""
        for evaluation in evaluations:
            if evaluation.arch.space != self.space.id:
                raise InvalidArchError(f"told an arch of {evaluation.arch.space}; expected {self.space.id}")
        self.n_told += len(evaluations)
        self._archs.update(evaluation.arch for evaluation in evaluations)
        self.complete.extend(evaluation for evaluation in evaluations if self.usable(evaluation))

    def usable(self, evaluation: Evaluation) -> bool:
        """Without error, and no value of an objective or constraint is NaN or infinite."""
        metrics = [o.metric for o in self.objectives] + [c.metric for c in self.constraints]
        values = [evaluation.values[metric] for metric in metrics if metric in evaluation.values]
        return evaluation.error is None and all(map(math.isfinite, values))

    def taken(self, pending: Collection[Arch]) -> set[Arch]:
        """The archs that must not be asked: told or pending."""
        return self._archs.union(pending)

    def rng(self, seed: int, pending: Collection[Arch]) -> np.random.Generator:
        """The generator of one ``ask``: a function of seed, number told and number pending."""
        return np.random.default_rng([seed, self.n_told, len(pending)])

    def costs(self) -> FloatArray:
        """Costs (n, m) of the complete evaluations."""
        return cost_matrix(self.complete, self.objectives)

    def unit_costs(self) -> FloatArray:
        """Costs (n, m), each objective scaled to [0, 1] over the complete evaluations."""
        costs = self.costs()
        if not len(costs):
            return costs
        low = costs.min(axis=0)
        span = costs.max(axis=0) - low
        return np.asarray((costs - low) / np.where(span > 0, span, 1.0), dtype=np.float64)

    def violations(self) -> FloatArray:
        """Total violation (n,) of the complete evaluations; 0 exactly where feasible.

        Each constraint counts as a share of its largest violation so far, so units do not matter.
        """
        rows = [[c.violation(e.values[c.metric]) for c in self.constraints] for e in self.complete]
        each = np.array(rows, dtype=np.float64).reshape(len(self.complete), len(self.constraints))
        largest = each.max(axis=0, initial=0.0)
        return np.asarray((each / np.where(largest > 0, largest, 1.0)).sum(axis=1), dtype=np.float64)


def in_order(pending: Collection[Arch]) -> list[Arch]:
    """Pending archs in an order that does not depend on how a set iterates in this process."""
    return sorted(pending, key=lambda arch: arch.genes)
