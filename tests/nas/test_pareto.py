"""Fronts against brute force, and the laws of fronts and hypervolumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.pareto import (
    cost_matrix,
    crowding_distance,
    front_mask,
    hypervolume,
    is_feasible,
    is_nondominated,
    pareto_front,
    pareto_rank,
    reference_costs,
)
from nas.types import Constraint, Direction, Evaluation, Objective
from searchspaces.space import Arch

Costs = NDArray[np.float64]
TOP1 = Objective("top1", Direction.MAXIMIZE, 0.0)
LATENCY = Objective("latency_ms", Direction.MINIMIZE, 10.0)


@st.composite
def grids(draw: st.DrawFn, max_objectives: int = 4) -> Costs:
    """Costs on a coarse grid, so that ties in one and in all objectives are common."""
    m = draw(st.integers(1, max_objectives))
    rows = draw(st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), max_size=16))
    return np.array(rows, dtype=np.float64).reshape(len(rows), m)


def dominates(a: Costs, b: Costs) -> bool:
    return bool((a <= b).all() and (a < b).any())


def brute_front(costs: Costs) -> list[bool]:
    return [not any(dominates(other, row) for other in costs) for row in costs]


def brute_rank(costs: Costs) -> list[int]:
    rank, left, r = [0] * len(costs), list(range(len(costs))), 0
    while left:
        front = [i for i in left if not any(dominates(costs[j], costs[i]) for j in left)]
        for i in front:
            rank[i] = r
        left, r = [i for i in left if i not in front], r + 1
    return rank


def brute_hypervolume(costs: Costs, reference: Sequence[int]) -> float:
    """Count the unit cells of the grid that some point dominates."""
    cells = np.stack(np.meshgrid(*(np.arange(r) for r in reference), indexing="ij"), -1)
    cells = cells.reshape(-1, len(reference))
    return float(sum(any((row <= cell).all() for row in costs) for cell in cells))


@given(grids())
def test_front_equals_brute_force(costs: Costs) -> None:
    assert is_nondominated(costs).tolist() == brute_front(costs)


@given(grids())
def test_rank_equals_peeling(costs: Costs) -> None:
    assert pareto_rank(costs).tolist() == brute_rank(costs)


@given(grids())
def test_front_of_a_front_is_itself(costs: Costs) -> None:
    assert is_nondominated(costs[is_nondominated(costs)]).all()


@given(grids(max_objectives=3))
def test_hypervolume_equals_counted_cells(costs: Costs) -> None:
    reference = [4] * costs.shape[1]
    assert hypervolume(costs, reference) == pytest.approx(brute_hypervolume(costs, reference))


@given(grids())
def test_hypervolume_ignores_order_and_dominated_points(costs: Costs) -> None:
    reference = [5.0] * costs.shape[1]
    whole = hypervolume(costs, reference)
    assert hypervolume(costs[::-1], reference) == pytest.approx(whole)
    assert hypervolume(costs[is_nondominated(costs)], reference) == pytest.approx(whole)
    assert hypervolume(costs[1:], reference) <= whole + 1e-9


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([[1.0, 9.0], [3.0, 3.0]], [4.0, 4.0]) == pytest.approx(1.0)
    assert hypervolume([[4.0, 1.0]], [4.0, 4.0]) == 0.0
    assert hypervolume(np.zeros((0, 2)), [4.0, 4.0]) == 0.0


def test_crowding_is_the_relative_gap_of_the_neighbours() -> None:
    distance = crowding_distance([[0.0, 10.0], [4.0, 2.0], [1.0, 5.0], [10.0, 0.0]])
    assert distance.tolist() == [np.inf, pytest.approx(0.9 + 0.5), pytest.approx(0.4 + 0.8), np.inf]
    assert crowding_distance(np.ones((3, 2))).tolist() == [0.0, 0.0, 0.0]
    assert crowding_distance(np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [is_nondominated, pareto_rank, crowding_distance])
def test_costs_must_be_finite(function: object, value: float) -> None:
    with pytest.raises(ValueError, match="row 1"):
        function([[0.0, 1.0], [value, 1.0]])  # type: ignore[operator]


def test_hypervolume_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(ValueError, match="finite"):
        hypervolume([[np.nan, 1.0]], [1.0, 1.0])
    with pytest.raises(ValueError, match="reference must be finite"):
        hypervolume([[0.0, 0.0]], [1.0, np.nan])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        hypervolume([[0.0, 0.0]], [1.0])
    with pytest.raises(ValueError, match=r"\(n, m\)"):
        is_nondominated([1.0, 2.0])


def evaluation(gene: int, top1: float, latency_ms: float, error: str | None = None) -> Evaluation:
    return Evaluation(Arch("toy@1", (gene,)), {"top1": top1, "latency_ms": latency_ms}, error)


def test_front_of_evaluations_keeps_ties_and_leaves_out_errors_and_infeasible_ones() -> None:
    evaluations = [
        evaluation(0, 0.9, 3.0),
        evaluation(1, 0.9, 3.0),  # another arch with the same costs
        evaluation(2, 0.8, 3.0),
        evaluation(3, 0.5, 1.0),
        evaluation(4, 1.0, 0.5, error="does not build"),
        evaluation(5, 0.95, 6.0),
    ]
    limit = Constraint("latency_ms", maximum=5.0)
    assert front_mask(evaluations, (TOP1, LATENCY), (limit,)).tolist() == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert pareto_front(evaluations, (TOP1, LATENCY)) == [evaluations[i] for i in (0, 1, 3, 5)]
    assert pareto_front([], (TOP1, LATENCY)) == []


def test_cost_signs_follow_the_direction() -> None:
    assert cost_matrix([evaluation(0, 0.9, 3.0)], (TOP1, LATENCY)).tolist() == [[-0.9, 3.0]]
    assert reference_costs((TOP1, LATENCY)).tolist() == [0.0, 10.0]


def test_missing_value_is_named() -> None:
    bare = Evaluation(Arch("toy@1", (0,)), {"top1": 0.5})
    with pytest.raises(ValueError, match="latency_ms"):
        cost_matrix([bare], (TOP1, LATENCY))
    with pytest.raises(ValueError, match="macs"):
        is_feasible(bare, (Constraint("macs", maximum=1e6),))
