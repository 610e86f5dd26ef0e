"""NSGA-II (Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm") as ask and tell.

Deviations from the paper, each so that the searcher is a function of its history:
the survivors are chosen among everything told, not only among the last parents and children
(an elite that can only be better); and a child that was evaluated before is varied again, since
a repeat would cost an evaluation and gain nothing. The first batch holds the smallest and the
largest arch, so that the population spans the range of costs from the start.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nas.pareto import FloatArray, IntArray, crowding_distance, pareto_rank
from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.unseen import unseen_archs, unseen_variant
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import crossover, mutate

POPULATION = 20  # small populations waste fewer evaluations on the budgets of NAS, a few hundred
CROSSOVER_PROBABILITY = 0.9


class NSGA2Searcher:
    """Evolution towards the front; infeasible archs lose to feasible ones (section VI of the paper)."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,  # noqa: ARG002 - learns from its own study only
        seed: int,
        population: int = POPULATION,
    ) -> None:
        self._history = History(space, objectives, constraints)
        self._seed = seed
        self._population = population

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        history = self._history
        rng = history.rng(self._seed, pending)
        taken = history.taken(pending)
        archs = self._founders(min(n, self._population - len(taken)), taken, rng)
        parents = self._parents()
        while len(archs) < n and parents:
            child = self._child(parents, taken, rng)
            if child is None:
                break
            archs.append(child)
            taken.add(child)
        return archs + unseen_archs(history.space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)

    def _founders(self, n: int, taken: set[Arch], rng: np.random.Generator) -> list[Arch]:
        """Up to ``n`` archs of the first generation; adds them to ``taken``."""
        space = self._history.space
        ends = [space.extreme(largest=False), space.extreme(largest=True)]
        archs = [arch for arch in dict.fromkeys(ends) if arch not in taken][: max(n, 0)]
        taken.update(archs)
        archs += unseen_archs(space, max(n - len(archs), 0), taken, rng)
        taken.update(archs)
        return archs

    def _parents(self) -> list[Arch]:
        """The surviving population, best first."""
        order = survival_order(self._history.costs(), self._history.violations())
        return [self._history.complete[i].arch for i in order[: self._population]]

    def _child(self, parents: Sequence[Arch], taken: set[Arch], rng: np.random.Generator) -> Arch | None:
        space = self._history.space
        child, other = (parents[_tournament(len(parents), rng)] for _ in range(2))
        if rng.random() < CROSSOVER_PROBABILITY:
            child = crossover(space, child, other, rng)
        child = mutate(space, child, rng, rate=1.0 / len(space.choices))
        return child if child not in taken else unseen_variant(space, child, taken, rng)


def survival_order(costs: FloatArray, violations: FloatArray) -> IntArray:
    """Indices (n,) from best to worst by constrained domination, then crowding (Deb et al. 2002).

    ``costs`` is (n, m), ``violations`` (n,) and 0 where feasible. Feasible points come first, by
    rank and within a rank by falling crowding distance; the others follow by rising violation.
    Ties keep the order told.
    """
    feasible = np.flatnonzero(violations == 0)
    rank = pareto_rank(costs[feasible])
    crowding = np.zeros(len(feasible))
    for r in np.unique(rank):
        crowding[rank == r] = crowding_distance(costs[feasible][rank == r])
    infeasible = np.flatnonzero(violations > 0)
    return np.concatenate(
        [
            feasible[np.lexsort((-crowding, rank))],
            infeasible[np.argsort(violations[infeasible], kind="stable")],
        ]
    )


def _tournament(n: int, rng: np.random.Generator) -> int:
    """The better of two random places of a population that is sorted from best to worst."""
    return int(rng.integers(n, size=2).min())
