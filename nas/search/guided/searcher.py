"""GuidedSearcher: the front in tens of evaluations.

What is known is not searched for: latency comes from its device's predictor. What is not known is
learned from structural features by a mixture of Gaussian processes, and the archs that promise most
hypervolume are asked, in the whole space or, where it is too large to list, in an evolved pool.
Batches are chosen one by one, each believed to turn out as predicted (kriging believer, Ginsbourger
et al. 2010).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.guided.acquisition import Acquisition, Failure
from nas.search.guided.data import Goal, Told
from nas.search.guided.design import first_design
from nas.search.guided.evolve import Merit, evolve
from nas.search.guided.pool import Pool, Pools
from nas.search.guided.surrogate import Fit, fit
from nas.search.history import History, in_order
from nas.search.knowledge import NOTHING, Knowledge
from nas.search.unseen import unseen_archs
from nas.types import Constraint, Evaluation, Objective
from searchspaces.genes import archs_of, gene_matrix
from searchspaces.space import Arch, SearchSpace

DESIGN = 10  # archs asked before the surrogate decides
MIN_TOLD = 4  # evaluated archs without which nothing can be learned
SHORTLIST = 1024  # candidates among which a batch is chosen
CHUNK = 16_384  # candidates screened at a time
REFIT = 60  # up to so many told archs hyperparameters follow every one; then every 15 %
GROWTH = 1.15
JITTER = 0.05  # standard deviation of the noise on log scores: near-ties fall differently for each seed


@dataclass(frozen=True, slots=True)
class Promise:
    """Beliefs about n archs as scaled costs of m objectives: normal marginals, and what they improve on."""

    mean: FloatArray  # (n, m)
    std: FloatArray  # (n, m)
    feasible: FloatArray  # (n,), probabilities that all constraints hold
    front: FloatArray  # (f, m), of the study's own feasible archs
    reference: FloatArray  # (m,), just behind the worst costs there are


class GuidedSearcher:
    """See the module; learns from ``known.evaluations`` as from its own study's."""

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
        self._goal = Goal(tuple(objectives), tuple(constraints))
        self._seed = seed
        self._pools = Pools(space, known)
        self._told = _completed(space, known)
        self._n_earlier = len(self._told)
        self._learned = [m for m in self._goal.metrics if m not in known.predictors]
        self._fits: dict[int, dict[str, Fit]] = {}

    def ask(self, n: int, pending: Collection[Arch] = ()) -> list[Arch]:
        """See Searcher."""
        space = self._history.space
        rng = self._history.rng(self._seed, pending)
        taken = self._history.taken(pending)
        n_design = max(0, min(n, DESIGN - len(self._told) - len(pending)))
        archs = [arch for arch in self._design if arch not in taken][:n_design]
        taken.update(archs)
        told = Told.of(space, self._goal, self._told, self._n_earlier)
        if len(told.genes) >= MIN_TOLD and len(archs) < n:
            waiting = [*in_order(pending), *archs]
            archs += self._batch(told, n - len(archs), waiting, taken, rng)
            taken.update(archs)
        archs += self._connected(n - len(archs), taken, rng)
        taken.update(archs)
        return archs + unseen_archs(space, n - len(archs), taken, rng)

    def promise(self, archs: Sequence[Arch]) -> Promise | None:
        """What is believed of these archs; None while too little was told to learn from."""
        told = Told.of(self._history.space, self._goal, self._told, self._n_earlier)
        if len(told.genes) < MIN_TOLD:
            return None
        acquisition = self._acquisition(told)
        beliefs = acquisition.beliefs(self._pools.of(gene_matrix(self._history.space, archs)))
        objectives = [beliefs[objective.metric] for objective in self._goal.objectives]
        return Promise(
            np.stack([belief.mean for belief in objectives], axis=1),
            np.stack([belief.std for belief in objectives], axis=1),
            np.exp(acquisition.log_feasible(beliefs)),
            acquisition.front(),
            acquisition.reference,
        )

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Searcher."""
        self._history.tell(evaluations)
        self._told.extend(evaluations)

    @cached_property
    def _design(self) -> list[Arch]:
        rng = np.random.default_rng([self._seed, DESIGN])
        pools = self._pools
        genes = first_design(self._goal, pools.base, pools.ends, DESIGN, rng)
        return list(dict.fromkeys(archs_of(self._history.space, genes)))

    def _connected(self, n: int, taken: set[Arch], rng: np.random.Generator) -> list[Arch]:
        """Random archs of the base pool, which holds none that ignores its input."""
        if n <= 0:
            return []
        order = rng.permutation(len(self._pools.base.genes))
        archs = archs_of(self._history.space, self._pools.base.genes[order[: n + len(taken)]])
        return [arch for arch in archs if arch not in taken][:n]

    def _batch(
        self, told: Told, n: int, waiting: Sequence[Arch], taken: set[Arch], rng: np.random.Generator
    ) -> list[Arch]:
        """Up to ``n`` archs by acquisition; ``waiting`` ones are believed first."""
        space = self._history.space
        acquisition = self._acquisition(told)

        def judge(pool: Pool) -> Merit:
            beliefs = acquisition.beliefs(pool, screening=True)
            return Merit(acquisition.scores(beliefs, boxes), acquisition.optimistic(beliefs))

        boxes = acquisition.boxes(acquisition.front())
        if self._pools.enumerable:
            pool = self._free(self._pools.base, taken)
            scores = (
                np.concatenate([judge(part).scores for part in _chunks(pool)]) if len(pool.genes) else _NONE
            )
            pool = pool.take(np.sort(np.argsort(-scores, kind="stable")[:SHORTLIST]))
        else:
            pool = self._free(self._pools.of(evolve(space, told, self._pools, judge, rng)), taken)
        if not len(pool.genes):
            return []
        offsets = rng.normal(0.0, JITTER, len(pool.genes))
        chosen = self._choose(acquisition, pool, offsets, waiting, n)
        return archs_of(space, pool.genes[chosen])

    def _acquisition(self, told: Told) -> Acquisition:
        views = self._pools.views(told.genes)
        return Acquisition(self._goal, told, views, self._fit(told), self._pools.base, self._failure(told))

    def _choose(
        self, acquisition: Acquisition, pool: Pool, offsets: FloatArray, waiting: Sequence[Arch], n: int
    ) -> IntArray:
        """Positions in ``pool`` of up to ``n`` archs, one by one."""
        first = len(waiting)
        genes = np.concatenate([gene_matrix(self._history.space, waiting), pool.genes])
        beliefs = acquisition.beliefs(self._pools.of(genes))
        front = acquisition.front()
        offsets = np.concatenate([np.full(first, -np.inf), offsets])
        picked = list(range(first))
        for step in range(first + min(n, len(pool.genes))):
            if step >= first:
                scores = acquisition.scores(beliefs, acquisition.boxes(front)) + offsets
                picked.append(int(np.argmax(scores)))
                offsets[picked[-1]] = -np.inf
            index = picked[step]
            if acquisition.log_feasible(beliefs)[index] > np.log(0.5):
                point = [beliefs[o.metric].mean[index] for o in self._goal.objectives]
                front = np.vstack([front, point])
            for belief in beliefs.values():
                belief.believe(index)
        return np.array(picked[first:], dtype=np.int64) - first

    def _free(self, pool: Pool, taken: set[Arch]) -> Pool:
        """The pool without archs that are taken."""
        rows = gene_matrix(self._history.space, in_order(taken))
        forbidden = {row.tobytes() for row in rows}
        free = [i for i, row in enumerate(pool.genes) if row.tobytes() not in forbidden]
        return pool.take(np.array(free, dtype=np.int64))

    def _failure(self, told: Told) -> Failure | None:
        """What was learned of failures; None where there were none."""
        if not len(told.failed):
            return None
        views = self._pools.views(np.concatenate([told.genes, told.failed]))
        labels = np.concatenate([np.zeros(len(told.genes)), np.ones(len(told.failed))])
        return Failure(views, labels, fit(views, labels))

    def _fit(self, told: Told) -> dict[str, Fit]:
        """The fits of the learned metrics: of the first told archs, up to a step of the schedule."""
        n = len(told.genes)
        step = min(n, REFIT)
        while step < n and int(np.ceil(step * GROWTH)) <= n:
            step = int(np.ceil(step * GROWTH))
        if step not in self._fits:
            first = told.first(step)
            views = self._pools.views(first.genes)
            self._fits[step] = {
                metric: fit(views, first.costs[:, self._goal.metrics.index(metric)])
                for metric in self._learned
            }
        return self._fits[step]


def _completed(space: SearchSpace, known: Knowledge) -> list[Evaluation]:
    """The earlier evaluations of this space's archs, with this study's values of what is known.

    Another study may have searched for another device, or without a metric of this one.
    """
    earlier = [evaluation for evaluation in known.evaluations if evaluation.arch.space == space.id]
    values = [dict(evaluation.values) for evaluation in earlier]
    archs = [evaluation.arch for evaluation in earlier]
    for metric, predictor in known.predictors.items() if earlier else ():
        for row, value in zip(values, predictor.predict(archs).mean.tolist(), strict=True):
            row[metric] = value
    return [replace(evaluation, values=row) for evaluation, row in zip(earlier, values, strict=True)]


_NONE = np.zeros(0)


def _chunks(pool: Pool) -> list[Pool]:
    starts = range(0, len(pool.genes), CHUNK)
    return [pool.take(np.arange(start, min(start + CHUNK, len(pool.genes)))) for start in starts]
