"""Ageing evolution (Real et al. 2019, arXiv 1802.01548) for several objectives.

The oldest die, whatever they are worth: the population is what was told last. Tournaments need
one number; each child takes another weight vector of the Chebyshev scalarisation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.scalarize import chebyshev, weight_vectors
from nas.search.unseen import unseen_archs, unseen_variant
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace
from searchspaces.variation import mutate

POPULATION = 40
TOURNAMENT = 10
FOUNDERS = 20


class AgeingSearcher:
    """Random founders, then mutants of tournament winners among the youngest."""

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
        self._weights = weight_vectors(len(self._history.objectives))

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        history = self._history
        rng = history.rng(self._seed, pending)
        taken = history.taken(pending)
        archs = unseen_archs(history.space, min(n, FOUNDERS - len(taken)), taken, rng)
        taken.update(archs)
        while len(archs) < n and history.complete:
            child = self._child(history.n_told + len(pending) + len(archs), taken, rng)
            if child is None:
                break
            archs.append(child)
            taken.add(child)
        return archs + unseen_archs(history.space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)

    def _child(self, number: int, taken: set[Arch], rng: np.random.Generator) -> Arch | None:
        history = self._history
        weights = self._weights[number % len(self._weights)]
        costs = chebyshev(history.unit_costs(), history.violations(), weights)[-POPULATION:]
        young = history.complete[-POPULATION:]
        drawn = rng.permutation(len(young))[:TOURNAMENT]
        parent = young[int(drawn[np.argmin(costs[drawn])])].arch
        child = mutate(history.space, parent, rng, rate=1.0 / len(history.space.choices))
        return child if child not in taken else unseen_variant(history.space, child, taken, rng)
