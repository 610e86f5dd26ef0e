"""Scalarisation: how single-objective searchers search for a front.

Augmented Chebyshev (Steuer & Choo 1983): a weight vector picks one point of the front, also in its
concave parts; cycling through weight vectors covers the front (ParEGO, Knowles 2006).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from nas.pareto import FloatArray

AUGMENTATION = 0.05  # rho of ParEGO
DIVISIONS = 6
MIN_WEIGHT = 0.01  # a weight of 0 would accept any cost of that objective


def weight_vectors(n_objectives: int) -> FloatArray:
    """The simplex lattice of ``DIVISIONS`` divisions (Das & Dennis 1998), shape (w, m), rows sum to 1."""
    lattice = [
        point for point in product(range(DIVISIONS + 1), repeat=n_objectives) if sum(point) == DIVISIONS
    ]
    weights = np.maximum(np.array(lattice, dtype=np.float64) / DIVISIONS, MIN_WEIGHT)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def chebyshev(unit_costs: FloatArray, violations: FloatArray, weights: FloatArray) -> FloatArray:
    """One cost (n,) per point, lower is better.

    ``unit_costs`` is (n, m) in [0, 1], ``violations`` (n,) and 0 where feasible, ``weights`` (m,).
    An infeasible point costs more than every feasible one, the more the larger its violation.
    """
    weighted = unit_costs * weights
    costs = weighted.max(axis=1, initial=0.0) + AUGMENTATION * weighted.sum(axis=1)
    worst_feasible = 1.0 + AUGMENTATION
    return np.asarray(np.where(violations > 0, worst_feasible + violations, costs), dtype=np.float64)
