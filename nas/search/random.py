"""Random search: the baseline that every other searcher has to beat."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.unseen import unseen_archs
from nas.types import Constraint, Evaluation, Objective
from searchspaces.space import Arch, SearchSpace


class RandomSearcher:
    """Draws archs by ``SearchSpace.sample`` without repeating any; constraints do not steer it."""

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
        """See Searcher."""
        rng = self._history.rng(self._seed, pending)
        return unseen_archs(self._history.space, n, self._history.taken(pending), rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)
