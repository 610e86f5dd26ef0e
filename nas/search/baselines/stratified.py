"""Random search that is spread over the latency range: what knowing latency is worth by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nas.pareto import FloatArray
from nas.search.history import History
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.unseen import unseen_archs
from nas.types import Constraint, Evaluation, Objective
from searchspaces.genes import archs_of, sample_genes
from searchspaces.space import Arch, SearchSpace

DRAWS_PER_ARCH = 32


class StratifiedSearcher:
    """One random arch from each of n equal slices of the first known objective, on a log scale if positive.

    Without a known objective it is random search; constraints do not steer it.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[Constraint] = (),
        known: Knowledge = NOTHING,
        seed: int,
    ) -> None:
        self._history = History(space, objectives, constraints)
        self._seed = seed
        metrics = [objective.metric for objective in objectives if objective.metric in known.predictors]
        self._predictor = known.predictors[metrics[0]] if metrics else None

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        space = self._history.space
        rng = self._history.rng(self._seed, pending)
        taken = self._history.taken(pending)
        archs: list[Arch] = []
        if self._predictor is not None and n > 0:
            n_draws = min(n * DRAWS_PER_ARCH, 4 * space.size())
            drawn = dict.fromkeys(archs_of(space, sample_genes(space, n_draws, rng)))
            free = [arch for arch in drawn if arch not in taken]
            if free:
                slices = _slices(self._predictor.predict(free).mean, n)
                archs = [free[int(np.argmax(slices == s))] for s in np.unique(slices)]
        taken.update(archs)
        return archs + unseen_archs(space, n - len(archs), taken, rng)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)


def _slices(values: FloatArray, n: int) -> FloatArray:
    """Which of ``n`` slices of equal width (0..n - 1) each value (N,) lies in."""
    scaled = np.log(values) if values.min() > 0 else values
    span = max(float(np.ptp(scaled)), 1e-12)
    return np.asarray(np.minimum(np.floor((scaled - scaled.min()) / span * n), n - 1))
