"""Pareto local search (Paquete, Chiarandini & Stützle 2004): ask the neighbours of the front."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.nsga2 import survival_order
from nas.search.unseen import unseen_archs
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import neighbours

FOUNDERS = 10


class LocalSearcher:
    """Random founders, then unseen neighbours of the best archs, feasible and least dominated first."""

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,  # noqa: ARG002 - learns from its own study only
        seed: int,
    ) -> None:
        self._history = History(space, objectives, constraints)
        self._seed = seed

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher: one neighbour of each of the best archs in turn, so that a batch spreads."""
        history = self._history
        rng = history.rng(self._seed, pending)
        taken = history.taken(pending)
        archs = unseen_archs(history.space, min(n, FOUNDERS - len(taken)), taken, rng)
        taken.update(archs)
        order = survival_order(history.costs(), history.violations())
        for i in order:
            if len(archs) >= n:
                break
            around = neighbours(history.space, history.complete[i].arch)
            free = [arch for arch in around if arch not in taken]
            if free:
                archs.append(free[int(rng.integers(len(free)))])
                taken.add(archs[-1])
        return archs + unseen_archs(history.space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)
