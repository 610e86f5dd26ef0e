"""Gaussian processes at candidates, and the mixture of them."""

from __future__ import annotations

import numpy as np
import pytest

from nas.search.guided.gp import ConditionedGP, Setting
from nas.search.guided.surrogate import MODEL_POINTS, Mixture, Target, fit, model_points

SETTING = Setting("x", 1.0, 1.0, 0.05, 1.0)


def data(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) / np.sqrt(d)
    return x, np.sin(3 * x[:, 0]) + x[:, 1]


def test_believing_is_conditioning() -> None:
    x, y = data(40, 3)
    candidates, _ = data(25, 3, seed=1)
    stepwise = ConditionedGP(SETTING, x, y).at(candidates)
    stepwise.believe(4, 0.7)
    stepwise.believe(9, -0.2)
    told = np.vstack([x, candidates[[4, 9]]])
    whole = ConditionedGP(SETTING, told, np.append(y, [0.7, -0.2])).at(candidates)
    assert stepwise.mean == pytest.approx(whole.mean)
    assert stepwise.variance == pytest.approx(whole.variance)


def test_screening_keeps_means_and_bounds_variances() -> None:
    x, y = data(150, 3)
    candidates, _ = data(50, 3, seed=1)
    exact = ConditionedGP(SETTING, x, y).at(candidates)
    screened = ConditionedGP(SETTING, x, y).at(candidates, screening=True)
    assert screened.mean == pytest.approx(exact.mean)
    assert (screened.variance >= exact.variance - 1e-9).all()
    assert screened.variance.sum() > exact.variance.sum()


def test_the_view_that_explains_the_costs_wins() -> None:
    x, y = data(60, 3)
    noise = np.random.default_rng(5).standard_normal((60, 3))
    found = fit({"noise": noise, "x": x}, y)
    assert sum(weight for weight, _ in found.parts) == pytest.approx(1.0)
    assert all(setting.view == "x" for _, setting in found.parts)


def test_costs_that_crowd_near_the_best_are_fitted_on_a_logarithm() -> None:
    x, y = data(80, 3)
    assert fit({"x": x}, y).offset is None
    assert fit({"x": x}, np.exp(3 * y)).offset is not None


@pytest.mark.parametrize("costs", [np.full(6, 2.5), np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1e9])])
def test_constant_and_extreme_costs_give_finite_predictions(costs: np.ndarray) -> None:
    x, _ = data(6, 2)
    found = fit({"x": x}, costs)
    target = Target.anchored(costs, found.offset)
    surrogate = Mixture(found, {"x": x}, target(costs)).at({"x": x})
    assert np.isfinite(surrogate.mean).all()
    assert np.isfinite(surrogate.std).all()


def test_identical_features_with_different_costs_are_survived() -> None:
    x = np.ones((8, 2))
    costs = np.arange(8.0)
    found = fit({"x": x}, costs)
    assert np.isfinite(Mixture(found, {"x": x}, costs - 3.5).at({"x": x}).std).all()


def test_of_many_points_the_best_are_kept() -> None:
    costs = np.random.default_rng(0).random((1000, 2))
    costs[777] = 0.0
    kept = model_points(costs)
    assert len(kept) <= MODEL_POINTS
    assert 777 in kept
    assert (np.diff(kept) > 0).all()
    assert model_points(costs[:50]).tolist() == list(range(50))
