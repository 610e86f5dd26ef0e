"""Archs spread evenly over a known cost: random ones of a large space all cost about the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.guided.beliefs import known_scale
from nas.search.unseen import unseen_genes
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
    """Up to ``n`` distinct archs, genes (n, c), as even as may be over the scaled ``cost``.

    ``cost`` maps genes (m, c) to values (m,).

    A short evolution from ``start`` (s, c) to either end of the cost; then archs of thinly filled
    bins are crossed and mutated, as in MAP-Elites (Mouret and Clune 2015), but no arch is better
    than another of its bin, so that each holds random ones. ``start`` must not be empty.
    """
    genes = np.concatenate([start, *(_end(space, start, cost, sign, rng) for sign in (1.0, -1.0))])
    genes = np.unique(genes, axis=0)
    costs = cost(genes)
    for _ in range(ROUNDS):
        mothers, fathers = (genes[_draw(costs, CHILDREN, rng)] for _ in range(2))
        children = _mutants(space, cross_genes(space, mothers, fathers, rng), genes, rng)
        genes = np.concatenate([genes, children])
        costs = np.concatenate([costs, cost(children)])
    return genes[_thin(costs, n, rng)]


def _end(space: SearchSpace, start: IntArray, cost: Cost, sign: float, rng: np.random.Generator) -> IntArray:
    """The best archs of every generation on the way to the smallest ``sign`` times ``cost``."""
    genes, costs = start, sign * cost(start)
    passed = []
    for _ in range(DESCENTS):
        best = np.argsort(costs, kind="stable")[:ELITE]
        genes, costs = genes[best], costs[best]
        passed.append(genes)
        children = _mutants(space, genes[rng.integers(len(genes), size=CHILDREN)], genes, rng)
        genes = np.concatenate([genes, children])
        costs = np.concatenate([costs, sign * cost(children)])
    return np.concatenate(passed)


def _mutants(space: SearchSpace, rows: IntArray, seen: IntArray, rng: np.random.Generator) -> IntArray:
    """Distinct connected mutants of ``rows`` (n, c) that are not among ``seen`` (s, c); may be none."""
    mutants = np.unique(mutate_genes(space, rows, rng, changes=CHANGES), axis=0)
    return unseen_genes(mutants[space.connected(mutants)], seen)


def _weights(costs: FloatArray) -> FloatArray:
    """Weights (n,) under which every bin of the scaled ``costs`` (n,) that is not empty is as likely."""
    scaled = known_scale(costs)(costs)
    bins = np.floor((scaled - scaled.min()) / max(float(np.ptp(scaled)), 1e-12) * BINS)
    bins = np.minimum(bins, BINS - 1).astype(np.int64)
    return np.asarray(1.0 / np.bincount(bins, minlength=BINS)[bins])


def _draw(costs: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` positions by weight, with replacement."""
    weights = _weights(costs)
    return rng.choice(len(costs), n, p=weights / weights.sum())


def _thin(costs: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """At most ``n`` different positions by weight, ascending.

    The largest keys of u^(1/w) are such a sample (Efraimidis and Spirakis 2006).
    """
    keys = np.log(rng.random(len(costs))) / _weights(costs)
    return np.sort(np.argsort(-keys, kind="stable")[:n])
