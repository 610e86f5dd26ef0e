"""Fronts and their quality: dominance, rank, crowding, hypervolume.

Notation: ``n`` points, ``m`` objectives; ``costs`` is (n, m) float64, every column minimised.
a dominates b when a is nowhere above b and somewhere below it. Equal cost vectors do not
dominate one another, so two archs with the same costs both stay on the front. The kernels are
those of moocore (Kung, Luccio & Preparata 1975; Fonseca, Paquete & López-Ibáñez 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.types import Constraint, Evaluation, Objective

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def is_nondominated(costs: ArrayLike) -> BoolArray:
    """Mask (n,) of the rows of ``costs`` (n, m) that no other row dominates; equal rows all stay.

    Raises ValueError for a shape other than (n, m >= 1), NaN or infinity.
    """
    points = _checked(costs)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def pareto_rank(costs: ArrayLike) -> IntArray:
    """Rank (n,) of each row: 0 on the front, 1 on the front of the rest, and so on (Deb et al. 2002).

    Equal rows share a rank. Raises ValueError like ``is_nondominated``.
    """
    points = _checked(costs)
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(points), dtype=np.int64)


def crowding_distance(costs: ArrayLike) -> FloatArray:
    """Crowding distance (n,) of the rows of one front (Deb et al. 2002, section III-B).

    The sum over objectives of the gap between a point's two neighbours, as a share of the range;
    infinite at both ends of every objective that varies. Raises ValueError like ``is_nondominated``.
    """
    points = _checked(costs)
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]] if len(order) else 0.0
        if span == 0.0:
            continue
        distance[order[0]] = distance[order[-1]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def hypervolume(costs: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the rows of ``costs`` (n, m) dominate and ``reference`` (m,) bounds; 0 when there is none.

    Points that do not strictly dominate the reference add nothing. Raises ValueError for shapes
    that do not match, NaN or infinity.
    """
    points = _checked(costs)
    bound = np.asarray(reference, dtype=np.float64)
    if bound.shape != (points.shape[1],):
        raise ValueError(f"reference must have shape ({points.shape[1]},); got {bound.shape}")
    if not np.isfinite(bound).all():
        raise ValueError(f"reference must be finite; got {bound.tolist()}")
    points = points[(points < bound).all(axis=1)]
    return float(moocore.hypervolume(points, ref=bound)) if len(points) else 0.0


def cost_matrix(evaluations: Sequence[Evaluation], objectives: Sequence[Objective]) -> FloatArray:
    """Costs (n, m): column i holds ``objectives[i].cost`` of each evaluation's value.

    Raises ValueError, naming arch and metric, when a value is missing.
    """
    costs = np.empty((len(evaluations), len(objectives)))
    for row, evaluation in enumerate(evaluations):
        for column, objective in enumerate(objectives):
            costs[row, column] = objective.cost(_value(evaluation, objective.metric))
    return costs


def reference_costs(objectives: Sequence[Objective]) -> FloatArray:
    """The hypervolume reference (m,) of these objectives as costs."""
    return np.array([objective.cost(objective.reference) for objective in objectives])


def is_feasible(evaluation: Evaluation, constraints: Sequence[Constraint]) -> bool:
    """Whether the arch has values and all of them lie within the constraints.

    Raises ValueError, naming arch and metric, when the value of a constraint is missing.
    """
    if evaluation.error is not None:
        return False
    return all(c.violation(_value(evaluation, c.metric)) == 0.0 for c in constraints)


def front_mask(
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> BoolArray:
    """Mask (n,) of the feasible evaluations without error that no other such evaluation dominates."""
    mask = np.array([is_feasible(evaluation, constraints) for evaluation in evaluations], dtype=np.bool_)
    feasible = [evaluation for evaluation, keep in zip(evaluations, mask, strict=True) if keep]
    if feasible:
        mask[mask] = is_nondominated(cost_matrix(feasible, objectives))
    return mask


def pareto_front(
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> list[Evaluation]:
    """The evaluations of ``front_mask`` in the order given; evaluations with equal costs all stay."""
    mask = front_mask(evaluations, objectives, constraints)
    return [evaluation for evaluation, keep in zip(evaluations, mask, strict=True) if keep]


def _value(evaluation: Evaluation, metric: str) -> float:
    if metric not in evaluation.values:
        raise ValueError(
            f"evaluation of arch {evaluation.arch.key} has no value {metric!r}; "
            f"it has {', '.join(sorted(evaluation.values)) or 'none'}"
        )
    return evaluation.values[metric]


def _checked(costs: ArrayLike) -> FloatArray:
    points = np.ascontiguousarray(costs, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"costs must have shape (n, m) with m >= 1; got {points.shape}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"costs must be finite; row {row} is {points[row].tolist()}")
    return points
