"""The first design: archs spread over what is known, because there is nothing learned yet."""

from __future__ import annotations

import numpy as np

from nas.pareto import FloatArray, IntArray
from nas.search.guided.beliefs import known_scale
from nas.search.guided.data import Goal
from nas.search.guided.pool import Pool

SUBSET = 1024  # archs among which the spread ones are looked for: different ones for each seed


def first_design(goal: Goal, base: Pool, ends: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    """Genes (n, c) of up to ``n`` archs of ``base``, in an order whose every start is spread.

    Farthest point in the scaled costs of the known objectives; the ``ends`` of the space (genes
    (e, c)) and random archs where none is known.
    """
    subset = rng.permutation(len(base.genes))[:SUBSET]
    known = [objective.metric for objective in goal.objectives if objective.metric in base.known]
    if not known:
        return np.concatenate([ends, base.genes[subset]])[:n]
    columns = []
    for metric in known:
        costs = goal.cost(metric, 1.0) * base.known[metric][:, 0]
        scaled = known_scale(costs)(costs)
        columns.append((scaled - scaled.min()) / max(float(np.ptp(scaled)), 1e-12))
    points = np.stack(columns, axis=1)
    lowest = int(np.argmin(points.sum(axis=1)))  # the whole base's, whatever the subset holds
    candidates = np.concatenate([[lowest], subset[subset != lowest]])
    rows: IntArray = base.genes[candidates[_farthest(points[candidates], n)]]
    return rows


def _farthest(points: FloatArray, n: int) -> IntArray:
    """Greedy farthest-point order of rows (N, m), beginning with row 0."""
    chosen = [0]
    distance = np.abs(points - points[0]).max(axis=1)
    while len(chosen) < min(n, len(points)):
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.abs(points - points[chosen[-1]]).max(axis=1))
    return np.array(chosen, dtype=np.int64)
