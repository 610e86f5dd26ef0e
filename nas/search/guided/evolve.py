"""An evolved pool: candidates of a space too large to list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.pareto import FloatArray, IntArray, pareto_rank
from nas.search.guided.data import Told
from nas.search.guided.pool import Pool, Pools
from nas.search.nsga2 import survival_order
from nas.search.unseen import unseen_genes
from searchspaces.genes import cross_genes, mutate_genes, sample_genes
from searchspaces.space import SearchSpace

GENERATIONS = 16
CHILDREN = 96  # per generation
STRANGERS = 64  # random archs in the first one
PARENTS = 48
CHANGES = (1.0, 4.0)  # choices that a mutation changes on average: near and far ones
SHORTLIST = 256  # archs returned


@dataclass(frozen=True, slots=True)
class Merit:
    """What evolution selects by: log ``scores`` (N,), higher is better, and optimistic ``costs`` (N, m)."""

    scores: FloatArray
    costs: FloatArray


def evolve(
    space: SearchSpace,
    told: Told,
    pools: Pools,
    judge: Callable[[Pool], Merit],
    rng: np.random.Generator,
) -> IntArray:
    """Genes (N, c) of the best archs that some generations from told and random archs find.

    Half of the parents are those of highest score, which all lie where the front grows most; the
    other half the least dominated ones, which keep the whole front in sight.
    """
    front = np.concatenate([told.genes[_best(told, PARENTS)], pools.ends])
    parents = front
    seen = np.zeros((0, len(space.choices)), dtype=np.int64)
    scores, costs = np.zeros(0), np.zeros((0, told.costs.shape[1]))
    for generation in range(GENERATIONS):
        children = _children(space, parents, CHILDREN, rng)
        if generation == 0:
            children = np.concatenate([children, sample_genes(space, STRANGERS, rng), front])
        children = unseen_genes(children[space.connected(children)], seen)
        if len(children):
            merit = judge(pools.of(children))
            costs = np.concatenate([costs, merit.costs]) if len(seen) else merit.costs
            scores = np.concatenate([scores, merit.scores])
            seen = np.concatenate([seen, children])
        by_score = np.argsort(-scores, kind="stable")[: PARENTS // 2]
        by_rank = survival_order(costs, np.zeros(len(costs)))[: PARENTS // 2]
        parents = seen[np.stack([by_score, by_rank], axis=1).ravel()] if len(seen) > PARENTS else front
    return seen[np.sort(np.argsort(-scores, kind="stable")[:SHORTLIST])]


def _best(told: Told, n: int) -> IntArray:
    """Positions of the feasible archs of lowest rank, the newest of a rank first; all if none is feasible."""
    index = np.flatnonzero(told.feasible) if told.feasible.any() else np.arange(len(told.genes))
    rank = pareto_rank(told.costs[index])
    return index[np.lexsort((-index, rank))[:n]]


def _children(space: SearchSpace, parents: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    """Half mutants, half mutated crossovers, of parents of which earlier rows are drawn more often."""
    mothers, fathers = (parents[np.minimum(*rng.integers(len(parents), size=(2, n)))] for _ in range(2))
    crossed = cross_genes(space, mothers, fathers, rng)
    rows = np.where((np.arange(n) % 2 == 0)[:, None], mothers, crossed)
    near = mutate_genes(space, rows, rng, changes=CHANGES[0])
    far = mutate_genes(space, rows, rng, changes=CHANGES[1])
    return np.where((rng.random(n) < 0.5)[:, None], near, far)
