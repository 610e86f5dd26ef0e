"""Archs spread evenly over a known cost: random ones of a large space all cost about the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.guided.beliefs import known_scale
from searchspaces.genes import cross_genes, mutate_genes
from searchspaces.space import SearchSpace

DESCENTS = 12  # generations towards each end
ROUNDS = 24  # of filling what lies between
CHILDREN = 64  # of each of them
ELITE = 8  # parents on the way to an end
CHANGES = 3.0  # choices that a mutation changes on average
BINS = 16  # of the scaled cost, between the ends

Cost = Callable[[IntArray], FloatArray]


def illuminate(space: SearchSpace, start: IntArray, cost: Cost, n: int, rng: np.random.Generator) -> IntArray:
    """Up to ``n`` distinct archs, genes (n, c), as even as may be over the scaled ``cost``, ends included.

    A short evolution from ``start`` (s, c) to either end of the cost; then archs of thinly filled
    bins are crossed and mutated, as in MAP-Elites (Mouret and Clune 2015), but no arch is better
    than another of its bin, so that each holds random ones.
    """
    genes = np.concatenate([start, *(_end(space, start, cost, sign, rng) for sign in (1.0, -1.0))])
    genes = np.unique(genes, axis=0)
    costs = cost(genes)
    for _ in range(ROUNDS):
        mothers, fathers = (genes[_even(costs, CHILDREN, rng)] for _ in range(2))
        children = _new(space, cross_genes(space, mothers, fathers, rng), genes, rng)
        genes = np.concatenate([genes, children])
        costs = np.concatenate([costs, cost(children)])
    return genes[np.unique(_even(costs, n, rng, replace=False))]


def _end(space: SearchSpace, start: IntArray, cost: Cost, sign: float, rng: np.random.Generator) -> IntArray:
    """The best archs of every generation on the way to the smallest ``sign`` times ``cost``."""
    genes, costs = start, sign * cost(start)
    passed = []
    for _ in range(DESCENTS):
        best = np.argsort(costs, kind="stable")[:ELITE]
        genes, costs = genes[best], costs[best]
        passed.append(genes)
        children = _new(space, genes[rng.integers(len(genes), size=CHILDREN)], genes, rng)
        genes = np.concatenate([genes, children])
        costs = np.concatenate([costs, sign * cost(children)])
    return np.concatenate(passed)


def _new(space: SearchSpace, rows: IntArray, seen: IntArray, rng: np.random.Generator) -> IntArray:
    """Distinct connected mutants of ``rows`` that are not among ``seen``; may be none."""
    mutants = np.unique(mutate_genes(space, rows, rng, changes=CHANGES), axis=0)
    known = {row.tobytes() for row in seen}
    fresh = np.array([row.tobytes() not in known for row in mutants], dtype=np.bool_)
    return np.asarray(mutants[space.connected(mutants) & fresh])


def _even(costs: FloatArray, n: int, rng: np.random.Generator, *, replace: bool = True) -> IntArray:
    """``n`` positions (fewer if there are not so many, without ``replace``), every bin as likely."""
    scaled = known_scale(costs)(costs)
    bins = np.floor((scaled - scaled.min()) / max(float(np.ptp(scaled)), 1e-12) * BINS)
    bins = np.minimum(bins, BINS - 1).astype(np.int64)
    weights = 1.0 / np.bincount(bins, minlength=BINS)[bins]
    if not replace:
        # The largest keys of u^(1/w) are a weighted sample without replacement (Efraimidis, Spirakis 2006).
        return np.argsort(-np.log(rng.random(len(costs))) / weights, kind="stable")[:n]
    return rng.choice(len(costs), n, p=weights / weights.sum())
