"""An evolved pool: candidates of a space too large to list."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.pareto import FloatArray, IntArray, pareto_rank
from nas.search.guided.data import Told
from nas.search.guided.pool import Pool, Pools
from searchspaces.genes import cross_genes, mutate_genes, sample_genes
from searchspaces.space import SearchSpace

GENERATIONS = 3
CHILDREN = 192  # per generation
STRANGERS = 64  # random archs in the first one
PARENTS = 48
CHANGES = (1.0, 4.0)  # choices that a mutation changes on average: near and far ones
SHORTLIST = 512  # archs returned


def evolve(
    space: SearchSpace,
    told: Told,
    pools: Pools,
    score: Callable[[Pool], FloatArray],
    rng: np.random.Generator,
) -> Pool:
    """The best archs that a few generations from the told front and random archs find by ``score``."""
    front = told.genes[_best(told, PARENTS)]
    parents = front
    seen = np.zeros((0, len(space.choices)), dtype=np.int64)
    scores = np.zeros(0)
    for generation in range(GENERATIONS):
        children = _children(space, parents, CHILDREN, rng)
        if generation == 0:
            children = np.concatenate([children, sample_genes(space, STRANGERS, rng)])
        children = _new(children[space.connected(children)], seen)
        if len(children):
            scores = np.concatenate([scores, score(pools.of(children))])
            seen = np.concatenate([seen, children])
        order = np.argsort(-scores, kind="stable")
        parents = np.concatenate([seen[order[:PARENTS]], front[: PARENTS // 4]])
    return pools.of(seen[np.sort(np.argsort(-scores, kind="stable")[:SHORTLIST])])


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


def _new(genes: IntArray, seen: IntArray) -> IntArray:
    """The distinct rows that are not among ``seen``, in their order."""
    known = {row.tobytes() for row in seen}
    fresh = {row.tobytes(): i for i, row in reversed(list(enumerate(genes)))}
    return genes[sorted(i for key, i in fresh.items() if key not in known)]
