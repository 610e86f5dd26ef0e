"""Expected hypervolume improvement against sampling, boxes against the hypervolume itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import hypervolume
from nas.search.guided.hypervolume import expected_improvement, undominated_boxes


@given(seed=st.integers(0, 2**32 - 1), m=st.sampled_from([1, 2, 3, 4]), n=st.integers(0, 7))
def test_boxes_fill_what_the_front_leaves(seed: int, m: int, n: int) -> None:
    points = np.random.default_rng(seed).integers(0, 5, size=(n, m)) / 4  # ties and points outside
    reference = np.ones(m)
    boxes = undominated_boxes(points, reference)
    lower = np.maximum(boxes.lower, 0.0)
    volume = np.prod(np.maximum(boxes.upper - lower, 0.0), axis=1).sum()
    assert volume == pytest.approx(1.0 - hypervolume(points, reference))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_expected_improvement_is_the_mean_of_sampled_improvements(m: int) -> None:
    rng = np.random.default_rng(m)
    front, reference = rng.random((5, m)), np.ones(m)
    mean, std = rng.random((3, m)), 0.05 + 0.3 * rng.random((3, m))
    before = hypervolume(front, reference)
    exact = expected_improvement(undominated_boxes(front, reference), mean, std)
    for i in range(3):
        draws = mean[i] + std[i] * rng.standard_normal((4000, m))
        gains = np.array([hypervolume(np.vstack([front, draw]), reference) - before for draw in draws])
        assert exact[i] == pytest.approx(gains.mean(), abs=4 * gains.std() / np.sqrt(len(gains)) + 1e-9)


def test_what_is_certain_gains_what_it_gains() -> None:
    front, reference = np.array([[0.5, 0.5]]), np.ones(2)
    mean = np.array([[0.25, 0.75], [0.5, 0.5], [0.6, 0.6], [2.0, 2.0]])
    gains = expected_improvement(undominated_boxes(front, reference), mean, np.full((4, 2), 1e-9))
    assert gains == pytest.approx([0.25 * 0.25, 0.0, 0.0, 0.0], abs=1e-6)


def test_a_crowded_front_is_thinned_to_keep_boxes_few() -> None:
    angles = np.linspace(0, np.pi / 2, 400)
    front = np.stack([1 - np.cos(angles), 1 - np.sin(angles), angles / 2], axis=1)
    assert len(undominated_boxes(front, np.ones(3)).upper) < 1500
