"""Searchers earn their keep: at equal budget they find more hypervolume than random search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.evaluate.inline_pool import InlinePool
from nas.memory_store import InMemoryStore
from nas.search.nsga2 import survival_order
from nas.search.registry import get_searcher
from nas.search.scalarize import chebyshev, weight_vectors
from nas.search.unseen import ENUMERABLE, unseen_archs
from nas.study import run_study
from searchspaces.registry import get_space
from tests.contracts.toy import OBJECTIVES, ToyEvaluator, toy_space, toy_study

LARGE = toy_space(7)  # 97 655 archs


def hypervolume_after(searcher: str, budget: int, seed: int) -> float:
    study = toy_study(searcher=searcher, budget=budget, batch_size=10, seed=seed)
    made = get_searcher(searcher)(LARGE, OBJECTIVES, seed=seed)
    return run_study(study, made, InlinePool(ToyEvaluator(LARGE)), InMemoryStore()).hypervolumes[-1][1]


@pytest.mark.parametrize("searcher", ["nsga2", "tpe"])
def test_better_than_random_search(searcher: str) -> None:
    found = {name: [hypervolume_after(name, 80, seed) for seed in range(3)] for name in (searcher, "random")}
    assert np.mean(found[searcher]) > np.mean(found["random"])


def test_nsga2_starts_with_both_ends_of_the_space() -> None:
    archs = get_searcher("nsga2")(LARGE, OBJECTIVES, seed=3).ask(5)
    assert archs[:2] == [LARGE.extreme(largest=False), LARGE.extreme(largest=True)]


def test_survival_order_is_rank_then_crowding_then_violation() -> None:
    costs = np.array([[5.0, 5.0], [0.0, 4.0], [2.0, 1.0], [1.9, 1.2], [4.0, 0.0], [0.0, 0.0], [0.1, 0.1]])
    violations = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.7, 0.2])
    assert survival_order(costs, violations).tolist() == [1, 4, 3, 2, 0, 6, 5]
    assert survival_order(np.zeros((0, 2)), np.zeros(0)).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.5])), max_size=12))
def test_survival_order_is_a_permutation_with_the_feasible_first(rows: list[tuple[int, int, float]]) -> None:
    costs = np.array([row[:2] for row in rows], dtype=np.float64).reshape(len(rows), 2)
    violations = np.array([row[2] for row in rows], dtype=np.float64)
    order = survival_order(costs, violations)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert (np.diff((violations[order] > 0).astype(int)) >= 0).all()


def test_unseen_archs_of_a_nearly_used_up_large_space_are_found() -> None:
    space = toy_space(5)
    assert space.size() > ENUMERABLE
    archs = list(space.archs())
    left = {archs[17], archs[1234], archs[-1]}
    found = unseen_archs(space, 5, set(archs) - left, np.random.default_rng(0))
    assert set(found) == left


def test_unseen_archs_of_a_space_too_large_to_list() -> None:
    space = get_space("hybrid-cifar")
    found = unseen_archs(space, 50, set(), np.random.default_rng(0))
    assert len(set(found)) == 50


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_weights_are_positive_and_sum_to_one(m: int) -> None:
    weights = weight_vectors(m)
    assert (weights > 0).all()
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert len(np.unique(weights, axis=0)) == len(weights)


def test_chebyshev_puts_the_infeasible_last_and_reaches_concave_fronts() -> None:
    costs = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0], [0.0, 0.0]])  # the middle lies above the chord
    violations = np.array([0.0, 0.0, 0.0, 0.1])
    for weights, best in (([0.5, 0.5], 1), ([0.9, 0.1], 0), ([0.1, 0.9], 2)):
        scalar = chebyshev(costs, violations, np.array(weights))
        assert scalar.argmin() == best
        assert scalar.argmax() == 3
